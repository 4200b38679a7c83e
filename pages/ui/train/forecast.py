"""How long the training will take and how much memory it needs."""

from dataclasses import replace

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import duration, escape_markdown, explain, size
from core.data.storage.datasets import Dataset
from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.learning.forecasting.estimate import PARTS, Forecast
from core.learning.pretrained import PretrainedModel
from core.runs.tasks import forecasts
from core.runs.tasks.forecasts import Outlook
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
    if outlook.forecast:
        about = "At most" if config.early_stopping else "About"
        st.caption(
            f":material/timer: **{about} {forecasts.in_words(outlook.forecast)}** on this machine"
            f"{why_rough(outlook, outlook.forecast, config)}.",
            help=parts_in_words(outlook.forecast),
        )
    elif outlook.state == "failed":
        st.caption(f":material/timer: No forecast: {escape_markdown(outlook.problem)}")
    elif outlook.state == "waiting":
        st.caption(":material/timer: The forecast is measured as soon as the training at work has ended.")
    else:
        st.caption(":material/timer: Measuring a few steps for a forecast. You can start all the same.")


def why_rough(outlook: Outlook, found: Forecast, config: TrainingConfig) -> str:
    """Why the forecast may be further off than usual, and whether a better one is on its way."""
    if not outlook.at_hand:
        gigabytes = size(4 * pretrained.find(config.model).parameters)
        return f", by estimate, and {gigabytes} to fetch at first"
    if outlook.pending and found.estimated:
        later = "is measured when the training at work has ended"
        return f", by estimate; {later if outlook.state == 'waiting' else 'measuring'}"
    return "" if found.quiet else "; measured while it was busy: alone it is faster"


def parts_in_words(found: Forecast) -> str:
    shown = {name: seconds for name, seconds in found.parts.items() if seconds >= 0.5}
    return "\n".join(f"- {PARTS[name]}: {duration(seconds)}" for name, seconds in shown.items())


def compare_models(dataset: Dataset, config: TrainingConfig) -> None:
    lines = [line for model in pretrained.available() if (line := foreseen_line(dataset, config, model))]
    if not lines:
        st.caption("Known as soon as a few steps are measured.")
        return
    st.caption("\n".join(lines))
    st.caption("Choose a model to have it measured. The time to fetch a model is not included.")


def foreseen_line(dataset: Dataset, config: TrainingConfig, model: PretrainedModel) -> str:
    found = forecasts.look(dataset, replace(config, model=model.name)).forecast
    if config.max_length > model.longest or not found:
        return ""
    # A number and its unit stay on one line.
    words = ", ".join(
        text.replace(" ", "\u00a0") for text in (duration(found.seconds), size(found.memory_bytes))
    )
    return f"- {escape_markdown(model.title)}: {words}{' (estimate)' if found.estimated else ''}"


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
