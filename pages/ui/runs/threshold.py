"""Below which confidence the model gives no answer."""

import streamlit as st

from core.base.formatting import SCORES, count, escape_markdown, percent
from core.charts.confidence import coverage_chart, describe_coverage
from core.learning.evaluation.calibration import Abstention, at_threshold, set_threshold
from core.runs.results import outputs
from core.runs.results.evaluated_texts import Answers, calibration_of
from core.runs.training.run import Run
from pages.ui.runs.scores import show_number, show_score


def show_coverage(run: Run, answers: Answers) -> None:
    st.markdown("##### Leave the unsure ones to people")
    assert answers.labels is not None  # They are known where the probabilities are.
    kept = calibration_of(run).threshold
    left, right = st.columns(2, gap="large")
    with right:
        asked = st.slider(
            "Threshold: least confidence of an answer (%)",
            0.0,
            100.0,
            100 * (kept or 0.0),
            0.5,
            format="%.1f",
            # Another run has another threshold.
            key=f"threshold_{run.id}",
        )
        found = at_threshold(answers.calibrated, answers.labels, asked / 100)
        show_abstention(found, answers.split)
        keep_threshold(run, asked / 100, kept)
    with left:
        table = answers.coverage()
        words = describe_coverage(table)
        st.altair_chart(coverage_chart(table, found.coverage, found.accuracy), alt=words, key="coverage")
        st.caption(words)


def show_abstention(found: Abstention, split: str) -> None:
    """What is answered at this threshold, how well, and what is left."""
    left_out = found.texts - found.kept
    with st.container(horizontal=True):
        show_number("Answered", percent(found.coverage), f"Share of the {split} texts.")
        if found.accuracy is not None:
            show_score(SCORES["accuracy"], found.accuracy, found.interval)
        show_number("Left to people", count(left_out, "text"), f"Of {found.texts:,} {split} texts.")


def keep_threshold(run: Run, asked: float, kept: float | None) -> None:
    """Stores the threshold with the model, where Predict and the exports find it."""
    folder = outputs.model_folder(run)
    if folder is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Keep this threshold", icon=":material/save:", disabled=asked == (kept or 0.0)):
            store_threshold(run, asked or None)
        if kept is not None and st.button("Remove it", type="tertiary"):
            st.session_state.pop(f"threshold_{run.id}", None)
            store_threshold(run, None)
    words = "No threshold is kept: the model answers every text."
    if kept is not None:
        words = (
            f"Kept with the model: {percent(kept)}. Predict and exported models mark texts below it "
            "as left to people."
        )
    st.caption(words)


def store_threshold(run: Run, threshold: float | None) -> None:
    folder = outputs.model_folder(run)
    if folder is None:
        return
    try:
        set_threshold(folder, threshold)
    except OSError as error:
        st.error(f"It could not be kept: {escape_markdown(str(error.strerror))}.", icon=":material/error:")
        return
    st.rerun()
