"""The line of runs: submit, cancel, and see that somebody works on it."""

from dataclasses import replace
from typing import TypedDict, Unpack

from filelock import Timeout

from core.base import locks
from core.base.cards import visible_cards
from core.base.disk import full_is_said
from core.base.errors import UserError
from core.base.home import home
from core.data.storage.datasets import Dataset
from core.learning import pretrained
from core.learning.config import TrainingConfig, check
from core.runs.results import outputs
from core.runs.tasks import forecasts
from core.runs.training import disk_space, engines, run_events, states, stop_requests, store
from core.runs.training.events import EventLog
from core.runs.training.run import Gone, Run, hold, is_alive, own_dataset


class Changes(TypedDict, total=False):
    """Settings that a run may change when it is submitted again."""

    batch_size: int


def submit(config: TrainingConfig, dataset: Dataset) -> Run:
    """Put a run at the end of the line and see that a worker drains it.

    Raises:
        UserError: settings out of range, all problems at once, or not fit for the model.
        NoSpace: the disk has no room for the run.
    """
    check(config)
    pretrained.check_length(config.model, config.max_length)
    run = _create(config, dataset)
    ensure_worker()
    return run


def submit_again(run: Run, **changes: Unpack[Changes]) -> Run:
    """A new run with the data and the settings of an earlier one, but for `changes`, from the beginning.

    Raises:
        UserError: the data is damaged, or the settings are not all known.
    """
    if run.unknown or not run.readable:
        raise UserError(
            "a run with settings that this version knows",
            f"one with {', '.join(run.unknown) or 'none that can be read'}",
            "Choose the settings on the Train page.",
        )
    again = _create(replace(run.config, **changes), own_dataset(run))
    ensure_worker()
    return again


def _create(config: TrainingConfig, dataset: Dataset) -> Run:
    disk_space.check_new(config, dataset)
    with full_is_said(
        "this run", disk_space.need(config, dataset).ending, store.runs_root(), disk_space.MAKE_ROOM
    ):
        run = store.create_run(config, dataset)
        forecasts.record(run, dataset)
        return run


def resume(run: Run) -> Run:
    """Let a run whose process was lost go on from its last snapshot, or from the beginning without one.

    Raises:
        UserError: the run was neither interrupted, nor failed in a way that leaves something to go on from.
    """
    try:
        with hold(run, timeout=1):
            if not states.can_resume(run):
                raise _not_resumable(run, states.state_unattended(run).status)
            stop_requests.forget_stop(run)
            with EventLog(run.folder / "events.jsonl") as events:
                events.append({"type": "queued"})
    except Timeout as error:
        raise _not_resumable(run, states.state(run).status) from error
    ensure_worker()
    return run


def _not_resumable(run: Run, status: str) -> UserError:
    live = status in ("queued", "running", "stopping")
    remedy = "It goes on by itself." if live else "Start it again instead."
    return UserError("a run that was interrupted", f"a run that is {status}", remedy)


def cancel(run: Run, now: bool = False) -> None:
    """End a run: at once when it waits in line, at its next step, with its best weights, when it trains.

    The worker sees that it does: a process that does not take it up is ended from outside.

    Args:
        now: do not even wait for the step.
    """
    with full_is_said("the word that it should stop", 1000, run.folder):
        stop_requests.ask_to_stop(run, now)
    try:
        with hold(run, timeout=1):
            if states.waits(run):
                kept = "; the best weights so far are kept" if outputs.model_folder(run) else ""
                with EventLog(run.folder / "events.jsonl") as events:
                    events.append({"type": "stopped", "reason": f"Taken out of the line{kept}."})
    except Gone:
        pass  # There is nothing left to end.
    except Timeout:
        pass  # The trainer holds the lock: it reads the word left above.
    # Sees that it ends, and that those behind it begin: the worker that should may be gone.
    ensure_worker()


def run_at_work() -> Run | None:
    """The run that trains, or else the next of those that wait; None when there is none of either."""
    live = [run for run in store.list_runs() if states.state(run).live]
    return next((run for run in live if is_alive(run)), live[-1]) if live else None


def position(run: Run) -> int | None:
    """Place in the line, 1 for the next; None for a run that does not wait."""
    numbers = [waiting.id for waiting in store.waiting_runs()]
    return numbers.index(run.id) + 1 if run.id in numbers else None


def expected_wait(run: Run) -> float | None:
    """Seconds until a waiting run begins: by the run at work, earlier runs like those ahead, and forecasts.

    None when there is nothing to tell it by.
    """
    runs = store.list_runs()
    at_work = [other for other in runs if states.state(other).status in ("running", "stopping")]
    waiting = [r for r in runs if r.number < run.number and states.state(r).status == "queued"]
    waits = [_seconds_left(ahead, runs) for ahead in [*at_work, *waiting]]
    known = [wait for wait in waits if wait is not None]
    # Several GPUs work on several runs at a time.
    return sum(known) / len(visible_cards()) if len(known) == len(waits) else None


def _seconds_left(run: Run, runs: list[Run]) -> float | None:
    last = run_events.last_event(run, "step")
    if is_alive(run) and last:
        return last["seconds_left"]
    for earlier in (r for r in runs if _alike(r, run) and states.state(r).status == "finished"):
        report, texts = outputs.report_of(earlier), _texts_to_train(earlier)
        if report and texts and "total_seconds" in report:
            return report["total_seconds"] * _texts_to_train(run) / texts
    expected = forecasts.recorded(run)
    return expected.seconds if expected else None


def _alike(one: Run, other: Run) -> bool:
    names = ("model", "max_length", "batch_size", "precision")
    return all(getattr(one.config, name) == getattr(other.config, name) for name in names)


def _texts_to_train(run: Run) -> int:
    try:
        return own_dataset(run).counts["train"] * run.config.epochs
    except UserError:
        return 0


def ensure_worker() -> None:
    """Start the worker if a run needs one, and none is at work. Cheap; every page may call it."""
    if (store.live_runs() or store.lost_runs()) and not locks.is_held(home() / "worker.lock"):
        engines.start_worker()
