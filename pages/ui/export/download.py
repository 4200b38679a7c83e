"""A download button, whose content is made at the click."""

import tempfile
from pathlib import Path

import streamlit as st

from core.runs.results import exports
from core.runs.results.exports import BUNDLE, HUGGINGFACE, ONNX, ONNX_INT8, PTH, WEB, Made
from core.runs.results.models import Model

FILE_NAMES = {
    HUGGINGFACE: ("textuner-model.zip", "application/zip"),
    PTH: ("textuner-model.pth", "application/octet-stream"),
    ONNX: ("model.onnx", "application/octet-stream"),
    ONNX_INT8: ("model_quantized.onnx", "application/octet-stream"),
    WEB: ("classifier.html", "text/html"),
    BUNDLE: ("textuner-bundle.zip", "application/zip"),
}


def offer(model: Model, made: Made | None, form: str, label: str, main_one: bool = False) -> None:
    name, kind = FILE_NAMES[form]
    st.download_button(
        label,
        lambda: content_of(model, made, form),
        name,
        kind,
        on_click="ignore",
        icon=":material/download:",
        type="primary" if main_one else "secondary",
        key=f"get_{form}",
    )


def content_of(model: Model, made: Made | None, form: str) -> bytes:
    """The file, put together at the click; until then the server holds nothing of it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        if made is None:
            exports.export_model(model, form, out)
        else:
            exports.write_made(model, made, form, out)
        return out.read_bytes()
