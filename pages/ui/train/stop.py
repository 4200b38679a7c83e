"""The buttons that stop a training."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import explain
from core.runs.training import queue
from core.runs.training.run import Run
from core.runs.training.states import RunState


def offer_stop(run: Run, state: RunState) -> None:
    waits = state.status == "queued"
    if state.status == "stopping" and st.button(
        "End at once",
        icon=":material/cancel:",
        help="Does not wait until its last weights are kept and judged. What was kept before stays.",
    ):
        cancel(run, now=True)
    if st.button(
        "Take out of the line" if waits else "Stop",
        icon=":material/stop:",
        disabled=state.status == "stopping",
        help=None if waits else "Ends at the next step and keeps the best weights so far.",
    ):
        cancel(run)


def cancel(run: Run, now: bool = False) -> None:
    try:
        queue.cancel(run, now)
    except UserError as error:
        st.error(explain(error))
        return
    if not now:
        st.rerun(scope="fragment")
