"""Delete data sets, one or those of a certain age."""

from contextlib import suppress

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import count, size
from core.data.storage import datasets as saved
from core.data.storage.datasets import DamagedDataset, Dataset
from pages.ui.data.datasets_table import COLUMNS, datasets_table
from pages.ui.feedback import tell_deletion

# Age from which the clean-up proposes to delete.
OLD_DAYS = 30
KEPT_BY_RUNS = "It cannot be brought back. Runs that were trained on it keep their own copy."


@st.dialog("Delete this data set?", icon=":material/delete:")
def ask_to_delete(entry: Dataset | DamagedDataset) -> None:
    st.text("(cannot be read)" if isinstance(entry, DamagedDataset) else entry.name)
    st.write(KEPT_BY_RUNS)
    if st.button(f"Delete it and free {size(bytes_of(entry))}", type="primary"):
        delete([entry])
        st.rerun()


@st.dialog("Clean up data sets", icon=":material/cleaning_services:", width="medium")
def clean_up() -> None:
    st.write(f"All data sets together take **{size(saved.bytes_of_all())}** on the disk.")
    days = st.number_input("Saved more than … days ago", min_value=0, value=OLD_DAYS, key="old_days")
    old = saved.older_than(days)
    if not old:
        st.info(f"No data set was saved more than {count(days, 'day')} ago.", icon=":material/info:")
        return
    sizes = list(map(bytes_of, old))
    st.dataframe(
        datasets_table(old).assign(Size=list(map(size, sizes))),
        hide_index=True,
        alt="The data sets that would be deleted",
        placeholder="",
        column_config=COLUMNS,
    )
    st.write("They cannot be brought back. Runs that were trained on them keep their own copies.")
    if st.button(f"Delete {count(len(old), 'data set')} and free {size(sum(sizes))}", type="primary"):
        delete(old)
        st.rerun()


def bytes_of(entry: Dataset | DamagedDataset) -> int:
    with suppress(UserError):  # Deleted meanwhile, by somebody else.
        return saved.bytes_of(entry.id)
    return 0


def delete(entries: list[Dataset | DamagedDataset]) -> None:
    """Delete data sets; what was freed, and what is still there and why, is said with the next run."""
    freed, deleted, refused = saved.sweep(), 0, []
    for entry in entries:
        try:
            freed += saved.delete_dataset(entry.id)
            deleted += 1
        except UserError as error:
            refused.append(str(error))
    words = f"{count(deleted, 'data set')} deleted; {size(freed)} freed."
    tell_deletion(words if deleted else None, refused)
    if st.query_params.get("saved") in [entry.id for entry in entries]:
        st.query_params.clear()
