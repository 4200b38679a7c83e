"""How long the training will take and how much memory it needs."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, explain
from core.data.storage.datasets import Dataset
from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.runs.tasks import forecast_words, forecasts
from core.runs.training import engines

LOOK_EVERY_SECONDS = 1.0


def foresee(dataset: Dataset, config: TrainingConfig) -> None:
    """What the training would take, by a measuring that begins here if need be; the page does not wait."""
    pending = forecasts.look(dataset, config).pending
    st.fragment(show_forecast, run_every=LOOK_EVERY_SECONDS if pending else None)(dataset, config, pending)
    others = st.expander("Other models", icon=":material/timer:", key="others", on_change="rerun")
    if others.open:
        with others:
            compare_models(dataset, config)


def show_forecast(dataset: Dataset, config: TrainingConfig, was_pending: bool) -> None:
    outlook = forecasts.look(dataset, config)
    if was_pending and not outlook.pending:
        # It is known now: the whole page is drawn once more, and then no longer by itself.
        st.rerun()
    forecasts.begin(dataset, config)
    st.caption(
        f":material/timer: {forecast_words.sentence(outlook, config)}",
        help=forecast_words.parts_in_words(outlook.forecast) if outlook.forecast else None,
    )


def compare_models(dataset: Dataset, config: TrainingConfig) -> None:
    models = pretrained.available()
    lines = [line for model in models if (line := forecast_words.line_of(dataset, config, model))]
    if not lines:
        st.caption("Known as soon as a few steps are measured.")
        return
    st.caption("\n".join(lines))
    st.caption("Choose a model to have it measured. The time to fetch a model is not included.")


@st.fragment(parallel=True)
def show_device() -> None:
    waiting = st.skeleton(height=40)
    try:
        hardware = engines.describe_hardware()
    except UserError as error:
        waiting.caption(explain(error))
        return
    waiting.caption(
        f":material/memory: Trains on **{escape_markdown(hardware['device'])}** in "
        f"**{escape_markdown(hardware['precision'])}**: {escape_markdown(hardware['reason'])}"
    )
