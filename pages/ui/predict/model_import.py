"""Take a model from a file."""

from io import BytesIO

import streamlit as st

from core.base.errors import UserError
from core.serving import imported_models
from pages.ui.feedback import show_error
from pages.ui.tab import UploadedFile, take_out

MOST_MB = imported_models.LARGEST_UPLOAD // 1_000_000


def offer_model_file() -> None:
    with st.popover("Use a model from a file", icon=":material/folder_zip:"):
        st.write(
            "A bundle of Textuner, or a zip of a Hugging Face folder with `config.json`, `tokenizer.json` "
            f"and `model.safetensors`, of at most {MOST_MB} MB. Larger ones work on the command line: "
            "`python -m core predict BUNDLE.zip …`."
        )
        st.caption(
            "It is checked before it is used: no code and no pickle of it is read, and only known files are "
            "taken."
        )
        uploaded = st.file_uploader(
            "Model file (.zip)",
            type=["zip"],
            # Another one after each file: it would hold on to the last one.
            key=f"model_file_{st.session_state.get('model_files', 0)}",
            max_upload_size=MOST_MB,
        )
        if uploaded is not None:
            take_model(uploaded)


def take_model(uploaded: UploadedFile) -> None:
    try:
        with st.spinner("Checking the model"):
            model = imported_models.keep(BytesIO(take_out(uploaded)), uploaded.name)
    except UserError as error:
        show_error(error)
        return
    st.query_params["run"] = model.id
    st.session_state["model_files"] = st.session_state.get("model_files", 0) + 1
    st.session_state["model_arrived"] = model.id
    st.rerun()
