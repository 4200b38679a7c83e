"""The process that trains a run, seen from outside: who it is, and how it is ended."""

import os
from pathlib import Path

import psutil

from core.runs import store
from core.runs.store import Run

PID_FILE = "trainer.pid"


def write_pid(run: Run) -> None:
    """Say which process works on the run; for the process that holds the run's lock."""
    (run.folder / PID_FILE).write_text(str(os.getpid()), encoding="ascii")


def forget_pid(run: Run) -> None:
    """Take that back."""
    (run.folder / PID_FILE).unlink(missing_ok=True)


def trainer_of(run: Run) -> psutil.Process | None:
    """The process at work on the run; None when there is none.

    A number alone proves nothing: its process may be gone, and another one may have got it. So the run's
    lock must be held, and the process must be a trainer of this very folder.
    """
    if run.damage or not store.is_alive(run):
        return None
    try:
        process = psutil.Process(int((run.folder / PID_FILE).read_text(encoding="ascii")))
        return process if _trains(process, run.folder) else None
    except (OSError, ValueError, OverflowError, psutil.Error):
        return None


def _trains(process: psutil.Process, folder: Path) -> bool:
    words = process.cmdline()
    return "core.runs.trainer" in words and str(folder) in words
