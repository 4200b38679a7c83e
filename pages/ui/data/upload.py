"""Take a file, keep it, and put its id into the page's address."""

import streamlit as st

from core.base.errors import UserError
from core.data.storage.uploads import MOST_TABLE_MB, Upload, keep_upload
from pages.ui.feedback import show_error
from pages.ui.tab import take_out


def take_file(label: str, param: str, help: str) -> None:
    uploaded = st.file_uploader(label, help=help, key=f"uploader_{param}", max_upload_size=MOST_TABLE_MB)
    if uploaded is not None:
        keep_and_open(param, uploaded.name, take_out(uploaded))


def keep_and_open(param: str, name: str, content: bytes) -> None:
    try:
        upload = keep_upload(name, content)
    except UserError as error:
        show_error(error)
        return
    open_file(param, upload)


def open_file(param: str, upload: Upload) -> None:
    st.query_params[param] = upload.id
    st.rerun()


def start_over(label: str) -> None:
    if st.button(label, icon=":material/upload_file:"):
        st.query_params.clear()
        st.rerun()
