import codecs
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.reading.read_options import (
    ENCODINGS,
    choice_of,
    dialect_in_words,
    fields_to_choose,
    lines_in_words,
    words_of,
)
from core.data.tables import Dialect, LineCount, ReadOptions


@pytest.mark.parametrize(
    "choice",
    [
        ReadOptions(),
        ReadOptions(encoding="cp1252", delimiter="\t", quotechar="", has_header=False, skipped_lines=0),
        ReadOptions(delimiter="", quotechar="'", has_header=True, skipped_lines=12),
        ReadOptions(sheet="Sheet 1", member="a/b.csv"),
    ],
)
def test_a_choice_survives_a_link(choice):
    assert choice_of(words_of(choice)) == choice


@given(
    st.dictionaries(st.sampled_from(["encoding", "delimiter", "has_header", "skipped_lines", "x"]), st.text())
)
def test_what_a_stranger_writes_into_a_link_is_a_choice_or_a_guess(words):
    choice = choice_of(words)
    assert choice.has_header in (None, True, False)
    assert choice.skipped_lines is None or 0 <= choice.skipped_lines < 10**9


def test_nonsense_is_guessed():
    words = {"has_header": "perhaps", "skipped_lines": "-1", "delimiter": "x" * 501, "other": "a"}
    assert choice_of(words) == ReadOptions()


def test_every_encoding_that_is_offered_is_known():
    assert all(codecs.lookup(name)._is_text_encoding for name in ENCODINGS)


CSV = Dialect("csv", "utf-8", ",", '"', has_header=True)
XLSX = Dialect("xlsx", "", "", "", True, sheet="A", sheets=("A", "B"), skipped_lines=1)
JSON = Dialect("json", "utf-8", "", "", True)
PARQUET = Dialect("parquet", "", "", "", True)


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        (CSV, ["CSV", "utf-8", "delimiter: comma", "with header"]),
        (
            replace(CSV, format="tsv", delimiter="\t", quotechar="", has_header=False, skipped_lines=2),
            ["TSV", "utf-8", "delimiter: tab", "quotes: none", "no header", "2 lines above the table"],
        ),
        (
            replace(CSV, delimiter="^", packed="zip", member="x" * 50, members=("x", "y")),
            ["CSV, packed (zip)", f"file: {'x' * 39}…", "utf-8", "delimiter: '^'", "with header"],
        ),
        (replace(CSV, packed="zip", member="x", members=("x",)), ["CSV, packed (zip)", "utf-8"]),
        (XLSX, ["Excel", "sheet: A", "with header", "1 row above the table"]),
        (JSON, ["JSON", "utf-8"]),
        (replace(JSON, format="jsonl"), ["JSON Lines", "utf-8"]),
        (PARQUET, ["Parquet"]),
    ],
)
def test_how_a_file_is_written_is_said_part_by_part(dialect, words):
    said = dialect_in_words(dialect)
    assert [part for part, _ in said][: len(words)] == words
    assert all(meaning for _, meaning in said)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            LineCount(33, 1, 30, 1, 1),
            "33 lines in the file: 30 with rows, 1 with the header, 1 left out, 1 blank.",
        ),
        (LineCount(1, 0, 1, 0, 0), "1 line in the file: 1 with rows."),
    ],
)
def test_where_the_lines_went_is_said(lines, words):
    assert lines_in_words(lines) == words


TEXT = ["encoding", "delimiter", "quotechar"]


@pytest.mark.parametrize(
    ("dialect", "members", "sheets", "asked"),
    [
        (CSV, (), (), TEXT),
        (CSV, ("a", "b"), (), ["member", *TEXT]),
        (JSON, (), (), ["encoding"]),
        (PARQUET, ("a",), (), []),
        (XLSX, (), ("A", "B"), ["sheet"]),
        (None, (), (), TEXT),
        (None, ("a", "b"), ("A", "B"), ["member", "sheet"]),
    ],
)
def test_what_can_be_chosen_depends_on_the_file(dialect, members, sheets, asked):
    assert [name for name, _, _ in fields_to_choose(dialect, members, sheets)] == asked
