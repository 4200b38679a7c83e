"""Data: a file becomes a checked, split and saved data set."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import PurePath
from urllib.parse import urlencode

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core import charts
from core.base.errors import UserError
from core.base.formatting import count, escape_markdown, explain, shorten, size
from core.data.labels import ColumnMapping, LabeledTexts, chosen_mapping, guess_mapping, label_texts
from core.data.preparing import Prepared, facts_of, parts_of_files, parts_of_table, prepare
from core.data.quality.checks import (
    Finding,
    Tokens,
    find_leaks,
    find_problems,
    length_histogram,
    profile_columns,
)
from core.data.quality.fixes import Done, Fix, Fixed, apply, done_to
from core.data.reading.files import find_parts, read_table
from core.data.reading.read_options import ENCODINGS, choice_of, words_of
from core.data.splits import SplitPlan, Splits
from core.data.storage import datasets as saved
from core.data.storage.datasets import DamagedDataset, Dataset, find_dataset, save_dataset
from core.data.storage.sample import read_sample
from core.data.storage.uploads import (
    MOST_TABLE_MB,
    Upload,
    delete_upload,
    find_upload,
    keep_fixes,
    keep_upload,
    kept_fixes,
)
from core.data.tables import GUESS, Choice, Dialect, RejectedRow, Table
from core.learning.config import TrainingConfig
from core.learning.pretrained import folder_on_disk
from core.learning.tokenizer import TextTokenizer
from core.serving.spreadsheets import safe_csv

TRAIN_PAGE, CHECK_PAGE = "pages/2_Train.py", "pages/5_Check.py"
PERCENTAGES, SPLIT_COLUMN, OWN_FILES = "Percentages", "A split column", "Own files"
GUESSED = "guess"
DELIMITERS = {
    ",": "comma",
    ";": "semicolon",
    "tab": "tab",
    "|": "vertical bar",
    "  ": "spaces, aligned",
    "none": "none",
}
MARKS = {'"': 'double (")', "'": "single (')", "none": "none"}
FORMATS = {
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON Lines",
    "json": "JSON",
    "xlsx": "Excel",
    "parquet": "Parquet",
}
WITH_HEADER = ("csv", "tsv", "xlsx")
# The fields of a choice whose guess is shown beside them.
GUESSES = ("encoding", "delimiter", "quotechar", "sheet", "member")
YES_NO = {"yes": "names of the columns", "no": "the first row"}
LARGEST_SKIP = 999_999_999
PREVIEW_ROWS = 20
SHOWN_REJECTED = 1000
# Longer texts count as this long: how much of them is not read is plain by then.
MOST_TOKENS = 20_000
# Age from which the clean-up proposes to delete.
OLD_DAYS = 30


@dataclass(frozen=True)
class Source:
    """What the page shows: a file, how it is read, its columns, and what was done about its findings."""

    upload_id: str
    choice: Choice
    mapping: ColumnMapping
    fixes: tuple[Fix, ...] = ()

    @property
    def unfixed(self) -> "Source":
        """The same without any fix."""
        return replace(self, fixes=())


def main() -> None:
    st.set_page_config(page_title="Data – Textuner", layout="wide")
    try:
        if "saved" in st.query_params:
            show_saved(find_dataset(st.query_params["saved"]))
        elif "upload" in st.query_params:
            prepare_file(find_upload(st.query_params["upload"]))
        else:
            welcome()
    except UserError as error:
        st.title("Data")
        st.error(explain(error), icon=":material/error:")
        start_over("Start with a file")
        show_datasets()


# The first screen


def welcome() -> None:
    st.title("Teach a classifier with your own examples")
    st.write(
        "Drop in a table of texts with a label for each; train a model on it, see how good it is, "
        "and let it label new texts."
    )
    with st.container(border=True):
        take_file(
            "Your table",
            "upload",
            "CSV, TSV, JSON, Excel (.xlsx) or Parquet, also as .gz or .zip: one row per text, one column for "
            "the text, one for its label.",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Try the sample", type="primary", icon=":material/play_arrow:"):
                keep_and_open("upload", "sample.csv", read_sample())
            st.caption("No file at hand? The sample is 300 messages to a library, written for this project.")
    how, table = st.columns(2, gap="large")
    with how:
        st.subheader("How it goes")
        st.markdown(
            "1. **Data**: the file is read and checked; you choose the columns.\n"
            "2. **Check**: labels that are probably wrong, and what simple classifiers reach.\n"
            "3. **Train**: a pre-trained language model learns your labels.\n"
            "4. **Runs**: scores on texts it has not seen, and its mistakes.\n"
            "5. **Compare**: whether one training is really better than another.\n"
            "6. **Predict**: label one text or a whole file, and see why.\n"
            "7. **Export**: take the model away, or a page that answers by itself."
        )
        st.caption("Your texts stay on the machine that runs Textuner.")
    with table:
        st.subheader("What the table looks like")
        show_example()
    show_datasets()


def take_file(label: str, param: str, help: str) -> None:
    uploaded = st.file_uploader(label, help=help, key=f"uploader_{param}", max_upload_size=MOST_TABLE_MB)
    if uploaded is not None:
        keep_and_open(param, uploaded.name, take_out(uploaded))


def take_out(uploaded: UploadedFile) -> bytes:
    """The bytes of an upload, which then leave the server's memory: there they would stay with the tab."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, uploaded.file_id)
    return uploaded.getvalue()


def keep_and_open(param: str, name: str, content: bytes) -> None:
    try:
        upload = keep_upload(name, content)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    open_file(param, upload)


def open_file(param: str, upload: Upload) -> None:
    st.query_params[param] = upload.id
    st.rerun()


def start_over(label: str) -> None:
    if st.button(label, icon=":material/upload_file:"):
        st.query_params.clear()
        st.rerun()


def show_example() -> None:
    rows = {
        "text": ["Where do I return a book?", "The new reading room is lovely.", "My card was refused."],
        "label": ["question", "praise", "complaint"],
    }
    st.dataframe(rows, hide_index=True, alt="An example: a text column and a label column")


# A file, from its bytes to the Save button


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
        st.error(explain(error), icon=":material/error:")
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
            st.error(explain(error), icon=":material/error:")
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


@st.cache_resource(max_entries=3, scope="session", show_spinner="Reading the file")
def read(upload_id: str, choice: Choice) -> Table:
    return read_table(find_upload(upload_id).path, choice=choice)


@st.cache_resource(max_entries=2, scope="session", show_spinner="Looking at the columns")
def profile(upload_id: str, choice: Choice) -> pd.DataFrame:
    return profile_columns(read(upload_id, choice))


@st.cache_resource(max_entries=2, scope="session", show_spinner="Reading the labels")
def read_labels(source: Source) -> tuple[LabeledTexts, list[RejectedRow]]:
    return label_texts(read(source.upload_id, source.choice), source.mapping)


@st.cache_resource(max_entries=2, scope="session", show_spinner="Applying the fixes")
def fix_texts(source: Source) -> Fixed:
    return apply(read_labels(source.unfixed)[0], source.fixes)


@st.cache_resource(max_entries=3, scope="session", show_spinner="Checking the texts")
def check(source: Source) -> list[Finding]:
    _, rejected = read_labels(source.unfixed)
    tokens = Tokens(TrainingConfig().max_length, token_counter())
    return find_problems(fix_texts(source).labeled, rejected, tokens)


@st.cache_resource(show_spinner=False)
def token_counter() -> Callable[[Sequence[str]], list[int]] | None:
    """How many tokens each text has for the model that comes with the installation, if it is there."""
    try:
        tokenizer = TextTokenizer(folder_on_disk(TrainingConfig().model), MOST_TOKENS)
    except UserError:
        return None
    return lambda texts: [len(ids) for ids in tokenizer.encode(texts)[0]]


# Columns


def choose_columns(table: Table, upload: Upload, choice: Choice) -> ColumnMapping:
    st.subheader("Columns")
    show_reading(table, upload, choice)
    names = list(table.frame.columns)
    if len(names) < 2:
        show_rows(table, upload, choice)
        raise UserError(
            "two columns or more: one with the text, one with the label",
            f"one column, {names[0]}",
            "If the file has more, choose what separates its columns under Read it differently.",
        )
    guess = guess_mapping(table)
    left, right = st.columns(2)
    texts = left.multiselect(
        "Text",
        names,
        default=list(guess.text) if guess else [],
        key=f"text_{upload.id}_{urlencode(words_of(choice))}",
        help="What the model reads. Several columns are joined with a space, in this order.",
    )
    label = right.selectbox(
        "Label",
        names,
        index=names.index(guess.label) if guess else None,
        key=f"label_{upload.id}_{urlencode(words_of(choice))}",
        placeholder="Choose a column",
        help="What the model learns to answer: the class of each text.",
    )
    show_rows(table, upload, choice)
    return chosen_mapping(texts, label)


def show_reading(table: Table, upload: Upload, choice: Choice) -> None:
    """How the file was read, where its lines went, and how to read it otherwise."""
    dialect = table.dialect
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.badge(count(len(table.frame), "row"))
        st.badge(count(len(table.frame.columns), "column"))
        for words, help in words_for(dialect):
            st.badge(escape_markdown(words), color="gray", help=help)
        choose_reading(upload, choice, dialect)
    if lines := table.line_count:
        parts = [
            f"{lines.rows:,} with rows",
            lines.header and f"{lines.header:,} with the header",
            lines.rejected and f"{lines.rejected:,} left out",
            lines.blank and f"{lines.blank:,} blank",
        ]
        st.caption(f"{count(lines.total, 'line')} in the file: {', '.join(filter(None, parts))}.")


def words_for(dialect: Dialect) -> list[tuple[str, str]]:
    """How a file is written, part by part, each with what that means."""
    written = words_of(Choice(delimiter=dialect.delimiter, quotechar=dialect.quotechar))
    packed = f", packed ({dialect.packed})" if dialect.packed else ""
    parts = [(f"{FORMATS[dialect.format]}{packed}", "The kind of file, told by what is in it.")]
    if len(dialect.members) > 1:
        parts.append((f"file: {shorten(dialect.member, 40)}", "Which file of the archive is shown."))
    if len(dialect.sheets) > 1:
        parts.append((f"sheet: {shorten(dialect.sheet, 40)}", "Which sheet of the workbook is shown."))
    parts.append((dialect.encoding, "How the letters are coded in the file."))
    if dialect.format in ("csv", "tsv"):
        delimiter = DELIMITERS.get(written["delimiter"], repr(dialect.delimiter))
        parts.append((f"delimiter: {delimiter}", "The sign that separates the columns."))
        if dialect.quotechar != '"':
            parts.append((f"quotes: {MARKS[written['quotechar']]}", "The marks that wrap a text."))
    if dialect.format in WITH_HEADER:
        header = "with header" if dialect.has_header else "no header"
        parts.append((header, "Whether the first row holds the names of the columns."))
    if dialect.skipped_lines:
        above = f"{count(dialect.skipped_lines, dialect.unit)} above the table"
        parts.append((above, "They are no rows; those with text are among the rows left out."))
    return [part for part in parts if part[0]]


def choose_reading(upload: Upload, choice: Choice, dialect: Dialect | None) -> None:
    """What was guessed can be chosen; what is chosen stands in the link.

    Args:
        dialect: how the file was read; None where it could not be read.
    """
    members, sheets = (dialect.members, dialect.sheets) if dialect else parts_of(upload.id, choice)
    fields_of_text = (
        ("encoding", "Encoding", ENCODINGS),
        ("delimiter", "Delimiter", DELIMITERS),
        ("quotechar", "Quotation marks", MARKS),
    )
    asked = [
        *([("member", "File in the archive", {name: name for name in members})] if len(members) > 1 else []),
        *([("sheet", "Sheet", {name: name for name in sheets})] if len(sheets) > 1 else []),
        *(fields_of_text if (dialect.format in ("csv", "tsv") if dialect else not sheets) else ()),
        *(fields_of_text[:1] if dialect and dialect.format in ("json", "jsonl") else ()),
    ]
    has_header = dialect is None or dialect.format in WITH_HEADER
    chosen = words_of(choice)
    if not asked and not has_header and not chosen:
        return
    read_so = (
        {} if dialect is None else words_of(Choice(**{name: getattr(dialect, name) for name in GUESSES}))
    )
    # Another key for another choice: the fields show what the link says.
    key = urlencode(chosen)
    words: dict[str, str | int | None] = dict(chosen)
    with st.popover("Read it differently", icon=":material/tune:"):
        for name, label, options in asked:
            words[name] = choose_word(name, label, options, chosen.get(name), read_so.get(name), key)
        if has_header:
            words |= choose_start(choice, dialect, key)
        if chosen and st.button("Back to the guess", icon=":material/undo:"):
            use_reading(GUESS)
    new = choice_of(words)
    if new.member != choice.member:
        # What was said about one file says nothing about another.
        use_reading(Choice(member=new.member))
    if new.sheet != choice.sheet:
        use_reading(Choice(member=new.member, sheet=new.sheet))
    if new != choice:
        use_reading(new)


@st.cache_resource(max_entries=3, scope="session", show_spinner=False)
def parts_of(upload_id: str, choice: Choice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return find_parts(find_upload(upload_id).path, choice=choice)


def choose_start(choice: Choice, dialect: Dialect | None, key: str) -> dict[str, str | int | None]:
    """Where the table begins, and whether with its header."""
    chosen = words_of(choice).get("has_header")
    read_so = words_of(Choice(has_header=dialect.has_header))["has_header"] if dialect else None
    unit = dialect.unit if dialect else "line"
    return {
        "has_header": choose_word("has_header", "The table begins with", YES_NO, chosen, read_so, key),
        "skipped_lines": st.number_input(
            f"{unit.capitalize()}s above the table",
            0,
            LARGEST_SKIP,
            choice.skipped_lines,
            key=f"skipped_lines_{key}",
            placeholder=f"Guess: {dialect.skipped_lines:,}" if dialect else "Guess",
            help="They are no part of the table: a title, or remarks.",
        ),
    }


def choose_word(
    name: str, label: str, options: Mapping[str, str], chosen: str | None, guess: str | None, key: str
) -> str | None:
    """One of the options, or None for the guess."""

    def describe(word: str) -> str:
        if word == GUESSED:
            named = guess if options is ENCODINGS else options.get(guess, guess)
            return f"Guess: {named}" if guess and not chosen else "Guess"
        meaning = options.get(word, word)
        return f"{word} ({meaning})" if options is ENCODINGS and word != meaning else meaning

    words = [GUESSED, *options]
    if chosen and chosen not in words:
        words.append(chosen)
    word = st.selectbox(
        label,
        words,
        words.index(chosen or GUESSED),
        format_func=describe,
        key=f"{name}_{key}",
        accept_new_options=options in (ENCODINGS, DELIMITERS),
    )
    return None if word == GUESSED else word


def use_reading(choice: Choice) -> None:
    """Read the file so from now on, after a reload too."""
    names = {field.name for field in fields(Choice)}
    others = {name: value for name, value in st.query_params.to_dict().items() if name not in names}
    st.query_params.from_dict({**others, **words_of(choice)})
    st.rerun()


def show_rows(table: Table, upload: Upload, choice: Choice) -> None:
    first, columns = st.tabs(["First rows", "Columns"])
    with first:
        rows = table.frame.head(PREVIEW_ROWS)
        st.dataframe(
            rows,
            height=240,
            hide_index=True,
            alt="The first rows of the file",
            # No column grows as wide as its longest text and pushes the others off a small screen.
            column_config={name: st.column_config.TextColumn(width="medium") for name in rows.columns},
        )
    with columns:
        st.dataframe(
            profile(upload.id, choice),
            hide_index=True,
            height=240,
            alt="How full each column is and how many different values it holds",
            column_config={
                "column": st.column_config.TextColumn("Column"),
                "filled": st.column_config.ProgressColumn(
                    "Filled (%)", format="percent", min_value=0, max_value=1, help="Rows with a value here."
                ),
                "distinct": st.column_config.NumberColumn("Different values", format="localized"),
                "example": st.column_config.TextColumn("Example", width="large"),
            },
        )


# What is wrong, and what is done about it


def show_fixes(source: Source, done: Sequence[Done]) -> None:
    """What the fixes did; each can be undone."""
    if not source.fixes:
        return
    changed, left_out = (sum(getattr(one, what) for one in done) for what in ("changed", "left_out"))
    with st.container(border=True, gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            did = f": {count(changed, 'row')} changed, {left_out:,} left out" if done else ""
            st.markdown(
                f":material/build: **{count(len(source.fixes), 'fix', 'fixes')} applied**{did}. "
                "The file itself stays as it is."
            )
            if len(source.fixes) > 1 and st.button("Undo all", type="tertiary", icon=":material/undo:"):
                use_fixes(source, [])
        words = {one.fix: one.words for one in done}
        for fix in source.fixes:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(words.get(fix.topic, fix.words))
                if st.button("Undo", type="tertiary", icon=":material/undo:", key=f"undo_{fix.kind}"):
                    use_fixes(source, [other for other in source.fixes if other != fix])


def use_fixes(source: Source, fixes: Sequence[Fix]) -> None:
    try:
        keep_fixes(find_upload(source.upload_id), source.mapping, fixes)
    except UserError as error:
        st.error(explain(error), icon=":material/error:")
        return
    st.rerun()


def show_findings(source: Source, findings: list[Finding]) -> None:
    """All findings but those that one of the fixes answers."""
    for finding in findings:
        if is_answered(finding, source.fixes):
            continue
        words = explain(UserError(finding.expected, finding.found, finding.remedy))
        title = escape_markdown(finding.title)
        if finding.severity == "error":
            st.error(words, title=title, icon=":material/error:")
            if finding.examples:
                with st.expander("Examples"):
                    show_examples(finding)
        else:
            with st.expander(f"{title} ({finding.count:,})", icon=":material/warning:"):
                st.markdown(words)
                offer_fixes(source, finding)
                show_examples(finding)


def is_answered(finding: Finding, fixes: Sequence[Fix]) -> bool:
    """Whether one of these fixes answers it, unless a later one brought more of it to light."""
    return any(
        offer.fix in fixes and (offer.rows is None or offer.fix == fixes[-1]) for offer in finding.offers
    )


def offer_fixes(source: Source, finding: Finding) -> None:
    with st.container(horizontal=True):
        for offer in finding.offers:
            if st.button(offer.button, key=f"fix_{offer.fix.kind}", icon=":material/build:"):
                others = [fix for fix in source.fixes if fix != offer.fix]
                use_fixes(source, [*others, replace(offer.fix, time=time.time())])


def show_examples(finding: Finding) -> None:
    if finding.examples:
        st.caption("For example")
    with st.container(gap="xxsmall"):
        for example in finding.examples:
            st.text(example)


# Split


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
    if how == SPLIT_COLUMN:
        column = choose_split_column(table, source.mapping, guess, upload)
        plan = choose_plan(upload, ask_test=False)
        source, files = replace(source, mapping=replace(source.mapping, split=column)), ()
    elif how == OWN_FILES:
        files = tuple(choose_files(source.mapping).items())
        given = dict(files)
        plan = choose_plan(upload, ask_validation="validation" not in given, ask_test="test" not in given)
    else:
        plan, files = choose_plan(upload), ()
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


# What came out, and saving it


def show_shape(splits: Splits, labeled: LabeledTexts) -> None:
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    show_counts({name: len(part) for name, part in parts.items()})
    st.caption(escape_markdown(splits.how))
    for what, number in splits.removed.items():
        if number:
            st.warning(f"Left out: {number:,} {escape_markdown(what)}.", icon=":material/content_copy:")
    class_counts = {name: part.class_counts() for name, part in parts.items()}
    st.subheader("Classes and lengths")
    left, right = st.columns(2, gap="large")
    with left:
        words = charts.describe_balance(class_counts)
        st.altair_chart(charts.class_balance(class_counts), alt=words)
        st.caption(escape_markdown(words))
    with right:
        lengths = length_histogram(labeled.texts)
        words = charts.describe_lengths(lengths)
        st.altair_chart(charts.length_histogram(lengths), alt=words)
        st.caption(escape_markdown(words))
    with st.expander("Texts per class and split"):
        show_class_counts(class_counts)


def show_counts(counts: dict[str, int]) -> None:
    with st.container(horizontal=True):
        st.metric("Training texts", f"{counts['train']:,}", border=True, width=170)
        st.metric("Validation texts", f"{counts['validation']:,}", border=True, width=170)
        st.metric("Test texts", f"{counts['test']:,}", border=True, width=170)


def show_class_counts(class_counts: dict[str, dict[str, int]]) -> None:
    table = pd.DataFrame(
        {charts.SPLIT_MEANING[split].capitalize(): row for split, row in class_counts.items()}
    )
    table.insert(0, "Class", table.index)
    table["Total"] = table.drop(columns="Class").sum(axis=1)
    st.dataframe(table, hide_index=True, alt="Number of texts per class and split")


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
        st.error(explain(error), icon=":material/error:")
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


# Saved data sets


def show_saved(dataset: Dataset) -> None:
    st.title("Data")
    st.success(f"{escape_markdown(dataset.name)} is saved.", icon=":material/check_circle:")
    show_counts(dataset.counts)
    with st.container(horizontal=True):
        if st.button("Train on it", type="primary", icon=":material/model_training:"):
            train_on(dataset)
        offer_check(dataset, "Check it")
        start_over("Add another data set")
    words = charts.describe_balance(dataset.class_counts)
    st.altair_chart(charts.class_balance(dataset.class_counts), alt=words)
    st.caption(escape_markdown(words))
    show_done(done_to(dataset.source))
    show_datasets()


def show_done(done: list[Done]) -> None:
    if not done:
        return
    st.subheader("What was done to the file's texts")
    table = pd.DataFrame(
        {
            "Fix": [one.fix for one in done],
            "Rows changed": [one.changed for one in done],
            "Rows left out": [one.left_out for one in done],
            "When": pd.to_datetime([one.time for one in done], unit="s", utc=True),
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        alt="The fixes that were applied before the data set was saved",
        column_config={
            "Rows changed": st.column_config.NumberColumn(format="localized"),
            "Rows left out": st.column_config.NumberColumn(format="localized"),
            "When": st.column_config.DatetimeColumn(format="distance"),
        },
    )


def train_on(dataset: Dataset) -> None:
    st.switch_page(TRAIN_PAGE, query_params={"dataset": dataset.id})


def offer_check(dataset: Dataset, words: str) -> None:
    help = "A baseline, labels that are probably wrong, and whether more texts would help."
    if st.button(words, icon=":material/fact_check:", help=help):
        st.switch_page(CHECK_PAGE, query_params={"dataset": dataset.id})


def show_datasets() -> None:
    show_freed()
    entries = saved.list_entries()
    if not entries:
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Saved data sets", width="content")
        if st.button("Clean up", type="tertiary", icon=":material/cleaning_services:"):
            clean_up()
    chosen = st.dataframe(
        datasets_table(entries),
        hide_index=True,
        # Another key when the list changes: a selected row number would mean another data set.
        key=f"datasets_{len(entries)}_{entries[0].id}",
        on_select="rerun",
        selection_mode="single-row",
        alt="Saved data sets, newest first",
        placeholder="",
        column_config=COLUMNS,
    ).selection.rows
    if not chosen or chosen[0] >= len(entries):
        st.caption("Select a row to train on it or to delete it.")
        return
    show_choice(entries[chosen[0]])


COLUMNS = {
    "Texts": st.column_config.NumberColumn(format="localized"),
    "Classes": st.column_config.NumberColumn(format="localized"),
    "Saved": st.column_config.DatetimeColumn(format="distance"),
}


def datasets_table(entries: list[Dataset | DamagedDataset]) -> pd.DataFrame:
    table = pd.DataFrame([row_of(entry) for entry in entries])
    table["Saved"] = pd.to_datetime(table["Saved"], unit="s", utc=True)
    return table


def row_of(entry: Dataset | DamagedDataset) -> dict[str, object]:
    if isinstance(entry, DamagedDataset):
        return {"Name": "(cannot be read)", "Texts": None, "Classes": None, "Saved": entry.created}
    texts, classes = sum(entry.counts.values()), len(entry.label2id)
    return {"Name": entry.name, "Texts": texts, "Classes": classes, "Saved": entry.created}


def show_choice(entry: Dataset | DamagedDataset) -> None:
    damaged = isinstance(entry, DamagedDataset)
    if damaged:
        st.error(escape_markdown(entry.reason), icon=":material/broken_image:")
    with st.container(horizontal=True):
        if not damaged and st.button("Train on the selected one", icon=":material/model_training:"):
            train_on(entry)
        if not damaged:
            offer_check(entry, "Check the selected one")
        if st.button("Delete", icon=":material/delete:"):
            ask_to_delete(entry)


# Deleting


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
    if deleted:
        st.session_state["freed"] = f"{count(deleted, 'data set')} deleted; {size(freed)} freed."
    st.session_state["refused"] = refused
    if st.query_params.get("saved") in [entry.id for entry in entries]:
        st.query_params.clear()


def show_freed() -> None:
    freed = st.session_state.pop("freed", None)
    if freed is not None:
        st.success(freed, icon=":material/check_circle:")
    for words in st.session_state.pop("refused", []):
        st.warning(f"Not deleted: {escape_markdown(words)}", icon=":material/error:")


if "routed" not in st.session_state:
    # Until the router has run once, a fresh server opens a linked page beside it, without its menu.
    with suppress(StreamlitAPIException):
        st.switch_page("streamlit_app.py", query_params=st.query_params.to_dict() | {"page": "Data"})
main()
