"""The curves of runs beside each other."""

import pandas as pd
import streamlit as st

from core.charts.comparison import describe_runs, run_losses, run_scores
from core.charts.curves import loss_table, score_table
from core.runs.training import run_events
from core.runs.training.run import Run


def show_curves(runs: list[Run], titles: list[str]) -> None:
    st.markdown("##### How they learned")
    events = [run_events.events_of(run) for run in runs]
    losses = beside(titles, [loss_table(each).query("split == 'validation'") for each in events])
    scores = beside(titles, [score_table(each) for each in events])
    if losses.empty:
        st.caption("None of them left a validation score.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        words = describe_runs(losses, "loss", "Validation loss", "{:.3f}")
        st.altair_chart(run_losses(losses), alt=words, key="losses")
        st.caption(words)
    with right:
        words = describe_runs(scores, "macro_f1", "Validation macro F1", "{:.1%}")
        st.altair_chart(run_scores(scores), alt=words, key="learned")
        st.caption(words)


def beside(titles: list[str], tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The tables over each other, with a column `run`."""
    named = [table.assign(run=title) for title, table in zip(titles, tables, strict=True)]
    return pd.concat(named, ignore_index=True)
