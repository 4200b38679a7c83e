"""python -m core.runs.worker: drains the line of queued runs, one training process at a time.

At most one worker is at work: it holds `worker.lock`. It ends when the line is empty; whoever submits a
run starts the next one.
"""

import logging
import signal
import subprocess
import time

from filelock import FileLock, Timeout

from core.home import home
from core.runs import engines, store
from core.runs.events import EventLog
from core.runs.store import Run

log = logging.getLogger(__name__)


def main() -> None:
    """Work until the line is empty, unless another worker does so already."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # Asked again after the lock is free: a run that came in while this one was leaving is not forgotten.
    while store.waiting_runs():
        try:
            with FileLock(home() / "worker.lock", timeout=2):
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
    process = engines.start_trainer(run)
    code = process.wait()
    _record_loss(run, process, code)
    return code


def _record_loss(run: Run, process: subprocess.Popen[bytes], code: int) -> None:
    """Say how a training process ended that could not say so itself."""
    if not run.folder.is_dir():
        return
    with FileLock(run.folder / "run.lock", timeout=10):
        if store.has_ended(run):
            return
        with EventLog(run.folder / "events.jsonl") as events:
            events.append({"type": "interrupted", "exit_code": code, **explain_exit(code)})


def explain_exit(code: int) -> dict[str, str]:
    """reason and remedy for a process that ended without a final event; negative codes are signals."""
    if code == -signal.SIGKILL:
        return {
            "reason": "The system ended the training process (signal 9), most likely because memory ran out.",
            "remedy": "Start it again with a smaller batch or max length, or close other programs first.",
        }
    if code < 0:
        return {
            "reason": f"The training process was ended from outside ({signal.Signals(-code).name}).",
            "remedy": store.RESTART,
        }
    return {
        "reason": f"The training process ended by itself with exit code {code}.",
        "remedy": "Read the end of the run's log, then start it again.",
    }


if __name__ == "__main__":
    main()
