"""Scores of each class."""

from typing import Any

import pandas as pd
import streamlit as st


def show_classes(per_class: list[dict[str, Any]]) -> None:
    st.markdown("##### Classes")
    table = pd.DataFrame(per_class)[["label", "f1", "precision", "recall", "support"]]
    table[["f1", "precision", "recall"]] *= 100
    st.dataframe(
        table,
        hide_index=True,
        alt="Precision, recall and F1 of each class",
        column_config={
            "label": "Class",
            "f1": st.column_config.ProgressColumn(
                "F1 (%)",
                format="%.1f",
                min_value=0,
                max_value=100,
                help="The balance of precision and recall (their harmonic mean).",
            ),
            "precision": st.column_config.NumberColumn(
                "Precision (%)",
                format="%.1f",
                help="Of the texts that got this label, how many are of the class.",
            ),
            "recall": st.column_config.NumberColumn(
                "Recall (%)", format="%.1f", help="Of the texts of this class, how many got the label."
            ),
            "support": st.column_config.NumberColumn("Texts", format="localized"),
        },
    )
