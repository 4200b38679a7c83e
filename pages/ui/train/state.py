"""The state of a run in one line."""

import streamlit as st

from core.base.formatting import duration
from core.runs.results import outputs
from core.runs.tasks import forecasts
from core.runs.training import queue
from core.runs.training.events import Event
from core.runs.training.run import Run
from core.runs.training.states import RunState
from pages.ui.feedback import STATUS
from pages.ui.train.link import only_viewing, share
from pages.ui.train.outcome import show_failure, show_result
from pages.ui.train.progress import show_progress
from pages.ui.train.stop import offer_stop


def show_state(run: Run, state: RunState, events: list[Event]) -> None:
    status = STATUS[state.status]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(status.words, icon=status.icon, color=status.colour)
        if state.seconds is not None:
            st.caption(f"{duration(state.seconds)} {'so far' if state.live else 'in all'}", width="content")
        if state.live and not only_viewing():
            offer_stop(run, state)
            share(run)
    if state.status == "queued":
        st.info(
            f"Place {queue.position(run) or 1} in line{wait_words(run)}. It starts by itself"
            f"{expected_words(run)}; you can close this tab.",
            icon=":material/hourglass_empty:",
        )
    elif state.live:
        show_progress(events)
    elif state.status == "finished" or outputs.model_folder(run):
        show_result(run, state)
    else:
        show_failure(run, state)


def wait_words(run: Run) -> str:
    seconds = queue.expected_wait(run)
    return f", about {duration(seconds)} to wait" if seconds and seconds >= 1 else ""


def expected_words(run: Run) -> str:
    expected = forecasts.recorded(run)
    return f" and takes about {forecasts.in_words(expected)}" if expected else ""
