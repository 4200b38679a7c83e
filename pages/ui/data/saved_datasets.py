"""The saved data sets: choose one to train on, check or delete."""

import pandas as pd
import streamlit as st

from core.base.formatting import escape_markdown
from core.data.quality.fixes import AppliedFix
from core.data.storage import datasets as saved
from core.data.storage.datasets import DamagedDataset, Dataset
from pages.ui.data.datasets_table import COLUMNS, datasets_table
from pages.ui.data.deletion import ask_to_delete, clean_up
from pages.ui.feedback import show_deletion
from pages.ui.navigation import CHECK_PAGE, TRAIN_PAGE, go_to


def show_done(done: list[AppliedFix]) -> None:
    if not done:
        return
    st.subheader("What was done to the file's texts")
    table = pd.DataFrame(
        {
            "Fix": [one.fix for one in done],
            "Rows changed": [one.changed for one in done],
            "Rows left out": [one.left_out for one in done],
            "When": pd.to_datetime([one.time for one in done], unit="s", utc=True),
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        alt="The fixes that were applied before the data set was saved",
        column_config={
            "Rows changed": st.column_config.NumberColumn(format="localized"),
            "Rows left out": st.column_config.NumberColumn(format="localized"),
            "When": st.column_config.DatetimeColumn(format="distance"),
        },
    )


def train_on(dataset: Dataset) -> None:
    go_to(TRAIN_PAGE, dataset=dataset.id)


def offer_check(dataset: Dataset, words: str) -> None:
    help = "A baseline, labels that are probably wrong, and whether more texts would help."
    if st.button(words, icon=":material/fact_check:", help=help):
        go_to(CHECK_PAGE, dataset=dataset.id)


def show_datasets() -> None:
    show_deletion()
    entries = saved.list_entries()
    if not entries:
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Saved data sets", width="content")
        if st.button("Clean up", type="tertiary", icon=":material/cleaning_services:"):
            clean_up()
    chosen = st.dataframe(
        datasets_table(entries),
        hide_index=True,
        # Another key when the list changes: a selected row number would mean another data set.
        key=f"datasets_{len(entries)}_{entries[0].id}",
        on_select="rerun",
        selection_mode="single-row",
        alt="Saved data sets, newest first",
        placeholder="",
        column_config=COLUMNS,
    ).selection.rows
    if not chosen or chosen[0] >= len(entries):
        st.caption("Select a row to train on it or to delete it.")
        return
    show_choice(entries[chosen[0]])


def show_choice(entry: Dataset | DamagedDataset) -> None:
    if isinstance(entry, DamagedDataset):
        st.error(escape_markdown(entry.reason), icon=":material/broken_image:")
    with st.container(horizontal=True):
        if isinstance(entry, Dataset):
            if st.button("Train on the selected one", icon=":material/model_training:"):
                train_on(entry)
            offer_check(entry, "Check the selected one")
        if st.button("Delete", icon=":material/delete:"):
            ask_to_delete(entry)
