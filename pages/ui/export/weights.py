"""Download the weights."""

import streamlit as st

from core.runs.results.exports import HUGGINGFACE, PTH
from core.runs.results.models import Model
from pages.ui.export.download import offer


def offer_weights(model: Model) -> None:
    st.subheader("For Python", anchor=False)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        st.markdown("**Hugging Face folder**")
        st.caption(
            "The usual form: `config.json` with the classes, `model.safetensors`, the tokenizer, and a model "
            "card."
        )
        offer(model, None, HUGGINGFACE, "Download the folder")
    with right.container(border=True, height="stretch"):
        st.markdown("**State dict**")
        st.caption(
            "The weights alone, for `torch.load(file, weights_only=True)` and `load_state_dict` of a model "
            "of the same configuration."
        )
        offer(model, None, PTH, "Download the weights")
