"""Texts that one run labels correctly and another does not."""

import pandas as pd
import streamlit as st

from core.runs.results.comparison import FEWEST, Comparison
from core.serving.spreadsheets import safe_csv

SHOWN_TEXTS = 1000


def show_changed(found: Comparison) -> None:
    st.markdown("##### Texts that changed sides", help="Right in one of two runs, and wrong in the other.")
    first, second = choose_pair(found)
    if first == second:
        st.caption("Choose two different runs.")
        return
    lost, won = found.changed(first, second)
    sides = {
        f"Only {found.titles[first]} is right": lost,
        f"Only {found.titles[second]} is right": won,
    }
    side = st.segmented_control(
        "Side",
        list(sides),
        default=list(sides)[1],
        required=True,
        format_func=lambda words: f"{words} ({len(sides[words]):,})",
        key=f"side_{first}_{second}",
        label_visibility="collapsed",
        wrap=True,
    )
    show_side(sides[side], found.titles[first], found.titles[second])


def choose_pair(found: Comparison) -> tuple[int, int]:
    if len(found.runs) == FEWEST:
        return 0, 1
    numbers = list(range(len(found.runs)))
    left, right = st.columns(2)
    name = found.titles.__getitem__
    ids = "_".join(run.id for run in found.runs)
    first = left.selectbox("First", numbers, index=0, format_func=name, key=f"first_{ids}")
    second = right.selectbox("Second", numbers, index=1, format_func=name, key=f"second_{ids}")
    return first, second


def show_side(rows: pd.DataFrame, first: str, second: str) -> None:
    if rows.empty:
        st.caption("No text.")
        return
    labels = st.multiselect("True label", sorted(rows["label"].unique()), placeholder="All", key="label")
    shown = rows[rows["label"].isin(labels)] if labels else rows
    st.dataframe(
        shown.head(SHOWN_TEXTS),
        hide_index=True,
        alt="Texts that only one of the two runs has right, the surest mistake first",
        column_config={
            "text": st.column_config.TextColumn("Text", width="medium"),
            "label": "True label",
            "first": f"Answer of {first}",
            "second": f"Answer of {second}",
            "confidence": st.column_config.ProgressColumn(
                "Confidence of the wrong answer", format="percent", min_value=0, max_value=1
            ),
        },
    )
    if len(shown) > SHOWN_TEXTS:
        st.caption(f"The first {SHOWN_TEXTS:,} of {len(shown):,} are shown; the file has all.")
    st.download_button(
        "Download these (CSV)",
        lambda: safe_csv(shown),
        "changed.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
        help="Cells that a spreadsheet would run as a formula are quoted.",
    )
