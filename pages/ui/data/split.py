"""Choose how the texts are split into training, validation and test."""

from dataclasses import replace

import streamlit as st

from core.base.errors import UserError
from core.base.formatting import shorten
from core.data.labels import ColumnMapping, guess_mapping
from core.data.preparing import Prepared, parts_of_files, parts_of_table, prepare
from core.data.quality.checks import Finding, find_leaks
from core.data.splits import SplitPlan
from core.data.storage.uploads import Upload, find_upload
from core.data.tables import GUESS, Table
from pages.ui.data.source import Source, fix_texts, read, read_labels
from pages.ui.data.upload import take_file

PERCENTAGES, SPLIT_COLUMN, OWN_FILES = "Percentages", "A split column", "Own files"


def choose_split(upload: Upload, table: Table, source: Source) -> tuple[Prepared, list[Finding]]:
    """The split, and what its parts have in common."""
    st.subheader("Split")
    st.caption(
        "The model learns from the training texts. The validation texts tell when it is at its best; "
        "the test texts, which it never sees, tell how good it is."
    )
    guess = guess_mapping(table)
    how = st.segmented_control(
        "How to split",
        [PERCENTAGES, SPLIT_COLUMN, OWN_FILES],
        default=SPLIT_COLUMN if guess and guess.split else PERCENTAGES,
        required=True,
        key=f"how_{upload.id}",
    )
    files: tuple[tuple[str, str], ...] = ()
    if how == SPLIT_COLUMN:
        column = choose_split_column(table, source.mapping, guess, upload)
        plan = choose_plan(upload, ask_test=False)
        source = replace(source, mapping=replace(source.mapping, split=column))
    elif how == OWN_FILES:
        files = tuple(choose_files(source.mapping).items())
        given = dict(files)
        plan = choose_plan(upload, ask_validation="validation" not in given, ask_test="test" not in given)
    else:
        plan = choose_plan(upload)
    return split(source, plan, files), check_leaks(source, plan, files)


def choose_split_column(
    table: Table, mapping: ColumnMapping, guess: ColumnMapping | None, upload: Upload
) -> str:
    others = [name for name in table.frame.columns if name != mapping.label and name not in mapping.text]
    guessed = guess.split if guess and guess.split in others else None
    column = st.selectbox(
        "Split column",
        others,
        index=others.index(guessed) if guessed else None,
        key=f"split_{upload.id}",
        placeholder="Choose a column",
        help="Its values say where a row belongs: train, validation (or valid, val, dev) or test.",
    )
    if column is None:
        raise UserError("a split column", "none chosen", "Choose it under Split, or split by percentages.")
    return column


def choose_plan(upload: Upload, ask_validation: bool = True, ask_test: bool = True) -> SplitPlan:
    default = SplitPlan()
    fields = st.container(horizontal=True, vertical_alignment="bottom")
    percents = {}
    for name, asked in (("validation", ask_validation), ("test", ask_test)):
        if asked:
            percents[f"{name}_percent"] = fields.number_input(
                f"{name.capitalize()} (%)",
                0.0,
                90.0,
                float(getattr(default, f"{name}_percent")),
                1.0,
                format="%g",
                width=150,
                key=f"{name}_percent_{upload.id}",
                help=f"Share of the rows that become {name} texts.",
            )
    seed = fields.number_input(
        "Seed", 0, 2**31 - 1, default.seed, width=150, key=f"seed_{upload.id}", help="Same seed, same split."
    )
    stratified = fields.toggle(
        "Same mix of classes",
        default.stratified,
        key=f"stratified_{upload.id}",
        help="Every class is split in the same proportion (stratified).",
    )
    return SplitPlan(**percents, stratified=stratified, seed=seed)


def choose_files(mapping: ColumnMapping) -> dict[str, str]:
    """The chosen files by the split they make: "validation" or "test" → id of the upload."""
    st.caption(
        "They need the same columns as the first file. What you leave out is taken from the training texts."
    )
    found = {}
    for column, split in zip(st.columns(2), ("validation", "test"), strict=True):
        with column:
            if split in st.query_params:
                upload = find_upload(st.query_params[split])
                found[split] = upload.id
                st.text(f"{split.capitalize()}: {shorten(upload.name, 40)}")
                if st.button("Remove", key=f"remove_{split}", icon=":material/close:"):
                    del st.query_params[split]
                    st.rerun()
            else:
                take_file(
                    f"{split.capitalize()} file", split, "A table with the same columns as the first one."
                )
    return found


@st.cache_resource(max_entries=2, scope="session", show_spinner="Splitting")
def split(source: Source, plan: SplitPlan, files: tuple[tuple[str, str], ...]) -> Prepared:
    if source.mapping.split is not None:
        parts = parts_of_table(read(source.upload_id, source.choice), source.mapping)
        return prepare(parts, source.fixes, plan)
    train, rejected = read_labels(source.unfixed)
    tables = {part: read(file_id, GUESS) for part, file_id in files}
    parts = parts_of_files(train, rejected, tables, source.mapping)
    return prepare(parts, source.fixes, plan, fix_texts(source))


@st.cache_resource(max_entries=2, scope="session", show_spinner="Comparing training with test")
def check_leaks(source: Source, plan: SplitPlan, files: tuple[tuple[str, str], ...]) -> list[Finding]:
    return find_leaks(split(source, plan, files).splits)
