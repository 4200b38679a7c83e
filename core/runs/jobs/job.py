"""Jobs: work that a process of its own does in a folder, whatever becomes of the tab and the server.

<folder>/ request.json   what is asked for
          progress.json  what its process is at; gone once the job has ended with a word
          result.json    how it ended: what came of it, or why it failed; of an earlier go meanwhile
          lock           held by the process for as long as it lives
          stop           somebody asked it to stop
          log.txt        what it printed

Beside these a task keeps files of its own. Pages use this module: no torch in it.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from core.base import locks
from core.base.json_files import read_object, write_json
from core.base.memory_kills import memory_kills, see_off
from core.runs.jobs import spawning

START_SECONDS = 30.0
"""Time from the start of a process until it must hold its lock."""

END_SECONDS = 10.0
"""Time for a process to end when the system is asked to end it."""

SMALL_FILES = 1_000_000
"""Bytes that a job takes by and large, besides what its task makes."""

_starting = threading.Lock()


@dataclass(frozen=True)
class Task:
    """A kind of work: how its process is started, and how it is called in a sentence."""

    module: str
    """Has `work(job)`, which the process calls; see `entry`."""
    noun: str
    """"this labelling"."""
    again: str
    """What a person does to let it go on: "Resume it"."""


@dataclass(frozen=True)
class Job:
    """One piece of work on disk."""

    task: Task
    folder: Path

    @property
    def lock(self) -> Path:
        """Held by its process."""
        return self.folder / "lock"

    @property
    def stop_file(self) -> Path:
        """There once somebody asked it to stop."""
        return self.folder / "stop"

    @property
    def log(self) -> Path:
        """What its process printed."""
        return self.folder / "log.txt"

    @property
    def progress_file(self) -> Path:
        """What its process is at."""
        return self.folder / "progress.json"

    @property
    def result_file(self) -> Path:
        """How it ended."""
        return self.folder / "result.json"

    def request(self) -> dict[str, Any]:
        """What is asked for; empty when that cannot be read."""
        return read_object(self.folder / "request.json") or {}


@dataclass(frozen=True)
class JobState:
    """What a job does at the moment of asking."""

    status: str
    """none (never started), running, stopping, stopped, interrupted, failed or finished."""
    progress: dict[str, Any] = field(default_factory=dict)
    """What its process said last; as the file has it, unchecked."""
    result: dict[str, Any] = field(default_factory=dict)
    """What came of a finished one; as the file has it, unchecked."""
    reason: str = ""
    remedy: str = ""
    resumable: bool = False
    """Whether it may come further when it goes on."""

    @property
    def live(self) -> bool:
        """Whether it may still change by itself."""
        return self.status in ("running", "stopping")


def start(job: Job, request: dict[str, Any] | None = None, progress: dict[str, Any] | None = None) -> None:
    """Start the process of a job, unless it is at work already. The job's folder must be there.

    Args:
        request: what is asked for; None to go on with what was asked before.
        progress: what is to be shown until the process says something.

    Raises:
        OSError: the folder is gone, may not be written to, or the disk is full.
    """
    with _starting:
        if state(job).live:
            return
        for draft in job.folder.glob(".*.new"):
            draft.unlink(missing_ok=True)
        job.stop_file.unlink(missing_ok=True)
        if request is not None:
            write_json(job.folder / "request.json", request)
        # From now on it counts as at work: the process takes a moment to its lock.
        write_json(job.progress_file, {**(progress or {}), "asked": time.time()})
        kills = memory_kills()
        process = spawning.start_job(job.task.module, job.folder, job.log)
    see_off(process, kills, lambda: say_failed(job, *memory_ran_out(job.task)))


def memory_ran_out(task: Task) -> tuple[str, str]:
    """reason and remedy for a process that the system ended for lack of memory."""
    reason = "The system ended the process (SIGKILL), most likely because memory ran out."
    return reason, f"Close other programs, then {task.again[0].lower()}{task.again[1:]}."


def state(job: Job) -> JobState:
    """Whether the job is at work and how far it is, or how it ended."""
    progress = read_object(job.progress_file)
    asked = job.stop_file.exists()
    with suppress(OSError):
        if locks.is_held(job.lock) or (progress and not asked and _is_starting(progress)):
            return JobState("stopping" if asked else "running", progress or {})
    # Read again now that nobody holds the lock: it may have ended between the two looks.
    progress = read_object(job.progress_file)
    if progress is not None:
        return _without_a_word(job.task, asked, progress)
    ended = read_object(job.result_file)
    if ended is None:
        return JobState("none")
    result = _result_in(ended)
    if result is not None:
        return JobState("finished", result=result)
    if ended.get("status") == "failed":
        last = ended.get("progress")
        return JobState(
            "failed",
            last if isinstance(last, dict) else {},
            reason=_words(ended.get("reason")),
            remedy=_words(ended.get("remedy")),
            resumable=ended.get("resumable") is not False,
        )
    return damaged(job)


def last_result(job: Job) -> dict[str, Any] | None:
    """What came of the job when it last finished, though it may be at work again; unchecked."""
    return _result_in(read_object(job.result_file) or {})


def _result_in(ended: dict[str, Any]) -> dict[str, Any] | None:
    result = ended.get("result") if ended.get("status") == "finished" else None
    return result if isinstance(result, dict) else None


def _is_starting(progress: dict[str, Any]) -> bool:
    return 0 <= time.time() - number(progress.get("asked")) < START_SECONDS


def _without_a_word(task: Task, asked: bool, progress: dict[str, Any]) -> JobState:
    status, reason = (
        ("stopped", "It was ended on request.")
        if asked
        else ("interrupted", "Its process ended without a word.")
    )
    return JobState(status, progress, reason=reason, remedy=f"{task.again}.", resumable=True)


def damaged(job: Job) -> JobState:
    """The state of a job whose result cannot be read, or is none."""
    return JobState("failed", reason="Its result is damaged.", remedy=f"{job.task.again}.", resumable=True)


def _words(value: object) -> str:
    # Half of a character, which JSON can spell, can be shown by no page.
    return str(value).encode("utf-8", "replace").decode()


def number(value: object) -> float:
    """A number of a file, where it is one that any count or time can be; else 0."""
    return float(value) if (type(value) is int or type(value) is float) and abs(value) < 2**53 else 0.0


def ask_to_stop(job: Job) -> None:
    """Leave word that it should stop; its process hears of it when it next looks."""
    with suppress(OSError):
        job.stop_file.touch()


def end_now(job: Job) -> None:
    """End a job at once, whatever it is doing."""
    ask_to_stop(job)
    process = process_of(job)
    if process is None:
        return
    with suppress(psutil.Error):
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()


def process_of(job: Job) -> psutil.Process | None:
    """The process at work on the job; None when there is none.

    A number alone proves nothing: its process may be gone, and another one may have got it. It must have been
    started for this very folder.
    """
    progress = read_object(job.progress_file) or {}
    with suppress(psutil.Error, ValueError, TypeError, OverflowError):
        process = psutil.Process(int(progress.get("pid") or 0))
        if spawning.works_on(process.cmdline(), job.task.module, job.folder):
            return process
    return None


# Said by the process at work


def say_progress(job: Job, **facts: object) -> None:
    """Write down how far it is, and which process is at work on it: the one that asks for this."""
    write_json(job.progress_file, {**facts, "pid": os.getpid()})


def say_finished(job: Job, result: dict[str, Any]) -> None:
    """Write down what came of it; the last word of a job."""
    _end(job, {"status": "finished", "result": result})


def say_failed(job: Job, reason: str, remedy: str, resumable: bool = True) -> None:
    """Write down why it failed, and what to do; the last word of a job."""
    last = read_object(job.progress_file) or {}
    words = {"reason": reason, "remedy": remedy, "resumable": resumable}
    _end(job, {"status": "failed", **words, "progress": last})


def say_nothing(job: Job) -> None:
    """Take back that it was begun: it is as if it had never been."""
    job.progress_file.unlink(missing_ok=True)


def _end(job: Job, ending: dict[str, Any]) -> None:
    write_json(job.result_file, ending)
    job.progress_file.unlink(missing_ok=True)
