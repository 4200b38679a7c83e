"""Where a run executes: a process of its own on this machine, that outlives tab and server.

Another engine (a cluster, say) would start the same entry point,
`python -m core.runs.training.trainer <folder>`.
"""

import json
import logging
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.base.errors import UserError
from core.base.home import PROJECT, home
from core.runs.jobs.spawning import start_process
from core.runs.training.run import Run

log = logging.getLogger(__name__)

FAILED_LATELY_SECONDS = 15.0
"""Time from the start of a worker that ended with an error until the start of another one."""


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    started: float
    """On the monotonic clock, in seconds."""

    def failed_lately(self) -> bool:
        """Whether another one would, most likely, end the same way. A kill says nothing of the next one."""
        code = self.process.poll()
        failed = code is not None and code > 0
        return failed and time.monotonic() - self.started < FAILED_LATELY_SECONDS


_worker_lock = threading.Lock()
_workers: dict[Path, _Worker] = {}


def start_worker() -> None:
    """Start the process that drains the line of queued runs; it ends by itself when the line is empty.

    One that this process started before and that has not ended is enough: it may still be on its way to
    its lock, which takes seconds on busy cores. One that ended at once with an error is not followed by
    the next at every look of every page.
    """
    root = home()
    with _worker_lock:
        earlier = _workers.get(root)
        if earlier is not None and (earlier.process.poll() is None or earlier.failed_lately()):
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            process = start_process("core.runs.training.worker", log=root / "worker.log")
        except OSError as error:
            # A full disk or no memory: whoever looks at a page still sees it, and the next look tries again.
            log.warning("the worker cannot be started: %s", error)
            return
        _workers[root] = _Worker(process, time.monotonic())
    # Waited for in the background, so that an ended worker does not stay behind as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()


def start_trainer(run: Run, card: int = 0, visible: str | None = None) -> subprocess.Popen[bytes]:
    """Start the process that trains one run; what it prints goes into the run's log.

    Args:
        card: the GPU that it trains on, from 0.
        visible: what CUDA calls that GPU; None leaves the choice to CUDA.
    """
    more = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    arguments = [str(run.folder), *([str(card)] if card else [])]
    return start_process("core.runs.training.trainer", *arguments, log=run.folder / "log.txt", **more)


_hardware_lock = threading.Lock()


def describe_hardware() -> dict[str, str]:
    """device, precision and reason of a training on this machine, asked of a process that may load torch.

    Raises:
        UserError: when that process fails.
    """
    # Several tabs may ask at once: one process answers them all.
    with _hardware_lock:
        return _ask_for_hardware()


@cache
def _ask_for_hardware() -> dict[str, str]:
    command = [sys.executable, "-m", "core", "device", "--json"]
    try:
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired as error:
        raise UserError(
            "an answer about this machine's hardware within 60 seconds",
            "none",
            "Training works all the same; reload the page later to see the answer.",
        ) from error
    if done.returncode:
        raise UserError(
            "an answer about this machine's hardware",
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}",
            "Check the installation with the README's test command.",
        )
    return json.loads(done.stdout)
