"""Scores with their intervals."""

from typing import Any

import pandas as pd
import streamlit as st

from core.base.formatting import MAIN_SCORES, SCORES, Score, percent
from core.charts.curves import SIMPLE
from core.serving.report.report_page import score_rows

TRAIN_AGAIN = "Training again gives them."


def show_scores(scores: dict[str, Any], baseline: dict[str, Any] | None) -> None:
    """The main scores with their intervals, and beside them what a training must beat."""
    ends = scores.get("intervals", {})
    with st.container(horizontal=True):
        for name in MAIN_SCORES:
            show_score(SCORES[name], scores[name], ends.get(name))
        if "majority_accuracy" in scores:
            show_number("Most common class", percent(scores["majority_accuracy"]), MAJORITY_IS)
        if baseline:
            words = f"The accuracy of {SIMPLE[baseline['name']]}; see the Check page."
            show_number("Baseline", percent(baseline["accuracy"]), words)
        if "texts" in scores:
            show_number("Texts", f"{scores['texts']:,.0f}")
    if not ends:
        st.caption(
            "An earlier version made this run: intervals, calibration and more scores are missing. "
            + TRAIN_AGAIN
        )
        return
    st.caption(":material/info: Below a score: its 95 % interval, from 1,000 resamples of these texts.")
    with st.expander("More scores"):
        show_more_scores(scores)


MAJORITY_IS = "The accuracy of always naming the most common class."


def show_score(score: Score, value: float, ends: list[float] | None) -> None:
    interval = score.write_interval(ends) if ends else None
    st.metric(
        score.words,
        score.write(value),
        interval,
        delta_color="off",
        delta_arrow="off",
        border=True,
        width=180,
        help=score.meaning,
    )


def show_number(words: str, value: str, help: str | None = None) -> None:
    st.metric(words, value, border=True, width=180, help=help)


def show_more_scores(scores: dict[str, Any]) -> None:
    table = pd.DataFrame(score_rows(scores)).drop(columns="main")
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        alt="Every score with its 95 % interval",
        column_config={
            "name": "Score",
            "value": "Value",
            "interval": "95 % interval",
            "after": st.column_config.TextColumn(
                "With temperature", help="Of the probabilities that the model answers with; see Confidence."
            ),
            "meaning": "What it is",
        },
    )
