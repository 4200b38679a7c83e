"""Scores beside each other, with intervals."""

import pandas as pd
import streamlit as st

from core.base.formatting import SCORES
from core.charts.comparison import describe_dots, score_dots
from core.runs.results.comparison import Comparison

DOTTED = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "mcc")


def show_scores(found: Comparison) -> None:
    st.markdown("##### Scores")
    name = st.segmented_control(
        "Score",
        DOTTED,
        default="macro_f1",
        required=True,
        format_func=lambda name: SCORES[name].words,
        key="score",
        label_visibility="collapsed",
        wrap=True,
    )
    score = SCORES[name]
    rows = pd.DataFrame(
        [
            [title, scores[name], *scores["intervals"][name]]
            for title, scores in zip(found.titles, found.scores, strict=True)
        ],
        columns=["run", "value", "low", "high"],
    )
    words = describe_dots(rows, score.words, score.in_percent)
    st.altair_chart(score_dots(rows, score.words, score.in_percent), alt=words, key="dots")
    st.caption(f"{words} {score.meaning}")
    with st.expander("All scores"):
        st.dataframe(scores_table(found), hide_index=True, height="content", alt="Scores with 95 % intervals")


def scores_table(found: Comparison) -> pd.DataFrame:
    rows = []
    for title, scores in zip(found.titles, found.scores, strict=True):
        row = {"Run": title}
        for name in DOTTED:
            score = SCORES[name]
            interval = score.write_interval(scores["intervals"][name])
            row[score.words] = f"{score.write(scores[name])} ({interval})"
        rows.append(row)
    return pd.DataFrame(rows)
