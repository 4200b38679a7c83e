"""The settings, the data and the forecast of a run."""

from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.data.quality.fixes import done_to
from core.data.storage.datasets import Dataset
from core.runs.results.facts import facts_of, reasons_left_out, settings_of
from core.runs.tasks import forecasts
from core.runs.training.run import Run, own_dataset
from core.runs.training.states import RunState


def show_forecast(run: Run, state: RunState, report: dict[str, Any]) -> None:
    """What was expected of the run when it was submitted, beside what it took once it has ended."""
    expected = forecasts.recorded(run)
    if expected is None:
        return
    words = forecasts.compared(expected, report) if state.status == "finished" else None
    st.caption(f":material/timer: {words or f'Forecast: about {forecasts.in_words(expected)}.'}")


def show_settings(run: Run, report: dict[str, Any] | None) -> None:
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown("##### Settings")
        show_pairs(settings_of(run), "Settings of this run")
    with right:
        st.markdown("##### Data and machine")
        show_pairs(facts_of(run, report or {}), "Data and machine of this run")
    with suppress(UserError):
        show_data_card(own_dataset(run))


def show_data_card(dataset: Dataset) -> None:
    """What was done to the rows of the file on their way into the data set."""
    st.markdown("##### Data card")
    done, reasons = done_to(dataset.source), reasons_left_out(dataset)
    if not done:
        st.caption("Nothing was changed: texts and labels are as in the file.")
    else:
        st.dataframe(
            {
                "What was done": [one.fix for one in done],
                "Rows changed": [one.changed for one in done],
                "Rows left out": [one.left_out for one in done],
            },
            hide_index=True,
            height="content",
            alt="What was done to the data before it was saved, in this order",
        )
    if not reasons:
        st.caption("No row of the file was left out.")
    else:
        st.dataframe(
            {"Why rows were left out": list(reasons), "Rows": list(reasons.values())},
            hide_index=True,
            alt="Why rows of the file are not in the data set, the most frequent reason first",
        )


def show_pairs(pairs: dict[str, str], alt: str) -> None:
    table = pd.DataFrame({"Name": list(pairs), "Value": list(pairs.values())})
    st.dataframe(table, hide_index=True, height="content", alt=alt)
