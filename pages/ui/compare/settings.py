"""The settings in which runs differ."""

import pandas as pd
import streamlit as st

from core.runs.results.comparison import Comparison
from core.runs.results.comparison_tables import settings_rows


def show_settings(found: Comparison) -> None:
    st.markdown("##### Settings that differ")
    if not found.settings:
        st.caption("None: the same data set and the same settings.")
        return
    table = pd.DataFrame(settings_rows(found), columns=["Setting", *found.titles])
    st.dataframe(table, hide_index=True, height="content", alt="Settings that differ between the runs")
