"""Whether more texts would help."""

import streamlit as st

from core.base.formatting import escape_markdown
from core.charts.curves import describe_learning, learning_curve
from core.data.storage.datasets import Dataset
from core.runs.tasks import data_checks
from core.runs.tasks.data_checks import CURVE
from pages.ui.check.data_check import has_ended_well, start


def show_curve(dataset: Dataset) -> None:
    st.subheader("Would more texts help?")
    state = data_checks.state(dataset, CURVE)
    if not has_ended_well(dataset, CURVE, state, "Training on parts of the texts"):
        return
    found = data_checks.findings(dataset, CURVE)
    if found is None:
        st.write("The baseline is trained on 10, 25, 50 and 100 % of the texts, and scored on others.")
        if st.button("Draw the learning curve", icon=":material/show_chart:"):
            start(dataset, CURVE)
        return
    points = found["points"]
    words = describe_learning(points)
    st.altair_chart(learning_curve(points), alt=words, key="curve")
    st.markdown(escape_markdown(found["verdict"]))
