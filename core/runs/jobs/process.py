"""The process of a job: holds its lock, does its work, and says how it ended."""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from filelock import Timeout

from core.base import locks
from core.base.disk import NoSpace
from core.base.errors import UserError
from core.base.memory import OutOfMemory
from core.runs.jobs import failures, job
from core.runs.jobs.job import Job

log = logging.getLogger("textuner")

Work = Callable[[Job], dict[str, Any]]
"""Does what a job's request asks for, and returns what came of it. May raise anything."""

NICE = 10
"""Steps of priority below that of other processes."""

LOOK_SECONDS = 1.0
"""Time to wait for the lock: whoever only looks whether it is held, holds it for a moment."""


class Stopped(Exception):
    """Somebody asked the job to stop; what it has done so far stays, and it can go on from there."""


class NothingToDo(Exception):
    """The job is not to be done now, and nothing is to be said of it."""


def lower_priority() -> None:
    """Leave the processor to whoever wants it: a training beside the job keeps its speed."""
    if hasattr(os, "nice"):
        os.nice(NICE)


def do(found: Job, work: Work) -> int:
    """Hold the job's lock, do its work, and say how it ended. Returns the exit code: 1 when it failed."""
    try:
        with locks.hold(found.lock, timeout=LOOK_SECONDS):
            if found.stop_file.exists():
                log.info("ended on request before it began")
                return 0
            return _do(found, work)
    except Timeout:
        log.info("nothing to do: another process is at work on it")
    except locks.LockGone:
        log.info("nothing to do: it is gone")
    return 0


def _do(found: Job, work: Work) -> int:
    began = time.monotonic()
    try:
        result = work(found)
    except Stopped:
        log.info("stopped on request")
        return 0
    except NothingToDo as reason:
        log.info("nothing to do: %s", reason)
        job.say_nothing(found)
        return 0
    except Exception as error:
        if not found.folder.exists():
            raise locks.LockGone(str(found.folder)) from error
        return _fail(found, error)
    job.say_finished(found, result)
    log.info("done in %.1f s", time.monotonic() - began)
    return 0


def _fail(found: Job, error: Exception) -> int:
    task = found.task
    meant = failures.translate(error, task.noun, found.folder, job.SMALL_FILES)
    if isinstance(meant, UserError):
        log.info("%s", meant)
    else:
        log.error("%s broke off", task.noun, exc_info=error)
    remedy = f"{task.again}; log.txt in its folder has the details."
    reason, remedy = failures.reason_and_remedy(meant, task.noun, remedy)
    # Another go meets the same request: it helps only where the machine was at fault.
    resumable = not isinstance(meant, UserError) or isinstance(meant, NoSpace | OutOfMemory)
    job.say_failed(found, reason, remedy, resumable)
    return 1
