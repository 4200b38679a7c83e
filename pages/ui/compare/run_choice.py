"""Choose the runs to compare."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import explain, percent, shorten
from core.runs.results import outputs
from core.runs.results.comparison import FEWEST, MOST
from core.runs.training import states, store
from core.runs.training.run import Run


def choose_runs(judged: list[Run]) -> list[Run]:
    """The runs of the link, or those chosen here; the link follows the choice."""
    runs = {run.id: run for run in judged}
    linked = list(dict.fromkeys(filter(None, st.query_params.get("runs", "").split(","))))
    say_missing([run_id for run_id in linked if run_id not in runs])
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


def say_missing(ids: list[str]) -> None:
    """Of every run of the link that cannot be compared: why."""
    # A link holds whatever somebody wrote into it.
    for run_id in ids[:MOST]:
        try:
            run = store.find_run(run_id)
        except UserError as error:
            st.warning(f"A run of this link is left out. {explain(error)}", icon=":material/link_off:")
        else:
            status = states.state(run).status
            st.warning(
                f"Run {run.number or '(cannot be read)'} is left out: it is {status} and has no test scores.",
                icon=":material/link_off:",
            )
    if len(ids) > MOST:
        st.warning(f"{len(ids) - MOST:,} more of this link are left out.", icon=":material/link_off:")
