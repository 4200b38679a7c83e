"""The labelled file: its first rows, its scores and its download."""

from pathlib import PurePath
from typing import Any

import streamlit as st

from core.base.formatting import count, percent, shorten, size
from core.runs.tasks import labellings
from core.runs.tasks.labellings import Labelling
from core.serving.file_labelling.parts import parts_of
from core.serving.file_labelling.writing import CSV, JSON_LINES, PARQUET, frames_of
from pages.ui.predict.file_upload import show_rejected

PREVIEW_ROWS, SHOWN_CHARACTERS = 20, 500
# Bytes; a string under the name would be shown on the page.
LARGE_DOWNLOAD = 100_000_000
FORM_NAMES = {CSV: "CSV", PARQUET: "Parquet", JSON_LINES: "JSON Lines"}
SHOWN_SCORES = (
    ("accuracy", "Accuracy", percent),
    ("macro_f1", "Macro F1", percent),
    ("mcc", "MCC", "{:.3f}".format),
)
NEW_COLUMNS = ("predicted_label", "confidence")


def show_result(found: Labelling, result: dict[str, Any]) -> None:
    new = result["columns"]
    st.success(f"{count(result['rows'], 'row')} labelled.", icon=":material/check_circle:")
    if (new["label"], new["confidence"]) != NEW_COLUMNS:
        st.info(
            "The file has such columns already, so the new ones are called "
            f"`{new['label']}` and `{new['confidence']}`.",
            icon=":material/info:",
        )
    if result["without_text"]:
        words = f"{count(result['without_text'], 'row')} without text got no label."
        st.warning(words, icon=":material/warning:")
    if result["unsure"]:
        words = f"{count(result['unsure'], 'row')} marked as `unsure`: better left to people."
        st.info(words, icon=":material/info:")
    show_rejected(result["rejected_rows"], result["rejected"], result["unit"])
    show_scores(found, result)
    offer_file(found)
    show_first_rows(found, new)


def show_first_rows(found: Labelling, new: dict[str, Any]) -> None:
    """What one looks for comes first: the answer, and the text that it is about."""
    shown = next(frames_of(parts_of(found.parts))).head(PREVIEW_ROWS)
    shown = shown.map(lambda cell: shorten(cell, SHOWN_CHARACTERS) if isinstance(cell, str) else cell)
    shares = [new["confidence"], *new["classes"]]
    shown[shares] *= 100
    first = [name for name in (new["label"], new["confidence"], new["unsure"], *found.plan.text) if name]
    others = [name for name in shown.columns if name not in (*first, *new["classes"])]
    column = st.column_config.ProgressColumn(format="%.1f%%", min_value=0, max_value=100)
    st.dataframe(
        shown[[*first, *new["classes"], *others]],
        hide_index=True,
        alt="The first rows with their labels",
        column_config=dict.fromkeys(shares, column),
    )
    st.caption(f"At most {PREVIEW_ROWS} rows are shown. In the file the new columns come last.")


def show_scores(found: Labelling, result: dict[str, Any]) -> None:
    if found.plan.label is None:
        return
    if result["unknown"]:
        words = f"{count(result['unknown'], 'row')} with a label that the model does not know: not scored."
        st.warning(words, icon=":material/warning:")
    scores = result["scores"]
    if not scores:
        st.warning("No row has a true label that the model knows.", icon=":material/warning:")
        return
    if result["trained_on"]:
        st.warning(
            f"The model was trained on the text of {count(result['trained_on'], 'row')} of this file: "
            "these scores are too good. Only texts that it has never seen show how good it is.",
            icon=":material/warning:",
        )
    with st.container(horizontal=True):
        for name, words, form in SHOWN_SCORES:
            st.metric(words, form(scores[name]), border=True)
    low, high = map(percent, scores["intervals"]["accuracy"])
    st.caption(
        f"On {count(scores['texts'], 'row')} with a true label. Accuracy lies between {low} and "
        f"{high} with 95 % confidence."
    )


def offer_file(found: Labelling) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        form = st.segmented_control(
            "Format",
            list(FORM_NAMES),
            default=CSV,
            format_func=FORM_NAMES.__getitem__,
            key="form",
            required=True,
        )
        assert form is not None  # The control requires an answer.
        safe = form == CSV and st.toggle(
            "Safe for spreadsheets",
            value=True,
            key="safe",
            help="A cell that a spreadsheet would run as a formula (it begins with = + - @, tab or return) "
            "gets a quotation mark in front.",
        )
        with st.spinner("Writing the file"):
            made = labellings.output(found, form, safe)
        if safe:
            st.caption(
                f"{count(made.changed, 'cell')} changed" if made.changed else "no cell had to be changed"
            )
    bytes_to_send = made.path.stat().st_size
    st.download_button(
        f"Download {FORM_NAMES[form]} ({size(bytes_to_send)})",
        # Read at the click: until then the server holds nothing of it.
        lambda: labellings.output(found, form, safe).path.read_bytes(),
        f"{PurePath(found.name).stem[:80]}-labelled.{form}",
        "application/octet-stream",
        on_click="ignore",
        icon=":material/download:",
        type="primary",
    )
    if bytes_to_send > LARGE_DOWNLOAD:
        st.caption(
            "The server holds all of it in memory from the click until you leave this page. "
            "`python -m core predict` writes a file of any size."
        )
