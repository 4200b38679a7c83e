"""The words that decided."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.base.formatting import escape_markdown, shorten
from core.base.memory import shortage_is_said
from core.charts.probabilities import probability_table
from core.runs.results.models import Model
from core.serving.attribution import (
    Attribution,
    describe_words,
    integrated_gradients,
    leave_one_out,
    notes_on,
    word_rows,
)
from pages.ui.markup import coloured_words
from pages.ui.predict.model_loading import mark_of

if TYPE_CHECKING:
    from core.serving.classifier import Classifier, Predictions

LEAVING_OUT, GRADIENTS = "Leaving words out", "Integrated gradients"
WORD_ROWS = 8


def explain_label(model: Model, classifier: "Classifier", text: str, answer: "Predictions") -> None:
    if len(answer.names) < 2:
        return
    st.subheader("Why", anchor=False)
    left, right = st.columns(2, vertical_alignment="bottom")
    way = left.segmented_control(
        "Explained by",
        [LEAVING_OUT, GRADIENTS],
        default=LEAVING_OUT,
        key="way",
        help=f"{LEAVING_OUT}: what the model says without each word; fast. {GRADIENTS}: what each word adds "
        "on the way from an empty text to this one; takes seconds.",
    )
    ranked = probability_table(answer.names, answer.probabilities[0])["label"]
    # A key of its own for each text: another text begins with its own label.
    mark = hashlib.sha256(f"{model.id} {text}".encode("utf-8", "replace")).hexdigest()[:16]
    label = right.selectbox("For the class", list(ranked), key=f"class_{mark}")
    if way == LEAVING_OUT:
        show_words(text, leave_one_out(classifier, text, label))
    elif way == GRADIENTS:
        with st.spinner("Taking gradients"):
            found = gradients(str(model.folder), mark_of(model), text, label)
        show_words(text, found)


@st.cache_data(max_entries=4, scope="session", show_spinner=False)
def gradients(folder: str, mark: int, text: str, label: str) -> Attribution:
    with shortage_is_said("integrated gradients"):
        return integrated_gradients(Path(folder), text, label)


def show_words(text: str, found: Attribution) -> None:
    if not found.spans:
        st.caption("The model reads no word of this text.")
        return
    name = escape_markdown(shorten(found.label, 60))
    left, right = st.columns([3, 2], gap="large")
    with left:
        with st.container(border=True):
            st.markdown(coloured_words(text, found.spans, found.weights.tolist(), found.read))
        st.caption(f":blue-background[blue] speaks for {name}, :orange-background[orange] against it.")
        for note in notes_on(text, found):
            st.caption(note)
    with right:
        st.dataframe(
            pd.DataFrame(word_rows(text, found)),
            hide_index=True,
            height="content" if len(found.spans) <= WORD_ROWS else 320,
            alt=describe_words(text, found),
            column_config={
                "Weight": st.column_config.NumberColumn(
                    format="%+.2f",
                    help="How far the word moves the log-odds of the class. Above 0 it speaks for it.",
                ),
                "Without it": st.column_config.NumberColumn(
                    format="%.1f%%", help="The probability of the class when the word is left out."
                ),
            },
        )
