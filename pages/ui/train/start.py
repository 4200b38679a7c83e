"""Start a training."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import explain
from core.data.storage.datasets import Dataset
from core.learning import config as settings
from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.runs.training import queue
from core.runs.training.run import Run
from pages.ui.train.link import open_run


def offer_start(dataset: Dataset, config: TrainingConfig, run: Run | None) -> bool:
    """The button, or what keeps from pressing it. Returns whether a training could start."""
    try:
        settings.check(config)
        pretrained.check_length(config.model, config.max_length)
    except UserError as error:
        st.button("Start", type="primary", icon=":material/play_arrow:", disabled=True, width="stretch")
        st.error(explain(error))
        return False
    if st.button(
        "Start another run" if run else "Start",
        type="secondary" if run else "primary",
        icon=":material/play_arrow:",
        width="stretch",
    ):
        start(dataset, config)
    return True


def start(dataset: Dataset, config: TrainingConfig) -> None:
    try:
        run = queue.submit(config, dataset)
    except UserError as error:
        st.error(explain(error))
        return
    open_run(run)
