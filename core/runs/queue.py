"""The line of runs: submit, cancel, and see that somebody works on it."""

from filelock import FileLock, Timeout

from core.data.datasets import Dataset
from core.errors import UserError
from core.home import home
from core.learning import catalogue
from core.learning.config import TrainingConfig, check
from core.runs import engines, store
from core.runs.events import EventLog
from core.runs.store import Run


def submit(config: TrainingConfig, dataset: Dataset) -> Run:
    """Put a run at the end of the line and see that a worker drains it.

    Raises:
        UserError: settings out of range, all problems at once, or not fit for the model.
    """
    check(config)
    catalogue.check_length(config.model, config.max_length)
    run = store.create_run(config, dataset)
    ensure_worker()
    return run


def submit_again(run: Run) -> Run:
    """A new run with the settings and the data of an earlier one, from the beginning."""
    again = store.create_run(run.config, store.own_dataset(run))
    ensure_worker()
    return again


def resume(run: Run) -> None:
    """Let a run whose process was lost go on from its last snapshot, or from the beginning without one.

    Raises:
        UserError: the run was not interrupted.
    """
    with FileLock(run.folder / "run.lock", timeout=1):
        if store.state_unattended(run).status != "interrupted":
            raise UserError(
                "a run that was interrupted",
                f"a run that is {store.state_unattended(run).status}",
                "Start it again instead.",
            )
        (run.folder / "stop").unlink(missing_ok=True)
        with EventLog(run.folder / "events.jsonl") as events:
            events.append({"type": "queued"})
    ensure_worker()


def cancel(run: Run) -> None:
    """End a run: at once when it waits in line, at its next step, with its best weights, when it trains."""
    store.ask_to_stop(run)
    try:
        with FileLock(run.folder / "run.lock", timeout=1):
            if store.waits(run):
                with EventLog(run.folder / "events.jsonl") as events:
                    events.append({"type": "stopped", "reason": "Taken out of the line before it began."})
    except Timeout:
        pass  # The trainer holds the lock: it reads the word left above.


def position(run: Run) -> int | None:
    """Place in the line, 1 for the next; None for a run that does not wait."""
    numbers = [waiting.id for waiting in store.waiting_runs()]
    return numbers.index(run.id) + 1 if run.id in numbers else None


def ensure_worker() -> None:
    """Start the worker if runs wait, or were lost, and none is at work. Cheap; every page may call it."""
    if (store.waiting_runs() or store.lost_runs()) and not store.is_held(home() / "worker.lock"):
        engines.start_worker()
