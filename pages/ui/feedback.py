"""Errors, the status of a run and what was deleted, as every page shows them."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.base import formatting
from core.base.errors import UserError
from core.base.formatting import escape_markdown, explain
from core.runs.training.states import RunState

Colour = Literal["gray", "blue", "orange", "green", "red"]


@dataclass(frozen=True)
class Status:
    """How a run's status is shown: its words, an icon and a colour of Streamlit."""

    words: str
    icon: str
    colour: Colour


_LOOKS: dict[str, tuple[str, Colour]] = {
    "queued": (":material/hourglass_empty:", "gray"),
    "running": (":material/play_circle:", "blue"),
    "stopping": (":material/stop_circle:", "orange"),
    "finished": (":material/check_circle:", "green"),
    "stopped": (":material/stop_circle:", "orange"),
    "failed": (":material/error:", "red"),
    "interrupted": (":material/power_off:", "red"),
    "damaged": (":material/broken_image:", "red"),
}

STATUS = {status: Status(words, *_LOOKS[status]) for status, words in formatting.STATUS.items()}


def show_error(error: UserError) -> None:
    """Say what was expected, what was found and what to do."""
    st.error(explain(error), icon=":material/error:")


def explain_state(state: RunState) -> str:
    """Why a run is in its state, and what to do, as safe Markdown."""
    words = escape_markdown(state.reason)
    return f"{words}\n\n**What to do:** {escape_markdown(state.remedy)}" if state.remedy else words


def tell_deletion(freed: str | None, refused: list[str]) -> None:
    """Keep for the next run of the page what was freed, if anything, and what is still there and why."""
    if freed:
        st.session_state["freed"] = freed
    st.session_state["refused"] = refused


def show_deletion() -> None:
    """Say once what `tell_deletion` kept."""
    freed = st.session_state.pop("freed", None)
    if freed is not None:
        st.success(freed, icon=":material/check_circle:")
    for words in st.session_state.pop("refused", []):
        st.warning(f"Not deleted: {escape_markdown(words)}", icon=":material/error:")
