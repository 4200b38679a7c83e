"""What happens in a run, one JSON object per line. Standard library only.

Types, in order of appearance: `queued`; `started`; then `step`, `evaluated`, `snapshot` and `note` as they
come; `stopping` when the process has heard that it should; `interrupted` when it ended without a word
(`resumes` says whether the run goes on by itself; a person resumes it with another `queued`), then another
`started`, whose `step` tells how many steps were done; and last exactly one of `finished`, `failed` (with
`reason` and `remedy`) and `stopped`. Every event has `type` and `time` (seconds since 1970).

Whoever reads events may rely on the fields of `_NEEDED` and `_FILLED`: what a damaged file, or another
version, wrote without them is passed over, or filled with nothing where it tells what the run does.
"""

import json
import logging
import os
import re
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.disk import NoSpace

log = logging.getLogger(__name__)

Event = dict[str, Any]

FINAL = ("finished", "failed", "stopped")
"""The types that end a run for good."""

TURNS = (*FINAL, "queued", "started", "interrupted")
"""The types of which the last one tells what a run does."""

RESERVE, RESERVE_BYTES = ".reserve", 1 << 14
"""A file beside the events whose room is given up for an event that tells the state of the run."""

MOST_WAITING = 10_000
"""Events that wait in memory for room on the disk."""

_NEEDED = {
    "step": ("step", "epoch", "loss", "samples_per_second", "seconds_left"),
    "evaluated": ("step", "epoch", "loss", "accuracy", "macro_f1"),
    "snapshot": ("step",),
    "note": ("message",),
}
"""Without these an event says nothing: it is passed over. All are numbers, but for the message."""

_FILLED: dict[str, Event] = {
    "started": {"step": 0, "total_steps": 0, "epochs": 0, "train_texts": 0, "truncated": 0},
    "interrupted": {"reason": "", "remedy": ""},
    "failed": {"reason": "", "remedy": ""},
    "stopped": {"reason": "", "remedy": ""},
}
"""What a turn says where it lacks these, or has them in another form: it is still a turn."""

# Halves of a character, which JSON can spell and no page can show; EventLog spells none.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_LARGEST = 1e15
_LATEST = 9e9
"""Seconds since 1970: the year 2255, to which every library counts."""


class EventLog:
    """The writing end of one run's events. One writer at a time: whoever holds the run's lock.

    A full disk is survived: events wait in memory, a line that was written in part is continued where it
    broke off, and what tells the state of the run (`TURNS`) gets the room of a small file that is kept for
    it. When too much waits, `step` events are dropped, and a note says how many.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._reserve = Reserve(path.with_name(RESERVE), RESERVE_BYTES)
        self._waiting: deque[_Line] = deque()
        self._written = 0
        self._dropped = 0
        self._full = False
        if _is_torn(path):
            self._waiting.append(_Line("", b"\n"))

    def append(self, event: Event) -> None:
        """Add one event with the present time, in one write, handed to the system at once if it takes it."""
        line = _line(event)
        if line.kind not in FINAL and not self._waiting:
            self._reserve.hold()
        if line.kind in FINAL and self._dropped:
            self._waiting.append(self._take_dropped())
        self._waiting.append(line)
        if len(self._waiting) > MOST_WAITING and line.kind not in FINAL:
            self._drop(1)
        if self.flush() and line.kind in FINAL:
            self._reserve.give_up()

    def flush(self) -> bool:
        """Write what waits, as far as the disk takes it. Returns whether nothing waits any more."""
        if not self._write_on() and any(line.kind in TURNS for line in self._waiting):
            self._make_way()
        return not self._waiting and self._say_dropped()

    def close(self) -> None:
        """Close the file.

        Raises:
            NoSpace: the disk did not take everything; what waits is lost.
        """
        try:
            if not self.flush():
                needed = sum(len(line.content) for line in self._waiting)
                raise NoSpace("what happened in the run", needed, self._path.parent)
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_on(self) -> bool:
        try:
            while self._waiting:
                content = self._waiting[0].content
                while self._written < len(content):
                    self._written += self._file.write(content[self._written :])
                self._waiting.popleft()
                self._written = 0
        except OSError as error:
            if not self._full:
                log.warning("events wait for room on the disk: %s", error)
            self._full = True
            return False
        self._full = False
        return True

    def _make_way(self) -> None:
        """Write what tells the run's state, at the cost of the reserve and of what does not fit into it."""
        self._reserve.give_up()
        if sum(len(line.content) for line in self._waiting) > RESERVE_BYTES // 2:
            self._drop(len(self._waiting))
            turn = next(i for i, line in enumerate(self._waiting) if line.kind in TURNS)
            if self._dropped:
                # Before the turn, which may be the last word; not into a line that is written in part.
                self._waiting.insert(max(turn, 1 if self._written else 0), self._take_dropped())
        self._write_on()

    def _drop(self, most: int) -> None:
        """Drop the oldest events that tell no state, steps first; not the one that is written in part."""
        first = 1 if self._written else 0
        told = [i for i, line in enumerate(self._waiting) if i >= first and line.kind not in ("", *TURNS)]
        told.sort(key=lambda i: self._waiting[i].kind != "step")
        gone = set(told[:most])
        self._waiting = deque(line for i, line in enumerate(self._waiting) if i not in gone)
        self._dropped += len(gone)

    def _say_dropped(self) -> bool:
        if self._dropped:
            self._waiting.append(self._take_dropped())
            return self._write_on()
        return True

    def _take_dropped(self) -> "_Line":
        dropped, self._dropped = self._dropped, 0
        message = (
            f"The disk was full: {dropped:,} events of this run found no room and are missing in its charts. "
            "The training itself went on."
        )
        return _line({"type": "note", "message": message})


class Reserve:
    """Room on the disk that is kept for later, as a file of nothing."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def hold(self) -> None:
        """Take the room, or as much of it as there is; cheap when it is held already."""
        try:
            if self._path.exists() and self._path.stat().st_size >= self._size:
                return
            with self._path.open("wb", buffering=0) as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, self._size)
                else:
                    # Random bytes, which no file system can store in less room.
                    file.write(os.urandom(self._size))
        except OSError as error:
            log.debug("no room to keep: %s", error)

    def give_up(self) -> None:
        """Let others have it."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.info("the room that was kept cannot be given up: %s", error)


@dataclass(frozen=True)
class _Line:
    kind: str
    content: bytes


def _line(event: Event) -> _Line:
    content = json.dumps({**event, "time": time.time()}, ensure_ascii=False, allow_nan=False)
    return _Line(event["type"], content.encode("utf-8") + b"\n")


def read_events(path: Path) -> list[Event]:
    """All whole events of a run; a line torn by a crash is passed over.

    A file that is not there, or cannot be read, has none.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return []
    return parse_events(content)


def newest(events: list[Event], *kinds: str) -> Event | None:
    """The last event of one of these types; None when there is none."""
    return next((event for event in reversed(events) if event["type"] in kinds), None)


def without_undone(events: list[Event]) -> list[Event]:
    """The events without the steps that an interruption undid: those behind the step it went on from."""
    kept: list[Event] = []
    for event in events:
        if event["type"] == "started":
            kept = [earlier for earlier in kept if earlier.get("step", 0) <= event.get("step", 0)]
        kept.append(event)
    return kept


def parse_events(content: bytes) -> list[Event]:
    """The whole events in a piece of an event file."""
    return [event for line in content.split(b"\n") if (event := _parse(line)) is not None]


def _parse(line: bytes) -> Event | None:
    try:
        event = json.loads(_SURROGATE.sub(rb"\\ufffd", line))
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(kind := event.get("type"), str):
        return None
    if not _is_number(event.get("time")) or event["time"] > _LATEST:
        return None
    filled = _FILLED.get(kind, {})
    event.update({name: value for name, value in filled.items() if not _is_like(event.get(name), value)})
    return event if all(_is_sound(name, event.get(name)) for name in _NEEDED.get(kind, ())) else None


def _is_sound(name: str, value: object) -> bool:
    return isinstance(value, str) if name == "message" else _is_number(value)


def _is_like(value: object, example: object) -> bool:
    return isinstance(value, str) if isinstance(example, str) else _is_number(value)


def _is_number(value: object) -> bool:
    """Whether it is a number to show and to calculate with: finite, not below zero, of a size that occurs."""
    return (type(value) is int or type(value) is float) and 0 <= value < _LARGEST


def _is_torn(path: Path) -> bool:
    """Whether the last line lacks its end; the next one must not run into it."""
    with path.open("rb") as existing:
        if existing.seek(0, os.SEEK_END) == 0:
            return False
        existing.seek(-1, os.SEEK_END)
        return existing.read(1) != b"\n"
