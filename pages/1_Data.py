"""Data: a file becomes a checked, split and saved data set."""

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import escape_markdown, shorten
from core.charts.counts import class_balance, describe_balance
from core.data.quality.fixes import done_to
from core.data.reading.read_options import choice_of
from core.data.storage.datasets import Dataset, find_dataset
from core.data.storage.uploads import Upload, find_upload, kept_fixes
from pages.ui import navigation
from pages.ui.data.columns import choose_columns
from pages.ui.data.counts import show_counts, show_shape
from pages.ui.data.findings import show_findings, show_fixes
from pages.ui.data.reading import choose_reading
from pages.ui.data.saved_datasets import offer_check, show_datasets, show_done, train_on
from pages.ui.data.saving import offer_save, show_rejected
from pages.ui.data.source import Source, check, fix_texts, read
from pages.ui.data.split import choose_split
from pages.ui.data.upload import start_over
from pages.ui.data.welcome import welcome
from pages.ui.feedback import show_error


def main() -> None:
    navigation.start_page("Data")
    try:
        if "saved" in st.query_params:
            show_saved(find_dataset(st.query_params["saved"]))
        elif "upload" in st.query_params:
            prepare_file(find_upload(st.query_params["upload"]))
        else:
            welcome()
    except UserError as error:
        st.title("Data")
        show_error(error)
        start_over("Start with a file")
        show_datasets()


def prepare_file(upload: Upload) -> None:
    """The box with the Save button comes first on the page, and is filled in last."""
    st.title("Data")
    st.write("Check what was read, choose the columns and the split, then save.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(shorten(upload.name, 60))
        start_over("Choose another file")
    choice = choice_of(st.query_params.to_dict())
    try:
        table = read(upload.id, choice)
    except UserError as error:
        show_error(error)
        choose_reading(upload, choice, None)
        return
    save_box, problems = st.container(border=True), st.container(gap="xsmall")
    source, findings = None, []
    try:
        mapping = choose_columns(table, upload, choice)
        source = Source(upload.id, choice, mapping, kept_fixes(upload, mapping))
        fixed, findings = fix_texts(source), check(source)
        prepared, leaks = choose_split(upload, table, source)
    except UserError as error:
        with problems:
            show_error(error)
            if source is not None:
                # A fix may be what went too far: it can still be undone.
                show_fixes(source, [])
                show_findings(source, findings)
        save_box.write("Nothing can be saved yet; what is missing stands below.")
        show_rejected(table.rejected)
        return
    with problems:
        show_fixes(source, prepared.done)
        errors = [finding for finding in findings if finding.severity == "error"]
        warnings = [finding for finding in findings if finding.severity != "error"]
        show_findings(source, [*errors, *leaks, *warnings])
    show_shape(prepared.splits, fixed.labeled)
    rejected = sorted([*table.rejected, *prepared.rejected], key=lambda row: row.line)
    with save_box:
        offer_save(upload, table, source, prepared, rejected, findings)
    show_rejected(rejected, by_fixes=sum(one.left_out for one in prepared.done))


def show_saved(dataset: Dataset) -> None:
    st.title("Data")
    st.success(f"{escape_markdown(dataset.name)} is saved.", icon=":material/check_circle:")
    show_counts(dataset.counts)
    with st.container(horizontal=True):
        if st.button("Train on it", type="primary", icon=":material/model_training:"):
            train_on(dataset)
        offer_check(dataset, "Check it")
        start_over("Add another data set")
    words = describe_balance(dataset.class_counts)
    st.altair_chart(class_balance(dataset.class_counts), alt=words)
    st.caption(escape_markdown(words))
    show_done(done_to(dataset.source))
    show_datasets()


main()
