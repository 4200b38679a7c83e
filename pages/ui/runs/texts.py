"""Evaluated texts as a table."""

import pandas as pd
import streamlit as st

from core.runs.training import states
from core.runs.training.run import Run

SHOWN_TEXTS = 1000
# Pixels: so a phone shows the true label beside the text, and a wide page all columns.
TEXT_WIDTH, BAR_WIDTH = 260, 140


def say_missing(run: Run, file: str, not_yet: str) -> None:
    """Why there is nothing to show: it is not made yet, or the file that an ended run has is damaged."""
    if states.state(run).status == "finished":
        st.warning(
            f"The file {file} of this run is missing, damaged or of another version.",
            icon=":material/broken_image:",
        )
    else:
        st.info(not_yet, icon=":material/info:")


def show_texts(rows: pd.DataFrame, alt: str) -> None:
    columns = [name for name in TEXT_COLUMNS if name in rows]
    st.dataframe(
        rows[columns].head(SHOWN_TEXTS), hide_index=True, alt=alt, column_config=TEXT_COLUMNS, placeholder=""
    )


def cut_words(rows: pd.DataFrame) -> str:
    return f" The first {SHOWN_TEXTS:,} are shown." if len(rows) > SHOWN_TEXTS else ""


TEXT_COLUMNS = {
    "text": st.column_config.TextColumn("Text", width=TEXT_WIDTH),
    "label": st.column_config.TextColumn("True label"),
    "predicted": st.column_config.TextColumn("Answer"),
    "confidence": st.column_config.ProgressColumn(
        "Confidence",
        width=BAR_WIDTH,
        format="percent",
        min_value=0,
        max_value=1,
        help="The probability of the answer.",
    ),
    "true_probability": st.column_config.ProgressColumn(
        "Of the true label",
        width=BAR_WIDTH,
        format="percent",
        min_value=0,
        max_value=1,
        help="The probability of the true label.",
    ),
}
