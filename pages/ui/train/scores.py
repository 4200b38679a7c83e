"""Scores with their help."""

from typing import Any

import streamlit as st

from core.base.formatting import percent

LOSS_HELP = (
    "How far the model's probabilities are from the true labels (cross-entropy, in nats). Lower is better."
)
ACCURACY_HELP = "Share of the texts that get the right label."
F1_HELP = (
    "The mean over all classes of F1, which is high only where a class is both found and not named wrongly. "
    "Every class counts the same, however small."
)


def show_scores(name: str, scores: dict[str, Any]) -> None:
    st.metric(f"{name} accuracy", percent(scores["accuracy"]), border=True, width=170, help=ACCURACY_HELP)
    st.metric(f"{name} macro F1", percent(scores["macro_f1"]), border=True, width=170, help=F1_HELP)
