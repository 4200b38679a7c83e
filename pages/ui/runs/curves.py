"""How a run learned: its loss and validation curves."""

from typing import Any

import streamlit as st

from core import charts
from core.runs.tasks import data_checks
from core.runs.training import store
from core.runs.training.store import Run


def show_curves(run: Run, report: dict[str, Any] | None) -> None:
    events = store.events_of(run)
    losses, scores = charts.loss_table(events), charts.score_table(events)
    if losses.empty:
        st.info("No step yet.", icon=":material/info:")
        return
    left, right = st.columns(2, gap="large")
    with left:
        words = charts.describe_losses(losses)
        st.altair_chart(charts.loss_curves(losses), alt=words, key="loss")
        st.caption(words)
    if scores.empty:
        return
    with right:
        majority = ((report or {}).get("validation") or {}).get("majority_accuracy")
        to_beat = charts.to_beat(majority, data_checks.baseline_of(run.dataset_id, "validation"))
        words = charts.describe_scores(scores, to_beat)
        st.altair_chart(charts.score_curves(scores, to_beat), alt=words, key="scores")
        st.caption(words)
