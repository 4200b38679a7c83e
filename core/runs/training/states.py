"""What a run does at the moment of asking, from its events and its lock."""

from __future__ import annotations

import time
from dataclasses import dataclass

from core.runs.training.events import FINAL
from core.runs.training.run import Run, is_alive
from core.runs.training.run_events import edge_events, last_turn, newest_events, start_time, story_of
from core.runs.training.stop_requests import stop_asked

RESUME = "Resume it: it goes on from its last snapshot."
"""What to do about a run whose process was lost."""

REPAIR = "Delete it, or restore its folder from a copy."
"""What to do about a run whose folder is damaged."""


@dataclass(frozen=True)
class RunState:
    """What a run does at the moment of asking."""

    status: str
    """queued, running, stopping, finished, failed, stopped, interrupted or damaged."""
    reason: str = ""
    remedy: str = ""
    started: float | None = None
    ended: float | None = None

    @property
    def live(self) -> bool:
        """Whether it may still change by itself."""
        return self.status in ("queued", "running", "stopping")

    @property
    def seconds(self) -> float | None:
        """Time from its start to its end, or until now."""
        if self.started is None:
            return None
        # A clock may have been set back meanwhile.
        return max(0.0, (self.ended or time.time()) - self.started)


def state(run: Run) -> RunState:
    """What the run does now, from the first and the last of its events and from its lock."""
    if run.damage:
        return RunState("damaged", run.damage, REPAIR)
    found = _ended(run)
    if found is None and is_alive(run):
        started = start_time(edge_events(run))
        return RunState("stopping" if stop_asked(run) else "running", started=started)
    # Asked again: it may have ended between the two looks.
    return found or _ended(run) or _unattended(run)


def state_unattended(run: Run) -> RunState:
    """What the run does, for whoever holds its lock."""
    return _ended(run) or _unattended(run)


def waits(run: Run) -> bool:
    """Whether no process has begun with the run yet. For whoever holds the run's lock."""
    return _ended(run) is None and _unattended(run).status == "queued"


def is_lost(run: Run) -> bool:
    """Whether a process began with the run and is gone without a word."""
    if run.damage or has_ended(run) or is_alive(run):
        return False
    last = story_of(run).last_turn
    # Asked again: it may have ended between the two looks.
    return last is not None and last["type"] == "started" and not has_ended(run)


def can_resume(run: Run) -> bool:
    """Whether a person may let the run go on: interrupted, or failed for a cause that can be removed."""
    if run.damage or run.unknown:
        return False
    last = last_turn(newest_events(run))
    if last and last["type"] == "failed":
        return bool(last.get("resumable"))
    return not has_ended(run) and _unattended(run).status == "interrupted"


def smaller_batch(run: Run) -> int | None:
    """The batch size (texts) proposed after memory ran out; None when it did not."""
    last = last_turn(newest_events(run))
    smaller = last.get("smaller_batch") if last else None
    return smaller if isinstance(smaller, int) else None


def has_ended(run: Run) -> bool:
    """Whether the run said its last word: finished, failed or stopped."""
    return _ended(run) is not None


def _ended(run: Run) -> RunState | None:
    # A last word is the last event: one further up was followed by another try.
    last = last_turn(newest_events(run))
    if last is None or last["type"] not in FINAL:
        return None
    started = start_time(edge_events(run))
    return RunState(last["type"], last.get("reason", ""), last.get("remedy", ""), started, last["time"])


def _unattended(run: Run) -> RunState:
    """The state of a run without an end on which no process works: it waits, or its process was lost."""
    story = story_of(run)
    started, last = story.started, story.last_turn
    if last is None:
        return RunState("damaged", "Its events are gone.", REPAIR)
    if run.unknown:
        names = ", ".join(run.unknown)
        reason = f"It was made by another version, with settings that this one lacks: {names}."
        return RunState("damaged", reason, "Go on with it in the version that made it, or delete it.")
    if last["type"] == "queued" or last.get("resumes"):
        return RunState("queued")
    if last["type"] == "interrupted":
        return RunState("interrupted", last["reason"], last["remedy"], started, last["time"])
    reason = "The training process ended without a word."
    return RunState("interrupted", reason, RESUME, started, story.last_time)
