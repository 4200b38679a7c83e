"""Any bytes at all: a format told by what is in the file, and what mutated files brought to light."""

import gzip

import pytest

from core.base.errors import UserError
from core.data.labels import number_labels
from core.data.reading.files import find_parts, read_table
from core.data.tables import Limits, ReadOptions
from tests.data.packing import CSV, parquet, workbook, zipped

BOOK = workbook({"A": [["text", "label"], ["a", "x"]], "B": [["text", "label"], ["c", "z"]]})


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (CSV, "csv"),
        (CSV.replace(b",", b"\t"), "tsv"),
        (b'{"text": "a"}\n{"text": "b"}\n', "jsonl"),
        (b'[{"text": "a"}]', "json"),
        (BOOK, "xlsx"),
        (parquet({"text": ["a"]}), "parquet"),
    ],
)
@pytest.mark.parametrize("name", ["data.csv", "data.xlsx", "data.zip", "data"])
def test_the_format_is_told_by_the_bytes_and_not_by_the_name(tmp_path, content, format, name):
    path = tmp_path / name
    path.write_bytes(content)
    assert read_table(path).dialect.format == format


def test_parts_to_choose_from_are_found_even_where_the_guess_cannot_be_read(tmp_path):
    packed = zipped({"book.xlsx": BOOK, "broken.parquet": b"PAR1" + b"x" * 50_000})
    with pytest.raises(UserError):
        read_table(packed)
    names = ("book.xlsx", "broken.parquet")
    assert find_parts(packed) == (names, ())
    assert find_parts(packed, choice=ReadOptions(member="book.xlsx")) == (names, ("A", "B"))
    assert find_parts(packed, choice=ReadOptions(member="no such")) == (names, ())
    assert find_parts(gzip.compress(BOOK)) == ((), ("A", "B"))
    for content in (CSV, b"", b"PK\x03\x04", packed[:-20], BOOK[:500]):
        assert find_parts(content) == ((), ())
    assert find_parts(tmp_path / "missing") == ((), ())
    assert find_parts(BOOK, Limits(bytes=10)) == ((), ())


ZEROS = b"0  0  0  0  0  0  \n" * 6
FOUND_BY_MUTATION = [
    # A table of aligned columns whose first line looks like another's header.
    b"5  2  3  5  0  0  \n  0\r2  0  0  0  0  0  \n" + ZEROS + b"!",
    # Byte order marks in the middle, which make a guesser say UTF-16.
    b"-1a,b,c,d\n1,2,3\n" + b"\xfe\xff" * 50,
    # A header with half a character, in a file that says that it is UTF-8.
    b"\xef\xbb\xbf\xc1,B,C\nX,Y,Z\n",
    b"\xef\xbb\xbf\xef\xbb\xbfa|00,0:6:",
    # A header two fields shorter than the rows.
    b'fran\xe7ai"2","\r end \t\n\x0b\x0c\r",b,c\nd,e,f\n',
]


def test_numbers_among_white_space_that_only_python_knows_are_labels():
    assert number_labels(["2", "\x1f10", " 1"]) == {" 1": 0, "2": 1, "\x1f10": 2}


@pytest.mark.parametrize("content", FOUND_BY_MUTATION)
def test_what_mutation_found_is_read_and_every_line_accounted_for(content):
    table = read_table(content)
    counted = table.line_count
    assert counted.total == counted.header + counted.rows + counted.rejected + counted.blank
    assert len(table.frame) == len(table.lines)
