"""How the file was read, and how to read it otherwise."""

from collections.abc import Mapping
from dataclasses import fields
from urllib.parse import urlencode

import streamlit as st

from core.base.formatting import count, escape_markdown
from core.data.reading.files import find_parts
from core.data.reading.read_options import (
    DELIMITERS,
    ENCODINGS,
    WITH_HEADER,
    choice_of,
    dialect_in_words,
    fields_to_choose,
    lines_in_words,
    words_of,
)
from core.data.storage.uploads import Upload, find_upload
from core.data.tables import GUESS, Dialect, ReadOptions, Table

GUESSED = "guess"
# The fields of a choice whose guess is shown beside them.
GUESSES = ("encoding", "delimiter", "quotechar", "sheet", "member")
YES_NO = {"yes": "names of the columns", "no": "the first row"}
LARGEST_SKIP = 999_999_999


def show_reading(table: Table, upload: Upload, choice: ReadOptions) -> None:
    """How the file was read, where its lines went, and how to read it otherwise."""
    dialect = table.dialect
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.badge(count(len(table.frame), "row"))
        st.badge(count(len(table.frame.columns), "column"))
        for words, help in dialect_in_words(dialect):
            st.badge(escape_markdown(words), color="gray", help=help)
        choose_reading(upload, choice, dialect)
    if lines := table.line_count:
        st.caption(lines_in_words(lines))


def choose_reading(upload: Upload, choice: ReadOptions, dialect: Dialect | None) -> None:
    """What was guessed can be chosen; what is chosen stands in the link.

    Args:
        dialect: how the file was read; None where it could not be read.
    """
    members, sheets = (dialect.members, dialect.sheets) if dialect else parts_of(upload.id, choice)
    asked = fields_to_choose(dialect, members, sheets)
    has_header = dialect is None or dialect.format in WITH_HEADER
    chosen = words_of(choice)
    if not asked and not has_header and not chosen:
        return
    read_so = (
        {} if dialect is None else words_of(ReadOptions(**{name: getattr(dialect, name) for name in GUESSES}))
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
        use_reading(ReadOptions(member=new.member))
    if new.sheet != choice.sheet:
        use_reading(ReadOptions(member=new.member, sheet=new.sheet))
    if new != choice:
        use_reading(new)


@st.cache_resource(max_entries=3, scope="session", show_spinner=False)
def parts_of(upload_id: str, choice: ReadOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return find_parts(find_upload(upload_id).path, choice=choice)


def choose_start(choice: ReadOptions, dialect: Dialect | None, key: str) -> dict[str, str | int | None]:
    """Where the table begins, and whether with its header."""
    chosen = words_of(choice).get("has_header")
    read_so = words_of(ReadOptions(has_header=dialect.has_header))["has_header"] if dialect else None
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
            named = guess if options is ENCODINGS else options.get(guess or "", guess)
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


def use_reading(choice: ReadOptions) -> None:
    """Read the file so from now on, after a reload too."""
    names = {field.name for field in fields(ReadOptions)}
    others = {name: value for name, value in st.query_params.to_dict().items() if name not in names}
    st.query_params.from_dict({**others, **words_of(choice)})
    st.rerun()
