"""A table in which suspected labels are corrected."""

from typing import Any

import pandas as pd
import streamlit as st

from core.base.formatting import count
from core.charts.elements import SPLIT_MEANING
from core.data.storage.datasets import Dataset

# Texts are broken into lines in rows of more than 64.
TEXT_ROW_PIXELS = 76
FEWEST_SHOWN, MOST_SHOWN = 20, 300


def edit(
    dataset: Dataset, kind: str, found: dict[str, Any], rows: pd.DataFrame
) -> tuple[dict[tuple[str, int], str], list[tuple[str, int]]]:
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
    shown = rows.head(max(FEWEST_SHOWN, min(MOST_SHOWN, found["suspects"])))
    edited = st.data_editor(
        editable(shown, fill),
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


def editable(rows: pd.DataFrame, fill: bool) -> pd.DataFrame:
    new = rows["suggested"].where(rows["likely"].astype(bool) & fill, rows["label"])
    return pd.DataFrame(
        {
            "text": rows["text"],
            "label": rows["label"],
            "new": new,
            "drop": False,
            "suggested": rows["suggested"],
            "doubt": 100 * (1 - rows["probability"]),
            "split": rows["split"].map(SPLIT_MEANING),
        }
    )


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


def changes(
    rows: pd.DataFrame, edited: pd.DataFrame
) -> tuple[dict[tuple[str, int], str], list[tuple[str, int]]]:
    """The new labels by (split, position), and the texts to drop."""
    places = list(zip(rows["split"], rows["position"].astype(int), strict=True))
    new, old, dropped = edited["new"], rows["label"], edited["drop"]
    labels = {
        place: label
        for place, label, given, gone in zip(places, new, old, dropped, strict=True)
        if label != given and not gone
    }
    return labels, [place for place, gone in zip(places, dropped, strict=True) if gone]
