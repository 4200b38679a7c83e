"""How the fault tests look at a run."""

from core.base import locks
from core.base.home import home
from core.runs.training import processes, queue, run_events, states, store
from core.runs.training.events import Event, read_events
from core.runs.training.run import Run
from tests.processes import processes_of, wait_for


def status(run: Run) -> str:
    """What the run does, without doing anything about it."""
    return states.state(run).status


def looked_at(run: Run) -> str:
    """What the run does, as a page asks for it."""
    queue.ensure_worker()
    return status(run)


def events_in(run: Run) -> list[Event]:
    """Everything that was ever written, what was undone among it."""
    return read_events(run.folder / "events.jsonl")


def count(run: Run, kind: str) -> int:
    """How many events of a type the run ever had."""
    return sum(event["type"] == kind for event in events_in(run))


def steps_of(run: Run) -> int:
    """How far the run has come."""
    return max((event.get("step", 0) for event in run_events.events_of(run)), default=0)


def see_that_nothing_is_left() -> None:
    """All runs have ended: so do their processes, and no lock is held.

    Raises:
        AssertionError: they do not.
    """
    wait_for(lambda: not processes_of(home()), seconds=20)
    assert [path for path in home().rglob("*.lock") if locks.is_held(path)] == []
    for run in store.list_runs():
        assert processes.trainer_of(run) is None
        # What a kill left of a save is cleared by the next save; where there is none, with age.
        assert status(run) != "finished" or not list(run.folder.rglob(".*"))
