"""The events of a run for those who look again and again: each look reads only what is new."""

import os
import threading
from functools import lru_cache
from pathlib import Path

from core.runs.training.events import Event, parse_events, without_undone
from core.runs.training.store import Run

_FOLLOWED = 16
"""Runs whose events are kept in memory, those looked at last."""


def follow(run: Run) -> list[Event]:
    """Everything that happened in the run so far, as `store.events_of` gives it.

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
