"""python -m core.runs.worker: drains the line of queued runs, one training process at a time.

At most one worker is at work: it holds `worker.lock`. It ends when the line is empty; whoever submits a
run starts the next one.
"""

import logging
import math
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from core.home import home
from core.runs import engines, processes, store
from core.runs.events import EventLog
from core.runs.store import Run

log = logging.getLogger(__name__)

RESUMPTIONS = 2
"""How often an interrupted run goes on by itself."""

MEMORY_KILLS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


LOOK_SECONDS = 0.5
"""Time between two looks at the process at work."""

PATIENCE_SECONDS = 20.0
"""Time for a process to take up that it should stop, unless its steps take longer than that."""

PATIENCE_STEPS = 3

GRACE_SECONDS = 10.0
"""Time from asking the system to end a process (SIGTERM) until it is ended whatever it does (SIGKILL)."""


def main() -> None:
    """Work until the line is empty, unless another worker does so already."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # Asked again after the lock is free: a run that came in while this one was leaving is not forgotten.
    while store.live_runs() or store.lost_runs():
        try:
            with FileLock(home() / "worker.lock", timeout=2):
                _drain()
        except Timeout:
            return
        time.sleep(LOOK_SECONDS)


def _drain() -> None:
    while True:
        _wait_for_device()
        for run in store.lost_runs():
            with suppress(store.Gone):
                _record_loss(run, None)
        # Looked up after the wait: a run may have left the line, or been deleted, in the meantime.
        run = next(iter(store.waiting_runs()), None)
        if run is None:
            return
        log.info("run %s begins", run.id)
        try:
            code = _train(run)
        except (FileNotFoundError, store.Gone):
            log.info("run %s was deleted as it began", run.id)
            continue
        log.info("run %s ended with exit code %s", run.id, code)


def _wait_for_device() -> None:
    # A training that an earlier worker left behind goes on to its end.
    endings: dict[str, _Ending] = {}
    while store.is_held(home() / "device.lock"):
        for run in store.live_runs():
            endings.setdefault(run.id, _Ending(run)).look()
        time.sleep(LOOK_SECONDS)


def _train(run: Run) -> int:
    kills = _memory_kills()
    process = engines.start_trainer(run)
    ending = _Ending(run)
    while (code := process.poll()) is None:
        ending.look()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
    if run.folder.is_dir():
        short_of_memory = code == -signal.SIGKILL and (kills is None or _memory_kills() != kills)
        _record_loss(run, code, short_of_memory)
    return code


class _Ending:
    """Sees that a run that should stop does: by itself at its next step, then by SIGTERM, then by SIGKILL."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._asked_at: float | None = None
        self._terminated_at: float | None = None

    def look(self) -> None:
        """Do what is due."""
        if not store.stop_asked(self._run):
            return
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        if self._terminated_at is not None:
            if now - self._terminated_at > GRACE_SECONDS:
                self._end(psutil.Process.kill)
        elif store.stop_now_asked(self._run) or now - self._asked_at > self._patience():
            self._end(psutil.Process.terminate)

    def _patience(self) -> float:
        # Whoever has heard it keeps the best weights, which may take long.
        return math.inf if store.stop_heard(self._run) else _patience_of(self._run)

    def _end(self, how: Callable[[psutil.Process], None]) -> None:
        process = processes.trainer_of(self._run)
        if process is None:
            return
        log.info("run %s does not stop by itself: %s", self._run.id, how.__name__)
        with suppress(psutil.NoSuchProcess):
            how(process)
        self._terminated_at = self._terminated_at or time.monotonic()


def _patience_of(run: Run) -> float:
    step = store.last_event(run, "step")
    seconds = run.config.batch_size / step["samples_per_second"] if step else 0.0
    return max(PATIENCE_SECONDS, PATIENCE_STEPS * seconds)


def _record_loss(run: Run, code: int | None, short_of_memory: bool = False) -> None:
    """Say how a training process ended that could not say so itself, and let the run go on if it may."""
    with store.hold(run, timeout=10), EventLog(run.folder / "events.jsonl") as events:
        processes.forget_pid(run)
        if store.has_ended(run):
            return
        if store.stop_asked(run):
            events.append({"type": "stopped", "reason": _stopped_words(run)})
            return
        losses = sum(event["type"] == "interrupted" for event in store.events_of(run))
        words = explain_exit(run, code, short_of_memory)
        resumes = losses < RESUMPTIONS and not short_of_memory
        events.append({"type": "interrupted", "exit_code": code, "resumes": resumes, **words})


def _stopped_words(run: Run) -> str:
    if store.model_folder(run):
        return "Stopped on request, from outside; the best weights that were kept before are there."
    return "Stopped on request, from outside, before there were any weights."


def explain_exit(run: Run, code: int | None, short_of_memory: bool) -> dict[str, str]:
    """reason and remedy for a process that ended without a final event; negative codes are signals."""
    if short_of_memory:
        half = max(1, run.config.batch_size // 2)
        return {
            "reason": "The system ended the training process (SIGKILL), most likely because memory ran out.",
            "remedy": f"Start it again with batches of {half} instead of {run.config.batch_size}, with a "
            "smaller max length or a smaller model, or close other programs and resume it.",
        }
    if code is None:
        return {"reason": "The training process ended without a word.", "remedy": store.RESUME}
    if code < 0:
        name = signal.Signals(-code).name
        return {"reason": f"The training process was ended from outside ({name}).", "remedy": store.RESUME}
    return {
        "reason": f"The training process ended by itself with exit code {code}.",
        "remedy": f"Read the end of the run's log. {store.RESUME}",
    }


def _memory_kills() -> int | None:
    """How many processes Linux has ended for lack of memory, in this container or in all; None elsewhere."""
    for file in MEMORY_KILLS:
        try:
            counts = dict(line.split() for line in file.read_text().splitlines())
            return int(counts["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return None


if __name__ == "__main__":
    main()
