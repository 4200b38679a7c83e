"""Whether the confidence can be trusted: reliability and calibration."""

from typing import Any

import pandas as pd
import streamlit as st

from core.base.formatting import TEMPERATURE_IS, count, escape_markdown, percent
from core.charts.confidence import describe_reliability, reliability_chart
from core.runs.results.evaluated_texts import AFTER, BEFORE, BINS, Answers, answers_of
from core.runs.training.run import Run
from pages.ui.runs.scores import TRAIN_AGAIN
from pages.ui.runs.texts import cut_words, say_missing, show_texts
from pages.ui.runs.threshold import show_coverage


def show_sureness(run: Run, report: dict[str, Any] | None) -> None:
    answers = answers_of(run, "test") or answers_of(run, "validation")
    if answers is None:
        say_missing(run, "predictions.parquet", "No answers yet: they are made when a training ends.")
        return
    if answers.probabilities is None:
        st.info(
            "The probabilities of this run were not kept, so nothing can be said of how honest its "
            f"confidence is. {TRAIN_AGAIN}",
            icon=":material/info:",
        )
        return
    show_temperature(answers, report or {})
    left, right = st.columns(2, gap="large")
    with left:
        bins = show_reliability(answers)
    with right:
        show_bin(answers, bins)
    show_coverage(run, answers)


def show_temperature(answers: Answers, report: dict[str, Any]) -> None:
    fit = report.get("calibration") or {}
    source = f", fitted on {count(fit['texts'], 'validation text')}" if fit.get("fitted_on") else ""
    st.write(f"**Temperature {answers.temperature:.2f}**{source}. {TEMPERATURE_IS}")
    if fit.get("reason"):
        st.caption(escape_markdown(fit["reason"]))


def show_reliability(answers: Answers) -> pd.DataFrame:
    st.markdown(
        "##### Reliability",
        help="On the dashed line a model is as often right as it says. Bars are 95 % intervals.",
    )
    bins = answers.reliability()
    words = describe_reliability(bins)
    st.altair_chart(
        reliability_chart(bins),
        alt=words,
        key="reliability",
        on_select=take_bin,
        selection_mode="bin",
    )
    st.caption(f"{words} A click on a point shows its texts.")
    return bins


def take_bin() -> None:
    """The bin that was clicked goes into the two boxes, which say whose texts are shown."""
    points = st.session_state["reliability"].selection.get("bin", [])
    if points:
        st.session_state["bin_when"] = points[0]["when"]
        st.session_state["bin_start"] = round(points[0]["from"] * BINS)


def show_bin(answers: Answers, bins: pd.DataFrame) -> None:
    """The texts of one bin of the reliability diagram, mistakes first."""
    st.markdown("##### Texts by confidence")
    left, right = st.columns(2)
    # A temperature of 1 has no "after".
    whens = [when for when in (AFTER, BEFORE) if when in set(bins["when"])]
    keep_choice("bin_when", whens)
    when = left.selectbox("Temperature", whens, format_func=str.capitalize, key="bin_when")
    starts = [round(start * BINS) for start in bins.loc[bins["when"] == when, "from"]][::-1]
    keep_choice("bin_start", starts)
    start = right.selectbox(
        "Confidence",
        starts,
        format_func=lambda number: f"{percent(number / BINS, 0)} to {percent((number + 1) / BINS, 0)}",
        key="bin_start",
    )
    rows = answers.in_bin(start / BINS, when)
    wrong = int((rows["label"] != rows["predicted"]).sum())
    st.caption(f"{count(len(rows), 'text')}, {wrong:,} of them wrong; these come first.{cut_words(rows)}")
    show_texts(rows, "Texts of one bin of confidence, mistakes first")


def keep_choice(key: str, options: list[Any]) -> None:
    """Forget a choice that another run, or another temperature, does not have."""
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
