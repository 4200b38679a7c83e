"""The name of a run, its state, and what can be done with it."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, shorten
from core.data.storage.datasets import find_dataset
from core.runs.results import outputs
from core.runs.training.run import Run
from core.runs.training.states import RunState
from pages.ui.feedback import STATUS
from pages.ui.navigation import CHECK_PAGE, EXPORT_PAGE, PREDICT_PAGE, TRAIN_PAGE, go_to, run_link
from pages.ui.runs.deletion import ask_to_delete


def show_heading(run: Run, state: RunState) -> None:
    status = STATUS[state.status]
    st.subheader(escape_markdown(shorten(run.name or "A run that cannot be read", 80)))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(status.words, icon=status.icon, color=status.colour)
        if state.status == "interrupted" and st.button(
            "Resume on Train",
            type="secondary" if outputs.model_folder(run) else "primary",
            icon=":material/resume:",
            help="The Train page lets it go on.",
        ):
            go_to(TRAIN_PAGE, run=run.id)
        if state.live and st.button("Watch it", type="primary", icon=":material/visibility:"):
            go_to(TRAIN_PAGE, run=run.id)
        if (
            not state.live
            and outputs.model_folder(run)
            and st.button("Try it", type="primary", icon=":material/label:")
        ):
            go_to(PREDICT_PAGE, run=run.id)
        offer_export(run, state)
        if run.readable and not state.live and is_saved(run):
            offer_more(run)
        with st.popover("Share", icon=":material/link:", help="A link to this run"):
            st.write("Whoever can reach this server can see the run under this link:")
            st.code(run_link(st.context.url, run.id), language=None, wrap_lines=True)
        if not state.live and st.button("Delete", icon=":material/delete:"):
            ask_to_delete(run)


def offer_export(run: Run, state: RunState) -> None:
    if state.live or not outputs.model_folder(run):
        return
    if st.button("Take it away", icon=":material/outbox:", help="Download this model, in any form."):
        go_to(EXPORT_PAGE, run=run.id)


def is_saved(run: Run) -> bool:
    """Whether the data set that the run was started with is still there."""
    try:
        find_dataset(run.dataset_id)
    except UserError:
        return False
    return True


def offer_more(run: Run) -> None:
    if st.button(
        "Train again",
        icon=":material/replay:",
        help="Opens the Train page with this data set and these settings, to be changed or not.",
    ):
        go_to(TRAIN_PAGE, dataset=run.dataset_id, like=run.id)
    if st.button(
        "Check its labels",
        icon=":material/fact_check:",
        help="Which labels of the data set are probably wrong, and what simple classifiers reach.",
    ):
        go_to(CHECK_PAGE, dataset=run.dataset_id)
