"""Label one text."""

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.base import memory
from core.base.formatting import escape_markdown, percent, shorten
from core.charts.probabilities import describe_probabilities, probability_bars, probability_table
from core.learning.evaluation.calibration import Calibration, read_calibration, with_temperature
from core.runs.results.models import Model
from pages.ui.predict.explanation import explain_label
from pages.ui.predict.model_loading import ready
from pages.ui.predict.similar_texts import show_neighbours

if TYPE_CHECKING:
    from core.serving.classifier import Predictions

FEW_BARS = 10
LONGEST_TEXT = 20_000


def label_one(model: Model) -> None:
    text = st.text_area(
        "Text",
        height=120,
        max_chars=LONGEST_TEXT,
        key="text",
        placeholder="Type or paste a text to label",
        help="It is labelled when you leave the field, or press Ctrl+Enter.",
    )
    calibration = read_calibration(model.folder)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Label it", type="primary", icon=":material/label:")
        calibrated = choose_calibrated(calibration)
    if not text or not text.strip():
        return
    classifier = ready(model, calibrated)
    answer = classifier.predict([text])
    show_answer(answer, calibration, calibrated)
    explain_label(model, classifier, text, answer)
    show_neighbours(model, classifier, text)
    # To explain a long text takes hundreds of megabytes for a moment.
    memory.give_back_freed_memory()


def choose_calibrated(calibration: Calibration) -> bool:
    if calibration.temperature == 1:
        return True
    return st.toggle(
        "Calibrated",
        value=True,
        key="calibrated",
        help="Probabilities as honest as the validation texts could make them (temperature "
        f"{calibration.temperature:.2f}). Off: as the network gives them. The label is the same.",
    )


def show_answer(answer: "Predictions", calibration: Calibration, calibrated: bool) -> None:
    table = probability_table(answer.names, answer.probabilities[0])
    with st.container(border=True):
        st.caption("Label")
        st.subheader(escape_markdown(shorten(answer.labels[0], 200)), anchor=False)
        st.caption(f"with a probability of {percent(table['probability'].iloc[0])}")
        honest = answer.probabilities
        if not calibrated:
            honest = with_temperature(honest, calibration.temperature)
        if calibration.threshold is not None and honest.max() < calibration.threshold:
            st.warning(
                f"Unsure: left to people. The calibrated probability, {percent(honest.max())}, is below the "
                f"threshold of {percent(calibration.threshold)}.",
                icon=":material/person_raised_hand:",
            )
        show_bars(table)


def show_bars(table: pd.DataFrame) -> None:
    shown = table
    if len(table) > FEW_BARS:
        every = st.toggle(f"Show all {len(table)} classes", key="every_class")
        shown = table if every else table.head(FEW_BARS)
    st.altair_chart(probability_bars(shown), alt=describe_probabilities(table), key="bars")
