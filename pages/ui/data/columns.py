"""Choose the columns of text and label, beside the first rows."""

from urllib.parse import urlencode

import streamlit as st

from core.base.errors import UserError
from core.data.labels import ColumnMapping, chosen_mapping, guess_mapping
from core.data.reading.read_options import words_of
from core.data.storage.uploads import Upload
from core.data.tables import ReadOptions, Table
from pages.ui.data.reading import show_reading
from pages.ui.data.source import profile

PREVIEW_ROWS = 20


def choose_columns(table: Table, upload: Upload, choice: ReadOptions) -> ColumnMapping:
    st.subheader("Columns")
    show_reading(table, upload, choice)
    names = list(table.frame.columns)
    if len(names) < 2:
        show_rows(table, upload, choice)
        raise UserError(
            "two columns or more: one with the text, one with the label",
            f"one column, {names[0]}",
            "If the file has more, choose what separates its columns under Read it differently.",
        )
    guess = guess_mapping(table)
    left, right = st.columns(2)
    texts = left.multiselect(
        "Text",
        names,
        default=list(guess.text) if guess else [],
        key=f"text_{upload.id}_{urlencode(words_of(choice))}",
        help="What the model reads. Several columns are joined with a space, in this order.",
    )
    label = right.selectbox(
        "Label",
        names,
        index=names.index(guess.label) if guess else None,
        key=f"label_{upload.id}_{urlencode(words_of(choice))}",
        placeholder="Choose a column",
        help="What the model learns to answer: the class of each text.",
    )
    show_rows(table, upload, choice)
    return chosen_mapping(texts, label)


def show_rows(table: Table, upload: Upload, choice: ReadOptions) -> None:
    first, columns = st.tabs(["First rows", "Columns"])
    with first:
        rows = table.frame.head(PREVIEW_ROWS)
        st.dataframe(
            rows,
            height=240,
            hide_index=True,
            alt="The first rows of the file",
            # No column grows as wide as its longest text and pushes the others off a small screen.
            column_config={name: st.column_config.TextColumn(width="medium") for name in rows.columns},
        )
    with columns:
        st.dataframe(
            profile(upload.id, choice),
            hide_index=True,
            height=240,
            alt="How full each column is and how many different values it holds",
            column_config={
                "column": st.column_config.TextColumn("Column"),
                "filled": st.column_config.ProgressColumn(
                    "Filled (%)", format="percent", min_value=0, max_value=1, help="Rows with a value here."
                ),
                "distinct": st.column_config.NumberColumn("Different values", format="localized"),
                "example": st.column_config.TextColumn("Example", width="large"),
            },
        )
