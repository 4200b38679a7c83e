"""A run, live until it has ended."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, shorten
from core.runs.results.facts import summary_of
from core.runs.training import queue, run_events, states, store
from core.runs.training.progress import settled
from core.runs.training.run import Run
from core.runs.training.states import RunState
from pages.ui.feedback import show_error
from pages.ui.train.curves import baselines, show_curves
from pages.ui.train.forecast import LOOK_EVERY_SECONDS
from pages.ui.train.log import show_log
from pages.ui.train.outcome import show_notes
from pages.ui.train.state import show_state


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
    st.caption(summary_of(run))


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
