"""Data sets as rows of a table."""

import pandas as pd
import streamlit as st

from core.data.storage.datasets import DamagedDataset, Dataset

COLUMNS = {
    "Texts": st.column_config.NumberColumn(format="localized"),
    "Classes": st.column_config.NumberColumn(format="localized"),
    "Saved": st.column_config.DatetimeColumn(format="distance"),
}


def datasets_table(entries: list[Dataset | DamagedDataset]) -> pd.DataFrame:
    table = pd.DataFrame([row_of(entry) for entry in entries])
    table["Saved"] = pd.to_datetime(table["Saved"], unit="s", utc=True)
    return table


def row_of(entry: Dataset | DamagedDataset) -> dict[str, object]:
    if isinstance(entry, DamagedDataset):
        return {"Name": "(cannot be read)", "Texts": None, "Classes": None, "Saved": entry.created}
    texts, classes = sum(entry.counts.values()), len(entry.label2id)
    return {"Name": entry.name, "Texts": texts, "Classes": classes, "Saved": entry.created}
