"""The processes that tests and benchmarks start and kill, found by what they work on. No pytest."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from core.base.home import home
from core.runs.training.run import Run

Answer = TypeVar("Answer")

GONE = (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess)


def processes_of(folder: Path) -> list[psutil.Process]:
    """All living processes, but this one, whose TEXTUNER_HOME is the folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(*GONE):
            if process.environ().get("TEXTUNER_HOME") == str(folder) and process.pid != os.getpid():
                found.append(process)
    return found


def with_words(*words: str) -> psutil.Process | None:
    """The process of the present home whose command has all these words; None when there is none."""
    for process in processes_of(home()):
        with suppress(*GONE):
            if set(words) <= set(process.cmdline()):
                return process
    return None


def trainer_of(run: Run) -> psutil.Process | None:
    """The process that trains the run, whether it has come as far as its locks or not."""
    return with_words("core.runs.training.trainer", str(run.folder))


def worker_process() -> psutil.Process | None:
    """The process that drains the line of the present home."""
    return with_words("core.runs.training.worker")


def kill(*processes: psutil.Process | None, seconds: float = 10) -> list[bool]:
    """SIGKILL them in this order, and wait until they are gone. Returns which were still at work."""
    were = []
    for process in processes:
        were.append(process is not None and is_at_work(process))
        with suppress(*GONE):
            if were[-1]:
                process.kill()
    victims = [process for process, was in zip(processes, were, strict=True) if was]
    wait_for(lambda: not any(map(is_at_work, victims)), seconds, every=0.001)
    return were


def is_at_work(process: psutil.Process) -> bool:
    """Whether it runs, or is stopped, and has not ended."""
    with suppress(*GONE):
        # The first thread of a killed process is a zombie already while others still hold its locks.
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return process.is_running() and (not is_zombie or process.num_threads() > 1)
    return False


def wait_for(condition: Callable[[], Answer], seconds: float = 180, every: float = 0.05) -> Answer:
    """What the condition answers, as soon as that is true.

    Raises:
        AssertionError: it was not, for so many seconds.
    """
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} seconds in vain")
        time.sleep(every)
    return answer
