"""Curves of loss and scores, beside what a simple classifier reaches."""

from typing import Any

import streamlit as st

from core.base.errors import UserError
from core.charts.curves import (
    describe_losses,
    describe_scores,
    loss_curves,
    loss_table,
    score_curves,
    score_table,
    to_beat,
)
from core.charts.elements import to_spec
from core.runs.tasks import data_checks
from core.runs.training.events import Event
from core.runs.training.run import Run, own_dataset


def baselines(run: Run) -> dict[str, float]:
    """What is to be beaten, in words → its accuracy on the validation texts."""
    try:
        counts = own_dataset(run).class_counts["validation"].values()
    except (UserError, KeyError):
        return {}
    majority = max(counts) / sum(counts) if sum(counts) else None
    return to_beat(majority, data_checks.baseline_of(run.dataset_id, "validation"))


def show_curves(run: Run, events: list[Event], baselines: dict[str, float]) -> None:
    if not events:
        return
    drawn = draw_curves(run.id, len(events), events[-1]["time"], baselines, events)
    for name, column, (spec, words) in zip(
        ("loss", "scores"), st.columns(2, gap="large"), drawn, strict=False
    ):
        column.vega_lite_chart(spec=spec, key=name, alt=words)


@st.cache_data(max_entries=64, show_spinner=False)
def draw_curves(
    run_id: str, events: int, until: float, baselines: dict[str, float], _events: list[Event]
) -> list[tuple[dict[str, Any], str]]:
    """The charts and their words; drawn once for all who watch, however many and however often."""
    losses, scores = loss_table(_events), score_table(_events)
    drawn = []
    if not losses.empty:
        drawn.append((to_spec(loss_curves(losses)), describe_losses(losses)))
    if not scores.empty:
        words = describe_scores(scores, baselines)
        drawn.append((to_spec(score_curves(scores, baselines)), words))
    return drawn
