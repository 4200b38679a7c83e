"""The table of runs: choose one, or several to compare."""

from typing import Any

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.base.formatting import count, duration
from core.runs.results import outputs
from core.runs.results.comparison import FEWEST, MOST
from core.runs.results.facts import model_title
from core.runs.training import states, store
from core.runs.training.run import Run
from pages.ui.feedback import STATUS, show_error
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


def row_of(run: Run) -> dict[str, Any]:
    state = states.state(run)
    row: dict[str, Any] = {"Status": STATUS[state.status].words, "Data set": run.name or "(cannot be read)"}
    row |= {"Accuracy (%)": None, "Macro F1 (%)": None, "Started": state.started or run.created or None}
    if not run.readable:
        return row
    scores = (outputs.report_of(run) or {}).get("test")
    if scores:
        row |= {"Accuracy (%)": 100 * scores["accuracy"], "Macro F1 (%)": 100 * scores["macro_f1"]}
    values: dict[str, Any] = {
        "model": model_title(run),
        "epochs": run.config.epochs,
        "batch_size": run.config.batch_size,
        "learning_rate": f"{run.config.learning_rate:g}",
    }
    row |= {"Duration": duration(state.seconds) if state.seconds is not None else None}
    values |= dict.fromkeys(name for name in values if name in run.unrecorded)
    return row | {IN_TABLE[name]: value for name, value in values.items()}


IN_TABLE = {
    "model": "Model",
    "epochs": "Epochs",
    "batch_size": "Batch size",
    "learning_rate": "Learning rate",
}
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
