"""The first screen: choose a file or the sample."""

import streamlit as st

from core.data.storage.sample import read_sample
from pages.ui.data.saved_datasets import show_datasets
from pages.ui.data.upload import keep_and_open, take_file


def welcome() -> None:
    st.title("Teach a classifier with your own examples")
    st.write(
        "Drop in a table of texts with a label for each; train a model on it, see how good it is, "
        "and let it label new texts."
    )
    with st.container(border=True):
        take_file(
            "Your table",
            "upload",
            "CSV, TSV, JSON, Excel (.xlsx) or Parquet, also as .gz or .zip: one row per text, one column for "
            "the text, one for its label.",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Try the sample", type="primary", icon=":material/play_arrow:"):
                keep_and_open("upload", "sample.csv", read_sample())
            st.caption("No file at hand? The sample is 300 messages to a library, written for this project.")
    how, table = st.columns(2, gap="large")
    with how:
        st.subheader("How it goes")
        st.markdown(
            "1. **Data**: the file is read and checked; you choose the columns.\n"
            "2. **Check**: labels that are probably wrong, and what simple classifiers reach.\n"
            "3. **Train**: a pre-trained language model learns your labels.\n"
            "4. **Runs**: scores on texts it has not seen, and its mistakes.\n"
            "5. **Compare**: whether one training is really better than another.\n"
            "6. **Predict**: label one text or a whole file, and see why.\n"
            "7. **Export**: take the model away, or a page that answers by itself."
        )
        st.caption("Your texts stay on the machine that runs Textuner.")
    with table:
        st.subheader("What the table looks like")
        show_example()
    show_datasets()


def show_example() -> None:
    rows = {
        "text": ["Where do I return a book?", "The new reading room is lovely.", "My card was refused."],
        "label": ["question", "praise", "complaint"],
    }
    st.dataframe(rows, hide_index=True, alt="An example: a text column and a label column")
