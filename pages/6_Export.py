"""Export: take a model away, as weights, as ONNX, as a page that answers by itself, or all in one bundle."""

import streamlit as st

from core.base.errors import UserError
from core.runs.results.models import usable_models
from pages.ui import navigation
from pages.ui.export.formats import offer_made
from pages.ui.export.hub import offer_push
from pages.ui.export.model_card import show_card
from pages.ui.export.usage import show_use
from pages.ui.export.weights import offer_weights
from pages.ui.feedback import show_error
from pages.ui.pickers import choose_model


def main() -> None:
    navigation.start_page("Export")
    st.title("Export")
    models = usable_models()
    if not models:
        teach()
        return
    st.write("Take a model away, in the form in which it will be used.")
    model = choose_model(models, "to take away")
    try:
        offer_weights(model)
        offer_made(model)
        offer_push(model)
        show_card(model)
    except UserError as error:
        show_error(error)
    show_use()


def teach() -> None:
    st.write(
        "Here a trained model becomes a file: a Hugging Face folder, weights, ONNX, a web page that "
        "classifies by itself, or a bundle with all of them. No training has finished yet."
    )
    navigation.offer_page("Train a model", "Train")


main()
