"""Errors and the status of a run, as every page shows them."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.base import formatting
from core.base.errors import UserError
from core.base.formatting import explain


@dataclass(frozen=True)
class Status:
    """How a run's status is shown: its words, an icon and a colour of Streamlit."""

    words: str
    icon: str
    colour: Literal["gray", "blue", "orange", "green", "red"]


_LOOKS: dict[str, tuple[str, Literal["gray", "blue", "orange", "green", "red"]]] = {
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
