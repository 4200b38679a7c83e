"""The table of runs: choose one, or several to compare."""

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.base.formatting import count
from core.runs.results.comparison import FEWEST, MOST
from core.runs.results.facts import row_of
from core.runs.training import store
from core.runs.training.run import Run
from pages.ui.feedback import show_error
from pages.ui.navigation import COMPARE_PAGE, go_to


def choose_run(runs: list[Run]) -> Run | None:
    """The run of the link, or the one whose row is selected; the link follows the selection."""
    ids = [run.id for run in runs]
    linked = st.query_params.get("run")
    if linked is not None and linked not in ids:
        try:
            store.find_run(linked)
        except UserError as error:
            show_error(error)
    chosen = st.dataframe(
        runs_table(runs),
        hide_index=True,
        # Another key when the list changes: a selected row number would mean another run.
        key=f"runs_{len(ids)}_{ids[0]}",
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(linked)] if linked in ids else []}},
        alt="All runs, newest first",
        placeholder="",
        column_config=COLUMNS,
    ).selection.rows
    selected = ids[chosen[0]] if chosen and chosen[0] < len(ids) else None
    if selected != linked:
        follow(selected)
    return runs[ids.index(selected)] if selected else None


def choose_several(runs: list[Run]) -> None:
    chosen = st.dataframe(
        runs_table(runs),
        hide_index=True,
        key=f"several_{len(runs)}_{runs[0].id}",
        on_select="rerun",
        selection_mode="multi-row",
        alt="All runs, newest first; select 2 to 8",
        placeholder="",
        column_config=COLUMNS,
    ).selection.rows
    ids = [runs[row].id for row in chosen if row < len(runs)]
    fits = FEWEST <= len(ids) <= MOST
    words = f"Compare {count(len(ids), 'run')}" if fits else f"Select {FEWEST} to {MOST} runs"
    if st.button(words, type="primary", icon=":material/compare_arrows:", disabled=not fits):
        go_to(COMPARE_PAGE, runs=",".join(ids))


def follow(selected: str | None) -> None:
    if selected:
        st.query_params["run"] = selected
    elif "run" in st.query_params:
        del st.query_params["run"]


def runs_table(runs: list[Run]) -> pd.DataFrame:
    table = pd.DataFrame([row_of(run) for run in runs])
    table["Started"] = pd.to_datetime(table["Started"], unit="s", utc=True)
    return table


COLUMNS = {
    "Accuracy (%)": st.column_config.NumberColumn(
        format="%.1f", help="Share of the test texts that got the right label."
    ),
    "Macro F1 (%)": st.column_config.NumberColumn(
        format="%.1f", help="Mean F1 of all classes on the test texts; every class counts the same."
    ),
    "Started": st.column_config.DatetimeColumn(format="distance"),
    "Epochs": st.column_config.NumberColumn(help="Passes over the training texts."),
    "Batch size": st.column_config.NumberColumn(help="Texts per step."),
}
