"""The log of a run."""

import streamlit as st

from core.runs.results import outputs
from core.runs.training import states
from core.runs.training.run import Run


def show_log(run: Run) -> None:
    opened = st.expander("Log", icon=":material/article:", key="log", on_change="rerun")
    if opened.open:
        with opened:
            st.fragment(follow_log, run_every=2.0 if states.state(run).live else None)(run)


def follow_log(run: Run) -> None:
    st.code(outputs.log_of(run) or "Nothing printed yet.", language=None, height=300, wrap_lines=True)
