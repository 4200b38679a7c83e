"""Compare: 2 to 8 runs beside each other, and whether their scores differ by more than noise."""

import streamlit as st

from core.base.errors import UserError
from core.runs.results import outputs
from core.runs.results.comparison import FEWEST, MOST, compare_runs
from core.runs.training import store
from core.runs.training.run import Run
from pages.ui import navigation
from pages.ui.compare.changed_texts import show_changed
from pages.ui.compare.differences import show_shared, show_verdicts
from pages.ui.compare.learning_curves import show_curves
from pages.ui.compare.run_choice import choose_runs
from pages.ui.compare.scores import show_scores
from pages.ui.compare.settings import show_settings
from pages.ui.feedback import show_error


def main() -> None:
    navigation.start_page("Compare")
    st.title("Compare")
    known = [run for run in store.list_runs() if run.readable]
    judged = [run for run in known if (outputs.report_of(run) or {}).get("test")]
    if len(judged) < FEWEST:
        teach(len(judged))
        return
    st.write("Runs beside each other, on the test texts that all of them have.")
    runs = choose_runs(judged)
    if len(runs) < FEWEST:
        st.info(f"Choose {FEWEST} to {MOST} runs.", icon=":material/compare_arrows:")
        return
    show_comparison(runs)


def teach(judged: int) -> None:
    found = "There is none yet." if judged == 0 else "There is one so far."
    st.write(
        "Two runs that were judged on the same test texts can be compared here: their curves, their "
        f"settings, and whether one is really better or only luckier. It takes two. {found}"
    )
    navigation.offer_page("Train a model", "Train")


def show_comparison(runs: list[Run]) -> None:
    titles = [f"run {run.number}" for run in runs]
    try:
        with st.spinner("Comparing the runs"):
            found = compare_runs(runs)
    except UserError as error:
        show_error(error)
        show_curves(runs, titles)
        return
    show_shared(found)
    show_verdicts(found)
    left, right = st.columns(2, gap="large")
    with left:
        show_scores(found)
    with right:
        show_settings(found)
    show_curves(runs, found.titles)
    show_changed(found)


main()
