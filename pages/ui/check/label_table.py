"""A table in which suspected labels are corrected."""

from typing import Any

import pandas as pd
import streamlit as st

from core.base.formatting import count
from core.data.storage.datasets import Dataset
from core.runs.tasks.check_tables import Place, changes, shown_suspects, suspects_table

# Texts are broken into lines in rows of more than 64.
TEXT_ROW_PIXELS = 76


def edit(
    dataset: Dataset, kind: str, found: dict[str, Any], rows: pd.DataFrame
) -> tuple[dict[Place, str], list[Place]]:
    """The list in which labels are mended. Returns what `changes` says of it."""
    verb = "is" if found["suspects"] == 1 else "are"
    st.markdown(
        f"**{count(found['suspects'], 'label')}** of {found['judged']:,} {verb} probably wrong. "
        "The most doubtful come first: choose another label, or drop the text. The data set itself stays as "
        "it is."
    )
    fill = st.toggle(
        "Fill in the suggested labels",
        key=f"fill_{kind}_{dataset.id}",
        help="Begins with the suggestion wherever the label is more likely wrong than right. Switching it "
        "forgets what was changed below.",
    )
    shown = shown_suspects(found, rows)
    edited = st.data_editor(
        suspects_table(shown, fill),
        hide_index=True,
        row_height=TEXT_ROW_PIXELS,
        height=520,
        # Another key when the list is another one: an edited row number would mean another text.
        key=f"edit_{kind}_{dataset.id}_{found.get('run')}_{fill}",
        alt="Texts whose labels are in doubt, the most doubtful first",
        disabled=["text", "label", "suggested", "doubt", "split"],
        column_config=columns(list(dataset.label2id)),
    )
    return changes(shown, edited)


def columns(labels: list[str]) -> dict[str, Any]:
    return {
        "text": st.column_config.TextColumn("Text", width=280),
        "label": st.column_config.TextColumn("Label", help="As given."),
        "new": st.column_config.SelectboxColumn(
            "New label", options=labels, required=True, help="Choose here which label the text gets."
        ),
        "drop": st.column_config.CheckboxColumn("Drop", help="Leave the text out."),
        "suggested": st.column_config.TextColumn("Suggested", help="What the classifiers take it for."),
        "doubt": st.column_config.ProgressColumn(
            "Doubt (%)",
            width=110,
            format="%.0f",
            min_value=0,
            max_value=100,
            help="The probability, by the classifiers, that the given label is wrong.",
        ),
        "split": st.column_config.TextColumn("Split"),
    }
