"""A run, live until it has ended."""

import time
from bisect import bisect_left

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import count, escape_markdown, shorten
from core.runs.results.facts import model_title
from core.runs.training import queue, run_events, states, store
from core.runs.training.events import Event
from core.runs.training.run import Run
from core.runs.training.states import RunState
from pages.ui.feedback import show_error
from pages.ui.train.curves import baselines, show_curves
from pages.ui.train.forecast import LOOK_EVERY_SECONDS
from pages.ui.train.log import show_log
from pages.ui.train.outcome import show_notes
from pages.ui.train.state import show_state

STILL_SECONDS = 2.0


def show_run(run: Run) -> None:
    show_heading(run)
    live = is_live(run, states.state(run))
    # Redrawn by itself while the run may change; the rest of the page stands still.
    st.fragment(watch, run_every=LOOK_EVERY_SECONDS if live else None)(run.id, live, baselines(run))
    if not run.damage:
        show_log(run)


def show_heading(run: Run) -> None:
    if run.damage:
        return
    st.subheader(escape_markdown(shorten(run.name, 80)), anchor=False)
    words = {
        "model": escape_markdown(model_title(run)),
        "epochs": count(run.config.epochs, "epoch"),
        "batch_size": f"batches of {run.config.batch_size}",
        "learning_rate": f"learning rate {run.config.learning_rate:g}",
    }
    # What an earlier version did not write down may have been another value than today's default.
    st.caption(" · ".join(said for name, said in words.items() if name not in run.unrecorded))


def is_live(run: Run, state: RunState) -> bool:
    """Whether it may change by itself: one that was lost is about to go on, or to be called interrupted."""
    return state.live or states.is_lost(run)


def watch(run_id: str, was_live: bool, baselines: dict[str, float]) -> None:
    try:
        run = store.find_run(run_id)
    except UserError as error:
        show_error(error)
        return
    state = states.state(run)
    if was_live and not is_live(run, state):
        # It has just ended: the whole page is drawn once more, and then no longer by itself.
        st.rerun()
    if state.status == "queued" or states.is_lost(run):
        queue.ensure_worker()
    events = run_events.follow(run)
    show_state(run, state, events)
    show_notes(events)
    show_curves(run, events if state.status != "running" else settled(events), baselines)


def settled(events: list[Event]) -> list[Event]:
    """The events but for those of the last moment: so long no chart changes.

    Whenever each of those who watch looks, they see the same events, and the charts are drawn once for all.
    """
    until = time.time() // STILL_SECONDS * STILL_SECONDS
    # A clock that was set back makes all of them events of the future.
    return events[: bisect_left(events, until, key=lambda event: event["time"])] or events
