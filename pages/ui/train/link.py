"""The run that the page's address names."""

import streamlit as st

from core.base.errors import UserError
from core.runs.training import queue, store
from core.runs.training.run import Run
from pages.ui.navigation import run_link


def only_viewing() -> bool:
    """Whether the link is one to look with: then nothing on the page starts, stops or deletes anything."""
    return st.query_params.get("view") == "only"


def chosen_run() -> tuple[Run | None, UserError | None]:
    """The run of the link; without a link the one at work, which then stays: its end is to be seen."""
    if "run" not in st.query_params:
        shown = queue.run_at_work()
        if shown:
            st.query_params["run"] = shown.id
        return shown, None
    try:
        return store.find_run(st.query_params["run"]), None
    except UserError as error:
        return None, error


def open_run(run: Run) -> None:
    st.query_params.from_dict({"run": run.id})
    st.rerun()


def share(run: Run) -> None:
    with st.popover("Share", icon=":material/link:", help="A link to this run"):
        st.write("Whoever can reach this server can look at the run under this link, without any buttons:")
        link = run_link(st.context.url, run.id)
        st.code(f"{link}&view=only", language=None, wrap_lines=True)
        st.write("The same with the buttons that stop it, judge it and use it:")
        st.code(link, language=None, wrap_lines=True)
