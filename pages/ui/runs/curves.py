"""How a run learned: its loss and validation curves."""

from typing import Any

import streamlit as st

from core.charts.curves import (
    describe_losses,
    describe_scores,
    loss_curves,
    loss_table,
    score_curves,
    score_table,
    to_beat,
)
from core.runs.tasks import data_checks
from core.runs.training import run_events
from core.runs.training.run import Run


def show_curves(run: Run, report: dict[str, Any] | None) -> None:
    events = run_events.events_of(run)
    losses, scores = loss_table(events), score_table(events)
    if losses.empty:
        st.info("No step yet.", icon=":material/info:")
        return
    left, right = st.columns(2, gap="large")
    with left:
        words = describe_losses(losses)
        st.altair_chart(loss_curves(losses), alt=words, key="loss")
        st.caption(words)
    if scores.empty:
        return
    with right:
        majority = ((report or {}).get("validation") or {}).get("majority_accuracy")
        baselines = to_beat(majority, data_checks.baseline_of(run.dataset_id, "validation"))
        words = describe_scores(scores, baselines)
        st.altair_chart(score_curves(scores, baselines), alt=words, key="scores")
        st.caption(words)
