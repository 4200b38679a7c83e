"""What simple classifiers reach."""

from typing import Any

import streamlit as st

from core.base.formatting import percent
from core.data.storage.datasets import Dataset
from core.runs.tasks import data_checks
from core.runs.tasks.check_tables import about_baselines, baselines_table
from core.runs.tasks.data_checks import BASELINES
from pages.ui.check.data_check import has_ended_well, start
from pages.ui.navigation import TRAIN_PAGE, go_to


def show_baselines(dataset: Dataset) -> None:
    st.subheader("Baseline")
    state = data_checks.state(dataset, BASELINES)
    if state.status == "none":
        start(dataset, BASELINES)
        return
    if not has_ended_well(dataset, BASELINES, state, "Cross-validating simple classifiers"):
        return
    found = data_checks.findings(dataset, BASELINES)
    if found:
        show_scores(found)
        with st.container(horizontal=True):
            if st.button("Train on it", icon=":material/model_training:"):
                go_to(TRAIN_PAGE, dataset=dataset.id)
            if st.button("Find it again", type="tertiary", icon=":material/replay:"):
                start(dataset, BASELINES)


def show_scores(found: dict[str, Any]) -> None:
    scores = found["scores"]["all"]
    best = scores[found["best"]]
    st.markdown(
        f"Fine-tuning must beat a macro F1 of **{percent(best['macro_f1'])}** "
        f"(accuracy {percent(best['accuracy'])})."
    )
    st.dataframe(
        baselines_table(found),
        hide_index=True,
        width=560,
        alt="Accuracy and macro F1 of the simple classifiers",
        column_config={
            "Accuracy (%)": st.column_config.NumberColumn(
                format="%.1f", help="Share of the texts that get the right label."
            ),
            "Macro F1 (%)": st.column_config.NumberColumn(
                format="%.1f", help="Mean F1 of all classes; every class counts the same."
            ),
        },
    )
    st.caption(" ".join(about_baselines(found)))
