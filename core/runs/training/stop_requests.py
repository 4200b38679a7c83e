"""A person's word that a run should stop, left in its folder for the process at work."""

from __future__ import annotations

from contextlib import suppress

from core.runs.training.events import newest
from core.runs.training.run import Run
from core.runs.training.run_events import newest_events

STOP, STOP_NOW = "stop", "stop-now"
"""Files that carry a person's word to the process at work; they outlive both."""


def ask_to_stop(run: Run, now: bool = False) -> None:
    """Leave word that the run should stop: at its next step, or `now`, whatever it is doing."""
    with suppress(FileNotFoundError):  # Deleted meanwhile: there is nothing left to stop.
        (run.folder / STOP).touch()
        if now:
            (run.folder / STOP_NOW).touch()


def stop_asked(run: Run) -> bool:
    """Whether somebody asked the run to stop."""
    return (run.folder / STOP).exists()


def stop_now_asked(run: Run) -> bool:
    """Whether somebody asked that the run should not even end its step."""
    return (run.folder / STOP_NOW).exists()


def forget_stop(run: Run) -> None:
    """Take back that it should stop: it goes on."""
    for name in (STOP, STOP_NOW):
        (run.folder / name).unlink(missing_ok=True)


def stop_heard(run: Run) -> bool:
    """Whether the process at work on the run has said that it is about to stop."""
    last = newest(newest_events(run), "started", "stopping")
    return last is not None and last["type"] == "stopping"
