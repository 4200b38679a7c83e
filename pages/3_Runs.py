"""Runs: every training so far, and for one of them how good it is and where it goes wrong."""

import streamlit as st

from core.base.formatting import escape_markdown
from core.runs.results import outputs
from core.runs.training import states, store
from core.runs.training.run import Run
from pages.ui import navigation
from pages.ui.feedback import STATUS, explain_state, show_deletion
from pages.ui.runs.confidence import show_sureness
from pages.ui.runs.curves import show_curves
from pages.ui.runs.deletion import clean_up
from pages.ui.runs.heading import show_heading
from pages.ui.runs.mistakes import show_mistakes
from pages.ui.runs.report import show_report
from pages.ui.runs.runs_table import choose_run, choose_several
from pages.ui.runs.settings import show_forecast, show_settings

REPORT, SURENESS, MISTAKES, CURVES, ABOUT = "Report", "Confidence", "Mistakes", "Curves", "Settings"


def main() -> None:
    navigation.start_page("Runs")
    st.title("Runs")
    show_deletion()
    runs = store.list_runs()
    if not runs:
        teach()
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.write("Every training so far. Select one to see how good it is and where it goes wrong.")
        if st.button("Clean up", type="tertiary", icon=":material/cleaning_services:"):
            clean_up()
    several = len(runs) > 1 and st.toggle("Select several to compare", key="several")
    if several:
        choose_several(runs)
        return
    run = choose_run(runs)
    if run:
        show_run(run)


def teach() -> None:
    st.write(
        "Each training leaves a run here: its scores on texts it has never seen, the texts it got wrong, "
        "its settings, and the model itself. There is none yet."
    )
    navigation.offer_page("Train a model", "Train")


def show_run(run: Run) -> None:
    state = states.state(run)
    report = outputs.report_of(run)
    show_heading(run, state)
    if state.reason:
        box = st.error if state.status in ("failed", "damaged") else st.warning
        box(explain_state(state), icon=STATUS[state.status].icon)
    if not run.readable:
        return
    show_forecast(run, state, report or {})
    if run.unknown and not run.damage:
        names = escape_markdown(", ".join(run.unknown))
        st.caption(f"Made by another version, with settings that this one lacks: {names}.")
    shown = {
        REPORT: show_report,
        SURENESS: show_sureness,
        MISTAKES: show_mistakes,
        CURVES: show_curves,
        ABOUT: show_settings,
    }
    views = st.tabs(list(shown), key="view", on_change="rerun")
    for view, show in zip(views, shown.values(), strict=True):
        if view.open:
            with view:
                show(run, report)


main()
