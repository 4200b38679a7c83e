"""How far a training has come, and its latest numbers."""

from typing import Any

import streamlit as st

from core.base.formatting import duration, escape_markdown, percent, shorten
from core.runs.training.events import Event
from core.runs.training.states import RunState

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


def show_progress(state: RunState, events: list[Event]) -> None:
    started = last_event(events, "started")
    step = last_event(events, "step")
    if started is None:
        st.progress(0.0, "Loading the model")
        return
    total = started["total_steps"]
    if step is None:
        st.progress(0.0, f"Step 0 of {total:,}")
        return
    if step["step"] >= total:
        st.progress(1.0, "Scoring the model on the validation and test texts")
    else:
        st.progress(
            step["step"] / total,
            f"Step {step['step']:,} of {total:,} · epoch {step['epoch']:.1f} of {started['epochs']} · "
            f"{duration(step['seconds_left'])} left · {step['samples_per_second']:,.0f} texts per second",
        )
    show_live_numbers(step, last_event(events, "evaluated"))


def last_event(events: list[Event], kind: str) -> Event | None:
    return next((event for event in reversed(events) if event["type"] == kind), None)


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
