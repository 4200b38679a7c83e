"""Start a check in a process of its own, follow it, and say how it ended."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, percent
from core.data.storage.datasets import Dataset
from core.runs.tasks import data_checks
from core.runs.tasks.data_checks import CheckState
from core.runs.training.run import Run
from pages.ui.feedback import show_error

LOOK_EVERY_SECONDS = 1.0
WAYS_OUT = {"interrupted": "warning", "stopped": "info", "failed": "error"}


def has_ended_well(
    dataset: Dataset, kind: str, state: CheckState, words: str, run: Run | None = None
) -> bool:
    """Whether nothing of the study is at work or went wrong; if it is, shows it."""
    if state.live:
        follow(dataset, kind, words)
    elif state.status in WAYS_OUT:
        offer_again(dataset, kind, state, run)
    else:
        return True
    return False


def follow(dataset: Dataset, kind: str, words: str) -> None:
    """Show a study at work; once it has ended the whole page is drawn anew."""

    def watch() -> None:
        now = data_checks.state(dataset, kind)
        if not now.live:
            st.rerun()
        st.progress(now.share, f"{words} · {percent(now.share, 0)} · {escape_markdown(now.doing)}")
        if st.button("Stop", icon=":material/stop:", key=f"stop_{kind}"):
            data_checks.cancel(dataset, kind)
            st.rerun()

    st.fragment(watch, run_every=LOOK_EVERY_SECONDS)()


def start(dataset: Dataset, kind: str, run: Run | None = None) -> None:
    try:
        data_checks.start(dataset, kind, run)
    except UserError as error:
        show_error(error)
        return
    st.rerun()


def offer_again(dataset: Dataset, kind: str, state: CheckState, run: Run | None = None) -> None:
    """Why a study has not ended well, and the way on."""
    say = getattr(st, WAYS_OUT[state.status])
    words = f"{escape_markdown(state.reason)}\n\n**What to do:** {escape_markdown(state.remedy)}"
    say(words, icon=":material/info:" if state.status == "stopped" else ":material/error:")
    if st.button("Start it again", icon=":material/replay:", key=f"again_{kind}"):
        start(dataset, kind, run)
