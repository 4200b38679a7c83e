"""Save the data set, and say which rows it leaves out."""

from pathlib import PurePath

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.base.formatting import count, shorten
from core.data.preparing import Prepared, facts_of
from core.data.quality.checks import Finding
from core.data.splits import Splits
from core.data.storage.datasets import save_dataset
from core.data.storage.uploads import Upload, delete_upload
from core.data.tables import RejectedRow, Table
from core.serving.spreadsheets import safe_csv
from pages.ui.data.source import Source
from pages.ui.feedback import show_error

SHOWN_REJECTED = 1000


def offer_save(
    upload: Upload,
    table: Table,
    source: Source,
    prepared: Prepared,
    rejected: list[RejectedRow],
    findings: list[Finding],
) -> None:
    splits = prepared.splits
    total = len(splits.train) + len(splits.validation) + len(splits.test)
    left_out = len(rejected) + sum(splits.removed.values())
    st.markdown(
        f"**{count(total, 'text')}** in **{count(len(splits.train.label2id), 'class', 'classes')}**, "
        + (f"**{count(left_out, 'row')}** left out." if left_out else "no row left out.")
    )
    errors = [finding for finding in findings if finding.severity == "error"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            "Name of the data set", shorten(PurePath(upload.name).stem, 80), max_chars=80, width=320
        )
        clicked = st.button("Save", type="primary", icon=":material/save:", disabled=bool(errors))
    if errors:
        st.markdown(f":red[{count(len(errors), 'error')} to mend first, marked red below.]")
    if clicked:
        facts = facts_of(upload.name, table.dialect, source.mapping, source.fixes, prepared.done)
        save(name or upload.name, splits, rejected, facts)


def save(name: str, splits: Splits, rejected: list[RejectedRow], source: dict[str, object]) -> None:
    try:
        with st.spinner("Saving"):
            dataset = save_dataset(name, splits, rejected, source)
    except UserError as error:
        show_error(error)
        return
    for param in ("upload", "validation", "test"):
        delete_upload(st.query_params.get(param, ""))
    st.query_params.from_dict({"saved": dataset.id})
    st.rerun()


def show_rejected(rejected: list[RejectedRow], by_fixes: int = 0) -> None:
    if not rejected:
        return
    st.subheader("Rows left out")
    if by_fixes:
        st.info(f"{count(by_fixes, 'row')} left out by the fixes above.", icon=":material/build:")
    if len(rejected) > by_fixes:
        st.warning(
            f"{count(len(rejected) - by_fixes, 'row')} of the file could not be used. Mend them in the file "
            "and choose it again, or go on without them.",
            icon=":material/warning:",
        )
    frame = pd.DataFrame(
        {
            "Line": [row.line for row in rejected],
            "Why": [row.reason for row in rejected],
            "Row": [row.raw for row in rejected],
        }
    )
    st.dataframe(
        frame.head(SHOWN_REJECTED), hide_index=True, alt="Rows that were left out, with line and reason"
    )
    st.download_button(
        "Download these rows (CSV)",
        lambda: safe_csv(frame),
        "rows-left-out.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
    )
