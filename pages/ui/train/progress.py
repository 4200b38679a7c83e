"""How far a training has come, and its latest numbers."""

from typing import Any

import streamlit as st

from core.base.formatting import escape_markdown, percent, shorten
from core.runs.training.events import Event, newest
from core.runs.training.progress import progress_of

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


def show_progress(events: list[Event]) -> None:
    share, words = progress_of(events)
    st.progress(share, words)
    step = newest(events, "step")
    if step and newest(events, "started"):
        show_live_numbers(step, newest(events, "evaluated"))


def show_live_numbers(step: Event, evaluated: Event | None) -> None:
    with st.container(horizontal=True):
        st.metric("Training loss", f"{step['loss']:.3f}", border=True, width=170, help=LOSS_HELP)
        if evaluated:
            st.metric("Validation loss", f"{evaluated['loss']:.3f}", border=True, width=170, help=LOSS_HELP)
            show_scores("Validation", evaluated)
    label = (evaluated or {}).get("collapsed")
    if isinstance(label, str):
        st.warning(
            "So far the model gives (nearly) every validation text the same label, "
            f"{escape_markdown(shorten(label, 40))}. If it stays so: stop, and choose a lower learning rate, "
            "more epochs, or to weigh rare classes more.",
            icon=":material/filter_1:",
        )
