"""Predict: label one text or a whole file with a trained model, or with one from a file."""

import streamlit as st

from core.base.errors import UserError
from core.runs.results.models import usable_models
from pages.ui import navigation
from pages.ui.feedback import show_error
from pages.ui.predict.file_labelling import label_a_file
from pages.ui.predict.model_choice import choose_model
from pages.ui.predict.model_import import offer_model_file
from pages.ui.predict.model_loading import mark_of, start_loading
from pages.ui.predict.one_text import label_one

ONE_TEXT, FILE = "One text", "A file"


def main() -> None:
    navigation.start_page("Predict")
    st.title("Predict")
    models = usable_models()
    if not models:
        teach()
        return
    st.write("Let a trained model label new texts.")
    model = choose_model(models)
    # While the page is painted and a person types.
    start_loading(str(model.folder), mark_of(model))
    views = st.tabs([ONE_TEXT, FILE], key="view", on_change="rerun")
    for view, show in zip(views, (label_one, label_a_file), strict=True):
        if view.open:
            with view:
                try:
                    show(model)
                except UserError as error:
                    show_error(error)


def teach() -> None:
    st.write(
        "Here a trained model labels a text that you type, or every row of a file. "
        "No training has finished yet."
    )
    with st.container(horizontal=True):
        navigation.offer_page("Train a model", "Train")
        offer_model_file()


main()
