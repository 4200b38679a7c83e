"""The process that trains a run, seen from outside: whether there is one, who it is, and how it is ended."""

import os
from pathlib import Path

import psutil

from core.base import locks
from core.base.home import home
from core.runs.training.run import Run, is_alive

PID_FILE = "trainer.pid"


def device_lock(card: int) -> Path:
    """The file that is held by the one training at work on a GPU, from 0, or on a machine without several."""
    return home() / (f"device-{card}.lock" if card else "device.lock")


def is_training() -> bool:
    """Whether a training is at work on this machine."""
    return any(locks.is_held(lock) for lock in (device_lock(0), *home().glob("device-*.lock")))


def leave_cores_to_training() -> None:
    """Let torch use one core while a training is at work, which keeps its speed, and all of them else.

    For every piece of work anew: a training may have begun meanwhile, and torch keeps the number for each
    thread.
    """
    # Imported late: torch takes seconds and 200 MB.
    from core.learning.hardware import use_all_cores, use_one_core

    if is_training():
        use_one_core()
    else:
        use_all_cores()


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
    if run.damage or not is_alive(run):
        return None
    try:
        process = psutil.Process(int((run.folder / PID_FILE).read_text(encoding="ascii")))
        return process if _trains(process, run.folder) else None
    except (OSError, ValueError, OverflowError, psutil.Error):
        return None


def _trains(process: psutil.Process, folder: Path) -> bool:
    words = process.cmdline()
    return "core.runs.training.trainer" in words and str(folder) in words
