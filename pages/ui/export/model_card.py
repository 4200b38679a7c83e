"""Preview the model card."""

import streamlit as st

from core.runs.results import exports
from core.runs.results.models import Model


def show_card(model: Model) -> None:
    with st.expander("The model card", icon=":material/description:"):
        st.caption(
            "It goes into folder and bundle as README.md, in the form that the Hugging Face hub reads."
        )
        st.code(exports.card_of(model), language=None, wrap_lines=True, height=400)
