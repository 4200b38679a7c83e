"""python -m core.runs.worker: drains the line of queued runs, one training process at a time.

At most one worker is at work: it holds `worker.lock`. It ends when the line is empty; whoever submits a
run starts the next one.
"""

import logging
import signal
import time
from pathlib import Path

from filelock import FileLock, Timeout

from core.home import home
from core.runs import engines, store
from core.runs.events import EventLog
from core.runs.store import Run

log = logging.getLogger(__name__)

RESUMPTIONS = 2
"""How often an interrupted run goes on by itself."""

MEMORY_KILLS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


def main() -> None:
    """Work until the line is empty, unless another worker does so already."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # Asked again after the lock is free: a run that came in while this one was leaving is not forgotten.
    while store.waiting_runs() or store.lost_runs():
        try:
            with FileLock(home() / "worker.lock", timeout=2):
                for run in store.lost_runs():
                    _record_loss(run, None)
                _drain()
        except Timeout:
            return


def _drain() -> None:
    while store.waiting_runs():
        _wait_for_device()
        # Looked up after the wait: a run may have left the line, or been deleted, in the meantime.
        run = next(iter(store.waiting_runs()), None)
        if run is None:
            return
        log.info("run %s begins", run.id)
        try:
            code = _train(run)
        except FileNotFoundError:
            log.info("run %s was deleted as it began", run.id)
            continue
        log.info("run %s ended with exit code %s", run.id, code)


def _wait_for_device() -> None:
    # A training that an earlier worker left behind goes on to its end.
    while store.is_held(home() / "device.lock"):
        time.sleep(0.5)


def _train(run: Run) -> int:
    kills = _memory_kills()
    process = engines.start_trainer(run)
    code = process.wait()
    if run.folder.is_dir():
        short_of_memory = code == -signal.SIGKILL and (kills is None or _memory_kills() != kills)
        _record_loss(run, code, short_of_memory)
    return code


def _record_loss(run: Run, code: int | None, short_of_memory: bool = False) -> None:
    """Say how a training process ended that could not say so itself, and let the run go on if it may."""
    with FileLock(run.folder / "run.lock", timeout=10), EventLog(run.folder / "events.jsonl") as events:
        if store.has_ended(run):
            return
        if store.stop_asked(run):
            events.append(
                {"type": "stopped", "reason": "Stopped on request; the best weights so far are kept."}
            )
            return
        losses = sum(event["type"] == "interrupted" for event in store.events_of(run))
        words = explain_exit(run, code, short_of_memory)
        resumes = losses < RESUMPTIONS and not short_of_memory
        events.append({"type": "interrupted", "exit_code": code, "resumes": resumes, **words})


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
