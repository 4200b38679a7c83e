"""How far the labelling of a file has come, and how it ended."""

import streamlit as st

from core.base.errors import UserError
from core.runs.tasks import labellings
from core.runs.tasks.labellings import Labelling, LabellingState
from pages.ui.feedback import STATUS, show_error


@st.fragment(run_every=1.0)
def follow_labelling(found: Labelling) -> None:
    state = labellings.state(found)
    if not state.live:
        st.rerun()
    share = state.done / state.rows if state.rows else 0.0
    st.progress(min(share, 1.0), labellings.progress_in_words(state))
    st.caption("It goes on when this page is closed. The address of this page leads back to it.")
    stopping = state.status == "stopping"
    if st.button("Stop", icon=":material/stop_circle:", disabled=stopping, key="stop_labelling"):
        labellings.stop(found)
        st.rerun(scope="fragment")


def say_end(state: LabellingState) -> None:
    show = st.error if state.status == "failed" else st.warning
    show(labellings.end_in_words(state), icon=STATUS[state.status].icon)


def offer_resumption(found: Labelling) -> None:
    if not st.button("Resume", type="primary", icon=":material/play_circle:"):
        return
    try:
        labellings.resume(found)
    except UserError as error:
        show_error(error)
        return
    st.rerun()
