"""The settings in which runs differ."""

import pandas as pd
import streamlit as st

from core.learning.config import SETTINGS
from core.runs.results.comparison import Comparison
from core.runs.results.facts import in_words, model_title


def show_settings(found: Comparison) -> None:
    st.markdown("##### Settings that differ")
    if not found.settings:
        st.caption("None: the same data set and the same settings.")
        return
    rows = []
    for name, values in found.settings.items():
        if name == "model":
            values = [model_title(run) for run in found.runs]
        said = ["not recorded" if value is None else in_words(value) for value in values]
        rows.append([SETTINGS[name].label if name in SETTINGS else "Data set", *said])
    table = pd.DataFrame(rows, columns=["Setting", *found.titles])
    st.dataframe(table, hide_index=True, height="content", alt="Settings that differ between the runs")
