"""The confusion matrix, and the texts of a cell."""

import streamlit as st

from core.base.formatting import count, escape_markdown
from core.charts.confusion import CELLS_WITH_NUMBERS, confusion_heatmap, describe_confusion, mistakes_table
from core.charts.elements import axis_names
from core.runs.results.evaluated_texts import answers_of
from core.runs.training.run import Run
from pages.ui.runs.texts import cut_words, say_missing, show_texts

FEW_CLASSES = CELLS_WITH_NUMBERS
EVERY = "All"


def show_confusion(labels: list[str], matrix: list[list[int]]) -> None:
    st.markdown("##### Confusion matrix", help="A row per true label, a column per answer of the model.")
    words = describe_confusion(labels, matrix)
    st.altair_chart(
        confusion_heatmap(labels, matrix),
        alt=words,
        key="confusion",
        on_select=lambda: take_cell(labels),
        selection_mode="cell",
    )
    st.caption(escape_markdown(words))
    mistakes = mistakes_table(labels, matrix)
    if mistakes.empty:
        return
    with st.expander("What is taken for what"):
        st.dataframe(
            mistakes,
            hide_index=True,
            alt="Pairs of labels that are confused, the most frequent first",
            column_config={
                "true": "True label",
                "predicted": "Taken for",
                "texts": st.column_config.NumberColumn("Texts", format="localized"),
                "share": st.column_config.NumberColumn("Share of the true label", format="percent"),
            },
        )


def take_cell(labels: list[str]) -> None:
    """The labels of the cell that was clicked go into the two boxes, which say whose texts are shown."""
    cells = st.session_state["confusion"].selection.get("cell", [])
    names = dict(zip(axis_names(labels), labels, strict=True))
    for key, field in (("cell_true", "true"), ("cell_taken", "predicted")):
        st.session_state[key] = names.get(cells[0][field], every(labels)) if cells else every(labels)


def every(labels: list[str]) -> str:
    """What stands for all labels, and is none of them."""
    words = EVERY
    while words in labels:
        words += " labels"
    return words


def show_cell(run: Run, split: str, labels: list[str]) -> None:
    """The texts of a cell of the confusion matrix, or of a row or column of it."""
    st.markdown("##### Its texts", help="Click a cell of the matrix, or choose here.")
    answers = answers_of(run, split)
    if answers is None:
        say_missing(run, "predictions.parquet", "No answers yet: they are made when a training ends.")
        return
    left, right = st.columns(2)
    options = [every(labels), *labels]
    true = left.selectbox("True label of the cell", options, key="cell_true")
    taken = right.selectbox("Answer of the cell", options, key="cell_taken")
    rows = answers.cell(*(None if label == options[0] else label for label in (true, taken)))
    st.caption(f"{count(len(rows), 'text')}, the surest answer first.{cut_words(rows)}")
    show_texts(rows, "Texts of the cell of the confusion matrix, the surest answer first")
