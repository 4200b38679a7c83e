"""Delete runs, one or those of a certain age."""

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.base.formatting import count, size
from core.runs.results import cleaning
from core.runs.training import states, store
from core.runs.training.run import Run
from pages.ui.feedback import STATUS, show_error, tell_deletion

# Age from which the clean-up proposes to delete.
OLD_DAYS = 30


@st.dialog("Delete this run?", icon=":material/delete:")
def ask_to_delete(run: Run) -> None:
    st.text(run.name or "A run that cannot be read")
    st.write("Its model, scores and log are removed and cannot be brought back. The data set stays.")
    if not st.button(f"Delete it and free {size(cleaning.bytes_of(run))}", type="primary"):
        return
    try:
        freed = store.delete_run(run.id, spare_waiting=True)
    except UserError as error:
        show_error(error)
        return
    tell_deletion(f"Deleted; {size(freed)} freed.", [])
    st.query_params.clear()
    st.rerun()


@st.dialog("Clean up runs", icon=":material/cleaning_services:", width="medium")
def clean_up() -> None:
    st.write(f"All runs together take **{size(cleaning.bytes_of_all())}** on the disk.")
    days = st.number_input(
        "Ended more than … days ago",
        min_value=0,
        value=OLD_DAYS,
        key="old_days",
        help="Runs that wait in line or are being trained are never among them.",
    )
    old = cleaning.older_than(days)
    if not old:
        st.info(f"No run ended more than {count(days, 'day')} ago.", icon=":material/info:")
        return
    sizes = list(map(cleaning.bytes_of, old))
    show_old(old, sizes)
    st.write("Their models, scores and logs cannot be brought back. The data sets stay.")
    if st.button(f"Delete {count(len(old), 'run')} and free {size(sum(sizes))}", type="primary"):
        done = cleaning.delete(old)
        done.freed += cleaning.sweep()
        words = f"{count(done.deleted, 'run')} deleted; {size(done.freed)} freed."
        refused = [f"{run.name}: {error}" for run, error in done.refused]
        tell_deletion(words if done.deleted else None, refused)
        st.query_params.clear()
        st.rerun()


def show_old(old: list[Run], sizes: list[int]) -> None:
    st.dataframe(
        {
            "Data set": [run.name or "(cannot be read)" for run in old],
            "Status": [STATUS[states.state(run).status].words for run in old],
            "Ended": pd.to_datetime([cleaning.ended_at(run) for run in old], unit="s", utc=True),
            "Size": list(map(size, sizes)),
        },
        hide_index=True,
        alt="The runs that would be deleted, the oldest first",
        column_config={"Ended": st.column_config.DatetimeColumn(format="distance")},
    )
