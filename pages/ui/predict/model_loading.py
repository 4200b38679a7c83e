"""Load the chosen model once, ahead of the first text."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.learning.evaluation.calibration import Calibration, read_calibration
from core.runs.results.models import Model
from core.runs.training import processes
from core.serving import loading

if TYPE_CHECKING:
    from concurrent.futures import Future

    from core.serving.classifier import Classifier


@st.cache_resource(max_entries=2, show_spinner=False)
def start_loading(folder: str, mark: int) -> "Future[Classifier]":
    return loading.load_ahead(Path(folder))


def mark_of(model: Model) -> int:
    """What changes when the model's weights do."""
    try:
        return (model.folder / "model.safetensors").stat().st_mtime_ns
    except OSError:
        return 0


def ready(model: Model, calibrated: bool = True) -> "Classifier":
    """The model, with all cores to answer; with one while a training is at work, which keeps its speed."""
    classifier = loaded(model).calibrated_by(read_calibration(model.folder) if calibrated else Calibration())
    processes.leave_cores_to_training()
    return classifier


def loaded(model: Model) -> "Classifier":
    arguments = str(model.folder), mark_of(model)
    coming = start_loading(*arguments)
    if coming.done() and not coming.exception():
        return coming.result()
    with st.spinner("Loading the model"):
        try:
            return coming.result()
        except BaseException:
            # Whoever asks next tries again.
            start_loading.clear(*arguments)
            raise
