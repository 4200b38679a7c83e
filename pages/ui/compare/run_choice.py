"""Choose the runs to compare."""

import streamlit as st

from core.base.formatting import percent, shorten
from core.runs.results import outputs
from core.runs.results.comparison import FEWEST, MOST
from core.runs.results.comparison_tables import why_left_out
from core.runs.training.run import Run


def choose_runs(judged: list[Run]) -> list[Run]:
    """The runs of the link, or those chosen here; the link follows the choice."""
    runs = {run.id: run for run in judged}
    linked = list(dict.fromkeys(filter(None, st.query_params.get("runs", "").split(","))))
    for said in why_left_out([run_id for run_id in linked if run_id not in runs]):
        st.warning(said, icon=":material/link_off:")
    chosen = st.multiselect(
        "Runs",
        list(runs),
        default=[run_id for run_id in linked if run_id in runs][:MOST],
        format_func=lambda run_id: title_of(runs[run_id]),
        max_selections=MOST,
        placeholder=f"{FEWEST} to {MOST} runs",
        key="chosen",
    )
    follow(chosen)
    return [runs[run_id] for run_id in chosen if run_id in runs]


def follow(chosen: list[str]) -> None:
    if chosen:
        st.query_params["runs"] = ",".join(chosen)
    elif "runs" in st.query_params:
        del st.query_params["runs"]


def title_of(run: Run) -> str:
    accuracy = percent((outputs.report_of(run) or {})["test"]["accuracy"])
    return f"run {run.number} – {shorten(run.name, 40)} – {accuracy}"
