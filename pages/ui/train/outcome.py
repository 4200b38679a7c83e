"""How a run ended, and what to do next."""

from collections.abc import Callable

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, explain
from core.runs.results import outputs
from core.runs.tasks import forecasts
from core.runs.training import queue, states
from core.runs.training.events import Event
from core.runs.training.progress import about_texts
from core.runs.training.run import Run
from core.runs.training.states import RunState
from pages.ui.feedback import STATUS, explain_state
from pages.ui.navigation import PREDICT_PAGE, RUNS_PAGE, go_to
from pages.ui.train.link import only_viewing, share
from pages.ui.train.progress import show_scores


def show_result(run: Run, state: RunState) -> None:
    if state.status != "finished":
        st.warning(explain_state(state), icon=STATUS[state.status].icon)
    report = outputs.report_of(run) or {}
    with st.container(horizontal=True):
        for name in ("test", "validation"):
            if report.get(name):
                show_scores(name.capitalize(), report[name])
    expected = forecasts.recorded(run)
    if expected and state.status == "finished" and (words := forecasts.compared(expected, report)):
        st.caption(f":material/timer: {words}")
    if only_viewing():
        return
    with st.container(horizontal=True):
        if report and st.button("Judge it", type="primary", icon=":material/insights:"):
            go_to(RUNS_PAGE, run=run.id)
        if outputs.model_folder(run) and st.button("Try it", icon=":material/label:"):
            go_to(PREDICT_PAGE, run=run.id)
        if state.status != "finished":
            offer_another_try(run)
        share(run)


def show_failure(run: Run, state: RunState) -> None:
    box = st.warning if state.status in ("stopped", "interrupted") else st.error
    box(explain_state(state), icon=STATUS[state.status].icon)
    if only_viewing():
        return
    if state.status != "damaged":
        with st.container(horizontal=True):
            offer_another_try(run)
    elif st.button("Open it under Runs", icon=":material/insights:"):
        go_to(RUNS_PAGE, run=run.id)


def offer_another_try(run: Run) -> None:
    """The ways on from a run that did not finish; the first of them is the next step."""
    resumable, smaller = states.can_resume(run), states.smaller_batch(run)
    if resumable and not smaller:
        offer("Resume", "resume", queue.resume, run, primary=True, help="Goes on from the last snapshot.")
    if smaller:
        words = f"Start again with batches of {smaller}"
        offer(words, "replay", queue.submit_again, run, batch_size=smaller, primary=True)
    if resumable and smaller:
        offer("Resume as it is", "resume", queue.resume, run, help="Goes on from the last snapshot.")
    primary = not (resumable or smaller or outputs.model_folder(run))
    offer("Start again with these settings", "replay", queue.submit_again, run, primary=primary)


def offer(
    words: str,
    icon: str,
    action: Callable[..., Run],
    run: Run,
    primary: bool = False,
    help: str | None = None,
    **changes: int,
) -> None:
    """A button that lets a run go on, or starts another one like it, and shows that one."""
    if st.button(words, type="primary" if primary else "secondary", icon=f":material/{icon}:", help=help):
        try:
            shown = action(run, **changes)
        except UserError as error:
            st.error(explain(error))
            return
        st.query_params.from_dict({"run": shown.id})
        st.rerun()


def show_notes(events: list[Event]) -> None:
    for event in events:
        if event["type"] == "note":
            st.info(escape_markdown(event["message"]), icon=":material/info:")
    for said in about_texts(events):
        st.caption(said)
