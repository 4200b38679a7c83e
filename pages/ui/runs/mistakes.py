"""The texts that got a wrong label."""

from typing import Any

import pandas as pd
import streamlit as st

from core.base.formatting import count
from core.runs.results.evaluated_texts import answers_of
from core.runs.training.run import Run
from core.serving.spreadsheets import safe_csv
from pages.ui.runs.texts import say_missing, show_texts


def show_mistakes(run: Run, report: dict[str, Any] | None) -> None:
    answers = answers_of(run, "test") or answers_of(run, "validation")
    if answers is None:
        say_missing(run, "predictions.parquet", "No answers yet: they are made when a training ends.")
        return
    wrong = answers.mistakes()
    st.write(
        f"{count(len(wrong), 'text')} of {len(answers.table):,} {answers.split} texts got a wrong label. "
        "The model was surest of the first."
    )
    if wrong.empty:
        return
    shown = filter_mistakes(wrong)
    show_texts(shown, "Texts with a wrong label, the surest mistake first")
    st.download_button(
        "Download these (CSV)",
        lambda: safe_csv(shown),
        "mistakes.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
        help="Cells that a spreadsheet would run as a formula are quoted.",
    )


def filter_mistakes(wrong: pd.DataFrame) -> pd.DataFrame:
    left, right = st.columns(2)
    true = left.multiselect("True label", sorted(wrong["label"].unique()), placeholder="All", key="true")
    taken = right.multiselect("Answer", sorted(wrong["predicted"].unique()), placeholder="All", key="taken")
    if true:
        wrong = wrong[wrong["label"].isin(true)]
    if taken:
        wrong = wrong[wrong["predicted"].isin(taken)]
    return wrong
