"""Scores beside each other, with intervals."""

import pandas as pd
import streamlit as st

from core.base.formatting import SCORES
from core.charts.comparison import describe_dots, score_dots
from core.runs.results.comparison import Comparison
from core.runs.results.comparison_tables import COMPARED, all_scores, score_rows


def show_scores(found: Comparison) -> None:
    st.markdown("##### Scores")
    name = st.segmented_control(
        "Score",
        COMPARED,
        default="macro_f1",
        required=True,
        format_func=lambda name: SCORES[name].words,
        key="score",
        label_visibility="collapsed",
        wrap=True,
    )
    score = SCORES[name]
    rows = score_rows(found, name)
    words = describe_dots(rows, score.words, score.in_percent)
    st.altair_chart(score_dots(rows, score.words, score.in_percent), alt=words, key="dots")
    st.caption(f"{words} {score.meaning}")
    with st.expander("All scores"):
        table = pd.DataFrame(all_scores(found))
        st.dataframe(table, hide_index=True, height="content", alt="Scores with 95 % intervals")
