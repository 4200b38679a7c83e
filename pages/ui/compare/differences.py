"""Whether runs differ by more than chance."""

import streamlit as st

from core.base.formatting import count, escape_markdown
from core.runs.results.comparison import Comparison
from core.runs.results.comparison_tables import shared_in_words


def show_shared(found: Comparison) -> None:
    """On how many texts they are compared, and what of whose is left out."""
    words, left_out = shared_in_words(found)
    if left_out:
        st.warning(f"{words} {left_out}", icon=":material/join_inner:")
    else:
        st.caption(words)


def show_verdicts(found: Comparison) -> None:
    """What differs by more than noise, in words."""
    st.markdown(
        "##### Is the difference more than noise?",
        help="Exact McNemar test on the same texts, corrected for many pairs (Holm), and a paired bootstrap "
        "interval of 95 %.",
    )
    clear = [said for pair, said in zip(found.differences, found.verdicts, strict=True) if pair.clear]
    others = [said for pair, said in zip(found.differences, found.verdicts, strict=True) if not pair.clear]
    if clear:
        st.success(as_list(clear), icon=":material/check_circle:")
    if others and len(others) <= 3:
        st.info(as_list(others), icon=":material/drag_handle:")
    elif others:
        if not clear:
            st.info("None of them differs from another by more than noise.", icon=":material/drag_handle:")
        with st.expander(f"{count(len(others), 'pair')} without a difference that can be told"):
            st.markdown(as_list(others))


def as_list(sentences: list[str]) -> str:
    if len(sentences) == 1:
        return escape_markdown(sentences[0])
    return "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences)
