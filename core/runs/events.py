"""What happens in a run, one JSON object per line. Standard library only.

Types, in order of appearance: `queued`; `started`; then `step`, `evaluated`, `snapshot` and `note` as they
come; `stopping` when the process has heard that it should; `interrupted` when it ended without a word
(`resumes` says whether the run goes on by itself; a person resumes it with another `queued`), then another
`started`, whose `step` tells how many steps were done; and last exactly one of `finished`, `failed` (with
`reason` and `remedy`) and `stopped`. Every event has `type` and `time` (seconds since 1970).
"""

import json
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

Event = dict[str, Any]

FINAL = ("finished", "failed", "stopped")
"""The types that end a run for good."""

TURNS = (*FINAL, "queued", "started", "interrupted")
"""The types of which the last one tells what a run does."""


class EventLog:
    """The writing end of one run's events. One writer at a time: whoever holds the run's lock."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        _close_off_torn_line(path, self._file)

    def append(self, event: Event) -> None:
        """Add one event with the present time, in one write, handed to the system at once."""
        line = json.dumps({**event, "time": time.time()}, ensure_ascii=False, allow_nan=False)
        self._file.write(line.encode("utf-8") + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_events(path: Path) -> list[Event]:
    """All whole events of a run; a line torn by a crash is passed over. No file means no events."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return parse_events(content)


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
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None


def _close_off_torn_line(path: Path, file: BinaryIO) -> None:
    if file.tell() == 0:
        return
    with path.open("rb") as existing:
        existing.seek(-1, os.SEEK_END)
        torn = existing.read(1) != b"\n"
    if torn:
        file.write(b"\n")
        file.flush()
