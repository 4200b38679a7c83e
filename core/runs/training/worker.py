"""python -m core.runs.training.worker: drains the line of queued runs, one training process at a time.

On a machine with several GPUs it is one for each of them. At most one worker is at work: it holds
`worker.lock`. It ends when the line is empty; whoever submits a run starts the next one.
"""

import logging
import math
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
from filelock import FileLock, Timeout

from core.base import locks
from core.base.cards import visible_cards
from core.base.disk import NoSpace
from core.base.home import home
from core.base.memory import says_out_of_memory, smaller_batch, smaller_words
from core.base.memory_kills import memory_kills
from core.runs.results import outputs
from core.runs.training import engines, processes, run_events, states, stop_requests, store
from core.runs.training.events import EventLog
from core.runs.training.run import Gone, Run, hold

log = logging.getLogger(__name__)

RESUMPTIONS = 2
"""How often an interrupted run goes on by itself."""

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
"""Signals that a process brings on itself."""

RETRY_SECONDS = 5.0
"""Time until another try after the disk or the memory was full."""

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
        lock = FileLock(home() / "worker.lock")
        try:
            lock.acquire(timeout=2)
        except Timeout:
            return
        try:
            _drain(Line())
        finally:
            lock.release()
        time.sleep(LOOK_SECONDS)


@dataclass(frozen=True)
class Card:
    """A GPU, or all that a machine without several has."""

    number: int
    """From 0."""
    visible: str | None
    """What CUDA calls it; None leaves the choice to CUDA."""


class Line:
    """The queued runs, as the cards take them one by one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._passed_over: set[str] = set()

    def take(self) -> Run | None:
        """The next run for a card; None when none waits."""
        with self._lock:
            for lost in store.lost_runs():
                try:
                    _record_interruption(lost, None)
                except (OSError, Gone) as error:
                    # One damaged run does not keep the others.
                    log.warning("how run %s ended cannot be written: %s", lost.id, error)
                    time.sleep(LOOK_SECONDS)
            kept_from = self._taken | self._passed_over
            run = next((run for run in store.waiting_runs() if run.id not in kept_from), None)
            if run is not None:
                self._taken.add(run.id)
            return run

    def give_back(self, run: Run, passed_over: bool) -> None:
        """A run's process has ended, or it cannot begin: then those behind it need not wait for it."""
        with self._lock:
            self._taken.discard(run.id)
            if passed_over:
                self._passed_over.add(run.id)

    @property
    def busy(self) -> bool:
        """Whether a card is at work, so that the others look out for new runs."""
        return bool(self._taken)


def _drain(line: Line) -> None:
    cards = [Card(number, visible) for number, visible in enumerate(visible_cards())]
    with ThreadPoolExecutor(max_workers=len(cards)) as pool:
        for done in [pool.submit(_work, card, line) for card in cards]:
            done.result()


def _work(card: Card, line: Line) -> None:
    """Train one run after the other on a card, until none waits and no other card is at work."""
    while True:
        _wait_for_device(card)
        # Looked up after the wait: a run may have left the line, or been deleted, in the meantime.
        run = line.take()
        if run is None:
            if not line.busy:
                return
            time.sleep(LOOK_SECONDS)
            continue
        log.info("run %s begins", run.id)
        cannot_begin = False
        try:
            code = _train(run, card)
            log.info("run %s ended with exit code %s", run.id, code)
        except (OSError, Gone) as error:
            # Deleted meanwhile, or no memory for another process, or no room for its log: it waits until
            # there is, and those behind it need not.
            log.warning("run %s cannot begin: %s", run.id, error)
            cannot_begin = True
            if run.folder.is_dir():
                time.sleep(RETRY_SECONDS)
        finally:
            line.give_back(run, cannot_begin)


def _wait_for_device(card: Card) -> None:
    # A training that an earlier worker left behind goes on to its end.
    endings: dict[str, _Ending] = {}
    while locks.is_held(processes.device_lock(card.number)):
        for run in store.live_runs():
            endings.setdefault(run.id, _Ending(run)).look()
        time.sleep(LOOK_SECONDS)


def _train(run: Run, card: Card) -> int:
    kills, asked = memory_kills(), _times_queued(run)
    process = engines.start_trainer(run, card.number, card.visible)
    ending = _Ending(run, process)
    while (code := process.poll()) is None:
        ending.look()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
    # One who saw its last word may have let it go on before its process was quite gone.
    if run.folder.is_dir() and _times_queued(run) == asked:
        _record_interruption(run, code, _lacked_memory(run, code, kills))
    return code


class _Ending:
    """Sees that a run that should stop does: by itself at its next step, then by SIGTERM, then by SIGKILL."""

    def __init__(self, run: Run, child: subprocess.Popen[bytes] | None = None) -> None:
        self._run = run
        self._child = child
        self._asked_at: float | None = None
        self._terminated_at: float | None = None

    def look(self) -> None:
        """Do what is due."""
        if not stop_requests.stop_asked(self._run):
            return
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        if self._terminated_at is not None:
            if now - self._terminated_at > GRACE_SECONDS:
                self._end(psutil.Process.kill)
        elif stop_requests.stop_now_asked(self._run) or now - self._asked_at > self._patience():
            self._end(psutil.Process.terminate)

    def _patience(self) -> float:
        # Whoever has heard it keeps the best weights, which may take long.
        return math.inf if stop_requests.stop_heard(self._run) else _patience_of(self._run)

    def _end(self, how: Callable[[psutil.Process], None]) -> None:
        process = processes.trainer_of(self._run) or self._own()
        if process is None:
            return
        log.info("run %s does not stop by itself: %s", self._run.id, how.__name__)
        with suppress(psutil.NoSuchProcess):
            how(process)
        self._terminated_at = self._terminated_at or time.monotonic()

    def _own(self) -> psutil.Process | None:
        # On a full disk a trainer cannot write its number down.
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._child.pid) if self._child else None
        return None


def _times_queued(run: Run) -> int:
    return sum(event["type"] == "queued" for event in run_events.events_of(run))


def _patience_of(run: Run) -> float:
    step = run_events.last_event(run, "step")
    speed = step["samples_per_second"] if step else 0.0
    seconds = run.config.batch_size / speed if speed else 0.0
    return max(PATIENCE_SECONDS, PATIENCE_STEPS * seconds)


def _record_interruption(run: Run, code: int | None, short_of_memory: bool = False) -> None:
    """Say how a training process ended that could not say so itself, and let the run go on if it may.

    Waits for room on a full disk: a run about which nobody says anything would begin again and again.
    """
    while True:
        try:
            _try_to_record_interruption(run, code, short_of_memory)
            return
        except NoSpace as error:
            log.warning("how run %s ended cannot be written: %s", run.id, error)
            time.sleep(RETRY_SECONDS)


def _try_to_record_interruption(run: Run, code: int | None, short_of_memory: bool) -> None:
    with hold(run, timeout=10), EventLog(run.folder / "events.jsonl") as events:
        processes.forget_pid(run)
        if states.has_ended(run):
            return
        if stop_requests.stop_asked(run):
            events.append({"type": "stopped", "reason": _stopped_words(run)})
            return
        interruptions = sum(event["type"] == "interrupted" for event in run_events.events_of(run))
        words = explain_exit(run, code, short_of_memory)
        resumes = interruptions < RESUMPTIONS and not short_of_memory
        events.append({"type": "interrupted", "exit_code": code, "resumes": resumes, **words})


def _stopped_words(run: Run) -> str:
    if outputs.model_folder(run):
        return "Stopped on request, from outside; the best weights that were kept before are there."
    return "Stopped on request, from outside, before there were any weights."


def explain_exit(run: Run, code: int | None, short_of_memory: bool) -> dict[str, Any]:
    """reason and remedy for a process that ended without a final event; negative codes are signals.

    With `smaller_batch`, the batch size to propose, where memory ran out.
    """
    if short_of_memory:
        size = run.config.batch_size
        half = smaller_batch(size)
        remedy = f"{smaller_words(size)} Once there is more memory, it can be resumed, too."
        proposal = {"smaller_batch": half} if half else {}
        return {"reason": _memory_words(code), "remedy": remedy, **proposal}
    if code is None:
        return {"reason": "The training process ended without a word.", "remedy": states.RESUME}
    if -code in CRASHES:
        reason = f"The training process crashed ({_name(code)})."
        return {"reason": reason, "remedy": f"Read the end of the run's log. {states.RESUME}"}
    if code < 0:
        reason = f"The training process was ended from outside ({_name(code)})."
        return {"reason": reason, "remedy": states.RESUME}
    return {
        "reason": f"The training process ended by itself with exit code {code}.",
        "remedy": f"Read the end of the run's log. {states.RESUME}",
    }


def _lacked_memory(run: Run, code: int, kills_before: int | None) -> bool:
    """Whether a process most likely ended because memory ran out."""
    if code == -signal.SIGKILL:
        return kills_before is None or memory_kills() != kills_before
    # Libraries in C++ and Rust cannot go on without memory, and say so as the last thing.
    last_words = outputs.log_of(run, 2000).splitlines()[-3:]
    return code == -signal.SIGABRT and says_out_of_memory(" ".join(last_words))


def _memory_words(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "The system ended the training process (SIGKILL), most likely because memory ran out."
    return "Memory ran out, and the training process could not go on."


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


if __name__ == "__main__":
    main()
