"""Choose a model, or delete an imported one."""

import streamlit as st

from core.base.errors import UserError
from core.base.folders import bytes_on_disk
from core.base.formatting import count, shorten, size
from core.runs.results.models import Model
from core.serving import imported_models
from pages.ui import pickers
from pages.ui.feedback import show_error
from pages.ui.navigation import EXPORT_PAGE, go_to
from pages.ui.predict.model_import import offer_model_file


def choose_model(models: list[Model]) -> Model:
    arrived = st.session_state.pop("model_arrived", None)
    if arrived in [model.id for model in models]:
        # Only a value of the session moves the choice that the browser holds.
        st.session_state["run_choice"] = arrived
        st.toast("The model is checked and chosen.", icon=":material/check_circle:")
    model = pickers.choose_model(models, "to use", from_link=arrived is None)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Take it away", icon=":material/outbox:", help="Download this model, in any form."):
            go_to(EXPORT_PAGE, run=model.id)
        offer_model_file()
        if model.run is None:
            offer_deletion(model)
    return model


def offer_deletion(model: Model) -> None:
    with st.popover("Delete it", icon=":material/delete:"):
        other = imported_models.find(model.id)
        st.text(shorten(other.name, 80))
        if other.not_taken:
            st.caption(f"{count(other.not_taken, 'file')} of its zip were not needed and not taken.")
        freed = size(bytes_on_disk(other.place))
        if st.button(f"Delete it and free {freed}", icon=":material/delete:", key=f"delete_{model.id}"):
            delete_model(model)


def delete_model(model: Model) -> None:
    try:
        imported_models.delete(model.id)
    except UserError as error:
        show_error(error)
        return
    st.query_params.pop("run", None)
    st.session_state.pop("run_choice", None)
    st.rerun()
