"""The events of a run for those who look again and again: what has not changed is not read again."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.runs.training.events import TURNS, Event, newest, parse_events, read_events, without_undone
from core.runs.training.run import REMEMBERED, Run, file_marks

_EDGE_BYTES = 4096
"""Of each end of a long file, in which the few events stand that most looks ask for."""

_FOLLOWED = 16
"""Runs whose events are kept in memory, those looked at last."""


def follow(run: Run) -> list[Event]:
    """Everything that happened in the run so far, as `events_of` gives it; each look reads only what is new.

    All who look share one list, which is replaced when there is something new and never changed.
    """
    return _follower(run.folder / "events.jsonl").look()


class _Follower:
    """Reads a growing file on from where the last look ended."""

    _inode: int
    _read: int
    _events: list[Event]

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._forget()

    def look(self) -> list[Event]:
        with self._lock:
            try:
                with self._path.open("rb") as file:
                    self._read_on(file.fileno())
            except OSError:
                self._forget()
            return self._events

    def _read_on(self, file: int) -> None:
        found = os.fstat(file)
        if found.st_ino != self._inode or found.st_size < self._read:
            self._forget()
            self._inode = found.st_ino
        if found.st_size == self._read:
            return
        content = os.pread(file, found.st_size - self._read, self._read)
        # A line that is not whole yet is read with the next look.
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        new = parse_events(whole)
        if new:
            self._events = without_undone([*self._events, *new])

    def _forget(self) -> None:
        self._inode, self._read = -1, 0
        self._events = []


@lru_cache(maxsize=_FOLLOWED)
def _follower(path: Path) -> _Follower:
    return _Follower(path)


def last_event(run: Run, kind: str) -> Event | None:
    """The newest event of a type that comes often, from the end of the file; None when none is there."""
    return newest(edge_events(run), kind)


def progress(run: Run) -> tuple[int, int | None]:
    """Steps done, and steps in all; these are not known before the data has been read."""
    last = newest(edge_events(run), "step", "started")
    started = last_event(run, "started")
    return last["step"] if last else 0, started["total_steps"] if started else None


def events_of(run: Run) -> list[Event]:
    """Everything that happened in the run so far, without the steps that an interruption undid."""
    return without_undone(read_events(run.folder / "events.jsonl"))


@dataclass(frozen=True)
class Story:
    """What all events of a run together say of what it does."""

    last_turn: Event | None
    started: float | None
    last_time: float | None


def story_of(run: Run) -> Story:
    """Of all events: what a run did last may stand anywhere before its many steps."""
    path = run.folder / "events.jsonl"
    try:
        found = path.stat()
    except OSError:
        return Story(None, None, None)
    return _read_story(path, *file_marks(found))


@lru_cache(maxsize=REMEMBERED)
def _read_story(path: Path, *marks: int) -> Story:
    events = read_events(path)
    return Story(last_turn(events), start_time(events), events[-1]["time"] if events else None)


def last_turn(events: list[Event]) -> Event | None:
    """The newest of the events that change what a run does; None when none is among them."""
    return newest(events, *TURNS)


def start_time(events: list[Event]) -> float | None:
    """When the run began (seconds since 1970), as far as these events tell."""
    return next((event["time"] for event in events if event["type"] == "started"), None)


def edge_events(run: Run) -> list[Event]:
    """The events at both ends of the file, of which those in between are mostly steps."""
    head, tail = _ends(run)
    return head + tail


def newest_events(run: Run) -> list[Event]:
    """The newest events: the last one is among them, however long the run."""
    return _ends(run)[1]


def _ends(run: Run) -> tuple[list[Event], list[Event]]:
    path = run.folder / "events.jsonl"
    try:
        found = path.stat()
        return _read_ends(path, *file_marks(found))
    except OSError:
        return [], []


@lru_cache(maxsize=REMEMBERED)
def _read_ends(path: Path, size: int, *marks: int) -> tuple[list[Event], list[Event]]:
    """Every look of every page asks this of every run: a file that has not changed is not read again."""
    if size <= 4 * _EDGE_BYTES:
        return [], read_events(path)
    with path.open("rb") as file:
        head = file.read(_EDGE_BYTES)
        file.seek(-_EDGE_BYTES, os.SEEK_END)
        tail = file.read()
    return parse_events(head), parse_events(tail)
