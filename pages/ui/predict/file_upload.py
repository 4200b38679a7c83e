"""Take a file to label, and show its beginning."""

from contextlib import suppress
from pathlib import PurePath
from typing import Any

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import count, shorten
from core.data.reading.streaming import Beginning, read_beginning
from core.data.storage.uploads import delete_upload, find_upload, keep_upload
from core.runs.tasks import labellings
from core.runs.tasks.labellings import Labelling
from pages.ui.feedback import show_error


def take_file(name: str, content: bytes) -> None:
    try:
        upload = keep_upload(name, content)
    except UserError as error:
        show_error(error)
        return
    st.query_params["file"] = upload.id
    st.rerun()


def show_name(name: str, is_live: bool = False) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(shorten(name, 60))
        offer_other_file(is_live)


def offer_other_file(is_live: bool = False) -> None:
    if st.button(
        "Choose another file",
        icon=":material/upload_file:",
        key="other_file",
        disabled=is_live,
        help="Stop the work on this one first, or open this page once more." if is_live else None,
    ):
        with suppress(UserError):
            found = labellings.find(st.query_params.get("labelling", ""))
            if is_of_this_file(found):
                labellings.delete(found)
        delete_upload(st.query_params["file"])
        st.query_params.pop("labelling", None)
        del st.query_params["file"]
        st.rerun()


def is_of_this_file(found: Labelling) -> bool:
    return PurePath(found.plan.source).parent.name == st.query_params["file"]


@st.cache_resource(max_entries=4, scope="session", show_spinner="Reading the file")
def beginning(upload_id: str) -> Beginning:
    return read_beginning(find_upload(upload_id).path)


def show_beginning(start: Beginning) -> None:
    columns = count(len(start.columns), "column")
    if start.rows is None:
        st.caption(f"{columns}. The file is large: its rows are counted when they are labelled.")
    else:
        st.caption(f"{count(start.rows, 'row')}, {columns}")
        rejected = start.table.rejected
        show_rejected([vars(row) for row in rejected], len(rejected), start.table.dialect.unit)


def show_rejected(rows: list[dict[str, Any]], number: int, unit: str) -> None:
    if not number:
        return
    st.warning(
        f"{count(number, 'row')} could not be read and {'is' if number == 1 else 'are'} left out.",
        icon=":material/warning:",
    )
    with st.expander("Which ones, and why"):
        if number > len(rows):
            st.caption(f"The first {len(rows):,}.")
        st.dataframe(
            {
                unit.capitalize(): [row["line"] for row in rows],
                "Why": [row["reason"] for row in rows],
                "As in the file": [row["raw"] for row in rows],
            },
            hide_index=True,
            alt=f"Rows that could not be read, with {unit} and reason",
        )
