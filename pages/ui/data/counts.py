"""Numbers of texts, classes and lengths, as figures and charts."""

import pandas as pd
import streamlit as st

from core.base.formatting import escape_markdown
from core.charts.counts import class_balance, describe_balance, describe_lengths, length_chart
from core.charts.elements import SPLIT_MEANING
from core.data.labels import LabeledTexts
from core.data.quality.checks import length_histogram
from core.data.splits import Splits


def show_shape(splits: Splits, labeled: LabeledTexts) -> None:
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    show_counts({name: len(part) for name, part in parts.items()})
    st.caption(escape_markdown(splits.how))
    for what, number in splits.removed.items():
        if number:
            st.warning(f"Left out: {number:,} {escape_markdown(what)}.", icon=":material/content_copy:")
    class_counts = {name: part.class_counts() for name, part in parts.items()}
    st.subheader("Classes and lengths")
    left, right = st.columns(2, gap="large")
    with left:
        words = describe_balance(class_counts)
        st.altair_chart(class_balance(class_counts), alt=words)
        st.caption(escape_markdown(words))
    with right:
        lengths = length_histogram(labeled.texts)
        words = describe_lengths(lengths)
        st.altair_chart(length_chart(lengths), alt=words)
        st.caption(escape_markdown(words))
    with st.expander("Texts per class and split"):
        show_class_counts(class_counts)


def show_counts(counts: dict[str, int]) -> None:
    with st.container(horizontal=True):
        st.metric("Training texts", f"{counts['train']:,}", border=True, width=170)
        st.metric("Validation texts", f"{counts['validation']:,}", border=True, width=170)
        st.metric("Test texts", f"{counts['test']:,}", border=True, width=170)


def show_class_counts(class_counts: dict[str, dict[str, int]]) -> None:
    table = pd.DataFrame({SPLIT_MEANING[split].capitalize(): row for split, row in class_counts.items()})
    table.insert(0, "Class", table.index)
    table["Total"] = table.drop(columns="Class").sum(axis=1)
    st.dataframe(table, hide_index=True, alt="Number of texts per class and split")
