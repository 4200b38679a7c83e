"""Files of other parsers' test suites and raw data sets, each read as its source expects."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.data.labels import guess_mapping
from core.data.reading.files import read_table
from core.data.reading.text import delimited
from core.data.reading.text.decoding import decode_lines, find_encoding
from core.data.tables import Limits, ReadOptions
from tests.examples import examples

SHARED = Path(__file__).parents[3] / "shared"
MESSY = SHARED / "messy"


def entries():
    try:
        return json.loads((MESSY / "expected.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []


def rows(table):
    return table.frame.values.tolist()


def all_rows(table):
    """The rows of the file, with the header as the first of them where there is one."""
    return [list(table.frame.columns)] * table.dialect.has_header + rows(table)


# What an entry may expect, and how it is checked


def check_records(path, expected):
    assert read_table(path).frame.to_dict("records") == expected


def check_good_rows(path, expected):
    assert rows(read_table(path)) == expected


def check_errors(path, expected):
    found = [row.reason for row in read_table(path).rejected]
    assert found == [f"expected 3 fields, found {message.split()[-2]}" for _, message in expected]


def check_skipped(path, expected):
    assert read_table(path).dialect.skipped_lines == expected


def check_header(path, expected):
    table = read_table(path)
    assert (table.dialect.has_header, list(table.frame.columns)) == (True, expected)


def check_all(path, expected):
    assert all_rows(read_table(path)) == expected


def check_encoding(path, expected):
    found = read_table(path).dialect.encoding.replace("-", "_").removesuffix("_sig")
    if expected == "latin1":
        assert found in ("cp1252", "latin_1")  # The bytes of the file mean the same in both.
    else:
        assert found == expected
        content = path.read_bytes()
        lines, broken = decode_lines(content, find_encoding(content))
        assert ("".join(lines), broken) == (content.decode(expected).removeprefix("\ufeff"), set())


def check_header_alone(path, expected):
    """A header and no row: read as such, and refused, as there is nothing to learn from."""
    assert expected["rows"] == 0
    with pytest.raises(UserError) as error:
        read_table(path, choice=ReadOptions(has_header=True))
    assert error.value.found == f"a header alone ({', '.join(expected['header'])})"


def check_kinds(path, expected):
    """Everything is text here: what another reader takes for numbers and times stays as it stands."""
    table = read_table(path)
    assert len(table.frame.columns) == len(expected)
    assert rows(table)[0] == ["1", "a", "True", "2015-11-04", "2015-11-04T12:22:00", "0:04:15"]


def check_equal(path, expected):
    other = read_table(MESSY / expected.split()[0])
    assert read_table(path).frame.equals(other.frame)


def check_no_raise(path, expected):
    assert expected == "not raise"
    assert all_rows(read_table(path)) == [["a", "b", "c"], ["\0", "2", "3"]]


CHECKS = {
    "records": check_records,
    "good_rows": check_good_rows,
    "rows": check_good_rows,
    "errors": check_errors,
    "skip_lines": check_skipped,
    "header": check_header,
    "header_after_space_normalising": check_header,
    "all": check_all,
    "after --join-short-rows": check_all,
    "encoding": check_encoding,
    "language": None,
    "with_header_row": check_header_alone,
    "column_types": check_kinds,
    "equal_to": check_equal,
    "must": check_no_raise,
}
"""By key of an expectation. The language is not read: it follows from the letters, which are."""

# Without an expectation of their source: rows, rejected rows, delimiter, has a header; or what is refused.
UNSTATED = {
    "csvkit/test_utf16_big.csv": (2, 0, ",", True),
    "csvkit/test_utf16_little.csv": (2, 0, ",", True),
    "csvkit/empty.csv": "an empty file (1 bytes)",
    "csvkit/blanks.csv": (1, 0, ",", True),
    "csvkit/test_extra_header.csv": (1, 0, ",", True),
    "csvkit/test_empty_columns.csv": (3, 1, ",", False),
    "readr/eol-cr.csv": (3, 0, ",", True),
    "readr/eol-crlf.csv": (3, 0, ",", True),
    "readr/eol-lf.csv": (3, 0, ",", True),
    "readr/null-file": (2, 0, ",", True),
    "readr/table-crash": (38, 1, "  ", False),
    "readr/enc-iso-8859-1.txt": (1, 0, ",", True),
    "readr/basic-df-singlequote.csv": (10, 0, ",", True),
    "PapaParse/utf-8-bom-sample.csv": (1, 0, ",", True),
    "PapaParse/verylong-sample.csv": (1996, 4, ",", True),
    "PapaParse/malformed.tsv": (7, 2, "\t", True),
    "PapaParse/sample-header.csv": (2, 0, ",", True),
}


@pytest.mark.parametrize("entry", entries() or [None], ids=lambda entry: entry and entry["file"])
def test_every_file_is_read_as_expected(entry):
    if entry is None:
        pytest.skip("the real files are not beside this project (../shared/messy)")
    path, expected = MESSY / entry["file"], entry["expected"]
    if expected is None:
        check_unstated(path, UNSTATED[entry["file"]])
        return
    for key, value in expected.items():
        check = CHECKS[key]
        if check is not None:
            check(path, value)


def check_unstated(path, expected):
    if isinstance(expected, str):
        with pytest.raises(UserError) as error:
            read_table(path)
        assert error.value.found == expected
        return
    table = read_table(path)
    dialect = table.dialect
    found = (len(table.frame), len(table.rejected), dialect.delimiter, dialect.has_header)
    assert found == expected


RAW = [
    # file, rows, encoding, delimiter, quotation mark, header, guessed text, guessed label
    ("sms_spam/SMSSpamCollection", 5574, "utf-8", "\t", "", False, "column_2", "column_1"),
    ("sms_spam/kaggle_spam.csv", 5572, "cp1252", ",", '"', True, "v2", "v1"),
    ("ag_news/test.csv", 7600, "utf-8", ",", '"', False, "column_3", "column_1"),
    ("../sst2/train.csv", 6920, "utf-8", ",", '"', True, "text", "label"),
    ("../trec6/train.csv", 5452, "utf-8", ",", '"', True, "text", "label"),
    ("../banking77/train.csv", 10003, "utf-8", ",", '"', True, "text", "label"),
    ("../movie_reviews/train.csv", 2000, "utf-8", ",", '"', True, "text", "label"),
    ("../germeval2018/train.csv", 5009, "utf-8", ",", '"', True, "text", "label"),
    ("rotten_tomatoes/rt-polarity.neg", 5331, "cp1252", "", "", False, None, None),
    ("rotten_tomatoes/rt-polarity.pos", 5331, "cp1252", "", "", False, None, None),
]


@pytest.mark.parametrize(("name", "count", "encoding", "delimiter", "mark", "header", "text", "label"), RAW)
def test_raw_data_sets_are_read_whole(shared, name, count, encoding, delimiter, mark, header, text, label):
    table = read_table(shared(f"data/raw/{name}"))
    dialect, mapping = table.dialect, guess_mapping(table)
    assert (len(table.frame), table.rejected) == (count, [])
    assert (dialect.encoding, dialect.delimiter, dialect.quotechar) == (encoding, delimiter, mark)
    assert dialect.has_header is header
    assert (mapping and mapping.text[-1], mapping and mapping.label) == (text, label)


def test_each_line_of_the_polarity_files_is_one_text(shared):
    for name in ("neg", "pos"):
        path = shared(f"data/raw/rotten_tomatoes/rt-polarity.{name}")
        lines = path.read_bytes().decode("cp1252").split("\n")
        assert [row[0] for row in rows(read_table(path))] == lines[:-1]


# Every line in exactly one place


def text_files():
    found = [path for folder in (MESSY, SHARED / "data" / "raw") for path in sorted(folder.rglob("*"))]
    return [path for path in found if path.is_file() and path.suffix not in (".json", ".md")]


def assert_accounted_for(content: bytes) -> bool:
    """Every line is in the header, a row, a rejected row, or blank. Returns whether there was a table."""
    try:
        table = delimited.read(content, Limits(), ReadOptions())
    except UserError:
        return False
    lines, _ = decode_lines(content, table.dialect.encoding)
    count = table.line_count
    assert count.total == len(lines)
    assert count.header + count.rows + count.rejected + count.blank == count.total
    breaks = sum(len(re.findall("\r\n|\r|\n", value)) for row in rows(table) for value in row)
    assert count.rows == len(table.frame) + breaks
    assert count.rejected >= len(table.rejected)
    starts = [*table.lines.tolist(), *(row.line for row in table.rejected)]
    assert len(set(starts)) == len(starts)
    assert all(1 <= line <= count.total and lines[line - 1].strip("\r\n") for line in starts)
    assert count.blank <= sum(map(str.isspace, lines))
    return True


@pytest.mark.parametrize("path", text_files() or [None], ids=lambda path: path and path.name)
def test_every_line_of_a_real_file_is_accounted_for(path):
    if path is None:
        pytest.skip("the real files are not beside this project (../shared)")
    assert assert_accounted_for(path.read_bytes()) or path.name == "empty.csv"


PIECES = [
    *"ab ,;\t|\"'#\\:\0é",
    '""',
    ',"',
    '",',
    *("\n", "\r\n", "\r", "\n\n"),
    "x,pos\n",
    '"y, z",neg\n',
    "1,a,b\n",
]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=60).map("".join)


@settings(max_examples=examples(1_000), deadline=None)
@given(TEXTS)
def test_every_line_of_any_text_is_accounted_for(text):
    assert_accounted_for(text.encode())


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_a_reason(content):
    assert_accounted_for(content)


@settings(max_examples=examples(300), deadline=None)
@given(
    TEXTS,
    st.builds(
        ReadOptions,
        encoding=st.sampled_from(
            [None, "utf-8", "utf-16", "cp1252", "big5", "utf-7", "iso2022_jp", "hz", "x"]
        ),
        delimiter=st.sampled_from([None, "", ",", "\t", "::", "  ", "\n", "a", "\ufdd0", "\0"]),
        quotechar=st.sampled_from([None, "", '"', "'", "a"]),
        has_header=st.sampled_from([None, True, False]),
        skipped_lines=st.sampled_from([None, -1, 0, 1, 3]),
    ),
)
def test_any_choice_is_honoured_or_refused(text, choice):
    try:
        table = delimited.read(text.encode(), Limits(), choice)
    except UserError:
        return
    count, dialect = table.line_count, table.dialect
    assert count.header + count.rows + count.rejected + count.blank == count.total
    for name in ("delimiter", "quotechar", "has_header", "skipped_lines"):
        assert getattr(choice, name) in (None, getattr(dialect, name))
