"""Save the corrected labels as a new data set."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import count, escape_markdown, shorten
from core.data.storage import datasets as saved
from core.data.storage.datasets import Dataset
from core.runs.training import queue
from core.runs.training.run import Run
from pages.ui.feedback import show_error
from pages.ui.navigation import TRAIN_PAGE, go_to


def offer_save(
    dataset: Dataset,
    labels: dict[tuple[str, int], str],
    drop: list[tuple[str, int]],
    last: Run | None,
) -> None:
    """The way on with what was mended; `last` is the run whose settings a new one takes."""
    changed = bool(labels or drop)
    st.markdown(f"{count(len(labels), 'label')} changed, {count(len(drop), 'text')} dropped.")
    with st.container(horizontal=True):
        train = last is not None and st.button(
            "Save and train again",
            type="primary",
            icon=":material/model_training:",
            disabled=not changed,
            help="Saves a new data set, and starts a training on it with the settings of the last run.",
        )
        save = st.button(
            "Save as a new data set",
            type="secondary" if last else "primary",
            icon=":material/save:",
            disabled=not changed,
        )
    if not (train or save):
        return
    try:
        new = saved.relabel(dataset.id, labels, drop)
        run = queue.submit(last.config, new) if train and last else None
    except UserError as error:
        show_error(error)
        return
    if run:
        go_to(TRAIN_PAGE, run=run.id)
    st.session_state["saved_again"] = new.id
    st.query_params.from_dict({"dataset": new.id})
    st.rerun()


def show_saved_again(dataset: Dataset) -> None:
    if st.session_state.get("saved_again") == dataset.id:
        st.success(f"Saved as {escape_markdown(shorten(dataset.name, 80))}.", icon=":material/check_circle:")
