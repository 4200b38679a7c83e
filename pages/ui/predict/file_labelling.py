"""Label a file: choose its column, start, and show where it stands."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import count, escape_markdown, explain, shorten
from core.data.labels import guess_mapping, guess_text
from core.data.reading.streaming import Beginning
from core.data.storage.uploads import MOST_TABLE_MB, Upload, find_upload
from core.data.tables import Table
from core.runs.results.models import Model
from core.runs.tasks import labellings
from core.runs.tasks.labellings import Labelling
from core.serving.file_labelling.plan import Plan
from pages.ui.feedback import show_error
from pages.ui.predict.file_upload import (
    beginning,
    is_of_this_file,
    offer_other_file,
    show_beginning,
    show_name,
    take_file,
)
from pages.ui.predict.labelling_progress import follow_labelling, offer_resumption, say_end
from pages.ui.predict.labelling_result import show_result
from pages.ui.tab import take_out


def label_a_file(model: Model) -> None:
    if "file" not in st.query_params:
        st.write("Every row gets two more columns: `predicted_label` and `confidence` (0 to 1).")
        uploaded = st.file_uploader(
            "Table with a text column",
            help="CSV, TSV, JSON, Excel (.xlsx) or Parquet, also as .gz or .zip.",
            key="file_uploader",
            max_upload_size=MOST_TABLE_MB,
        )
        if uploaded is not None:
            take_file(uploaded.name, take_out(uploaded))
        return
    found = linked_labelling(model)
    if found is not None:
        show_name(found.name, is_live=labellings.state(found).live)
        show_labelling(found)
        return
    try:
        upload = find_upload(st.query_params["file"])
        show_name(upload.name)
    except UserError:
        offer_other_file()
        raise
    start = beginning(upload.id)
    show_beginning(start)
    if columns := choose_text(model, start.table, upload):
        offer_labelling(model, upload, start, columns)


def choose_text(model: Model, table: Table, upload: Upload) -> list[str]:
    columns = st.multiselect(
        "Text",
        list(table.frame.columns),
        default=guess_text(table, model.text_columns),
        format_func=shorten,
        key=f"columns_{upload.id}",
        help="The column that holds the texts. Several are joined with a space.",
    )
    if not columns:
        st.info("Choose the column that holds the text.", icon=":material/info:")
    return columns


def show_labelling(found: Labelling) -> None:
    """The work is a process of its own, and the link leads back to it."""
    state = labellings.state(found)
    st.caption(escape_markdown("Text: " + ", ".join(shorten(name, 40) for name in found.plan.text)))
    if state.live:
        follow_labelling(found)
        return
    if state.status == "finished" and state.result is not None:
        show_result(found, state.result)
    else:
        say_end(state)
    with st.container(horizontal=True):
        if state.resumable:
            offer_resumption(found)
        hopeless = state.status == "failed" and not state.resumable
        if st.button(
            "Label it anew", icon=":material/restart_alt:", type="primary" if hopeless else "secondary"
        ):
            labellings.delete(found)
            forget_labelling()


def linked_labelling(model: Model) -> Labelling | None:
    """The labelling of the link, if it is of this file and this model."""
    if "labelling" not in st.query_params:
        return None
    try:
        found = labellings.find(st.query_params["labelling"])
    except UserError as error:
        st.warning(explain(error), icon=":material/link_off:")
        return None
    if is_of_this_file(found) and found.plan.model == str(model.folder):
        return found
    st.info(
        "The labelling of this link is of another file or by another model. Choose that model to see it.",
        icon=":material/info:",
    )
    return None


def forget_labelling() -> None:
    del st.query_params["labelling"]
    st.rerun()


def offer_labelling(model: Model, upload: Upload, start: Beginning, columns: list[str]) -> None:
    others = [name for name in start.columns if name not in columns]
    guess = guess_mapping(start.table)
    label = st.selectbox(
        "True label",
        others,
        index=others.index(guess.label) if guess and guess.label in others else None,
        format_func=shorten,
        placeholder="none",
        key=f"label_{upload.id}",
        help="If the file says what is right, the answers are scored. It changes no answer.",
    )
    classes = st.checkbox("A column with the probability of every class", key=f"classes_{upload.id}")
    rows = "the file" if start.rows is None else count(start.rows, "row")
    if not st.button(f"Label {rows}", type="primary", icon=":material/label:"):
        return
    plan = Plan(str(upload.path), str(model.folder), tuple(columns), label, classes)
    try:
        st.query_params["labelling"] = labellings.start(upload.name, plan).id
    except UserError as error:
        show_error(error)
        return
    st.rerun()
