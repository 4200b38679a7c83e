"""What simple classifiers reach."""

from typing import Any

import pandas as pd
import streamlit as st

from core.base.formatting import count, percent
from core.data.storage.datasets import Dataset
from core.runs.tasks import data_checks
from core.runs.tasks.data_checks import BASELINES
from pages.ui.check.data_check import has_ended_well, start
from pages.ui.navigation import TRAIN_PAGE, go_to

NAMES = {
    "majority": "Always the most common class",
    "tfidf": "Words and letter groups (TF-IDF)",
    "embeddings": "Embedded model as it comes",
    "average": "Both together",
}


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
    table = pd.DataFrame(
        [
            [words, 100 * scores[name]["accuracy"], 100 * scores[name]["macro_f1"]]
            for name, words in NAMES.items()
        ],
        columns=["Classifier", "Accuracy (%)", "Macro F1 (%)"],
    )
    st.dataframe(
        table,
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
    st.caption(" ".join(about(found)))


def about(found: dict[str, Any]) -> list[str]:
    """How the baselines were found, in sentences."""
    said = [
        f"Each text is judged by classifiers trained on the others, in {found['folds']} folds "
        "(cross-validation); equal texts are in one fold."
    ]
    if found["judged"] < found["texts"]:
        said.append(f"Of {found['texts']:,} texts, {found['judged']:,} were drawn at random for this.")
    if unknown := found.get("unknown"):
        said.append(f"{count(unknown, 'text')} could not be judged: no other text has the same label.")
    return said
