"""The bad input that people bring: each gets what was expected, what was found, and what to do."""

import io
import zipfile

import pytest

from core.base.errors import UserError
from core.data.labels import ColumnMapping, guess_mapping, label_texts
from core.data.quality.checks import find_problems
from core.data.reading.files import read_table

MAPPING = ColumnMapping(("text",), "label")


def findings_of(rows):
    table = read_table("\n".join(["text,label", *rows]).encode())
    return find_problems(*label_texts(table, MAPPING))


def zip_with(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "content")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "a PNG picture"),
        (zip_with("xl/workbook.bin"), r"an Excel workbook"),
        (zip_with("word/document.xml"), r"a Word document \(.docx\)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), r"an old Excel or Word file"),
        (b"SQLite format 3\x00" + bytes(100), "an SQLite database"),
        (bytes(range(256)) * 20, "binary data"),
        (b"<!DOCTYPE html>\n<html><body>text,label</body></html>", "a web page"),
        (b'\xef\xbb\xbf<?xml version="1.0"?><rows/>', "a web page or an XML document"),
    ],
)
def test_not_a_table(content, kind):
    with pytest.raises(UserError, match=f"a table .*found {kind}") as error:
        read_table(content)
    assert "CSV" in error.value.remedy


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xff\xfe", bytes(10)])
def test_empty(content):
    with pytest.raises(UserError, match=r"at least one row; found an empty file \(\d+ bytes\)"):
        read_table(content)


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_no_file(tmp_path, name):
    with pytest.raises(UserError, match=r"a file that can be read; found .*\((No such|Is a)"):
        read_table(tmp_path / name)


def test_one_column():
    table = read_table(b"text\nonly texts here,\nand no labels\n".replace(b",", b""))
    assert list(table.frame.columns) == ["text"]
    assert guess_mapping(table) is None
    with pytest.raises(UserError, match="the column 'label'; found the columns 'text'"):
        label_texts(table, MAPPING)


@pytest.mark.parametrize("content", [b"text,label\n", b"text,label", b"text,label\n\n\n"])
def test_no_rows(content):
    with pytest.raises(UserError, match="at least one row under the header; found a header alone"):
        read_table(content)


def test_no_row_that_can_be_read():
    with pytest.raises(UserError, match="found 2 that cannot; the first, line 2: expected 2 fields, found 3"):
        read_table(b"text,label\na,b,c\nd,e,f\n")


def test_one_class():
    (finding,) = findings_of([f"text {i},same" for i in range(60)])
    assert (finding.severity, finding.title) == ("error", "Only one class")
    assert finding.found == "the label 'same' on all 60 rows"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'text,label\n,a\n"  ",b\n\t,a\n', r"the text is empty \(text\) in 3 of 3 rows"),
        (b"text,label\nhello,\nworld,\n", r"the label is empty \(label\) in 2 of 2 rows"),
    ],
)
def test_all_texts_or_labels_empty(content, found):
    with pytest.raises(UserError, match=found) as error:
        label_texts(read_table(content), MAPPING)
    assert error.value.remedy == "Check that text holds the texts and label the labels."


def test_decimal_labels_that_are_measurements():
    (finding,) = findings_of([f"text {i},{i % 30 / 10}" for i in range(90)])
    assert (finding.severity, finding.title) == ("error", "The labels are measurements")
    assert finding.found == "30 different numbers with decimals"


def test_decimal_labels_that_are_a_scale():
    (finding,) = findings_of([f"text {i},{i % 4 / 2}" for i in range(60)])
    assert (finding.severity, finding.title) == ("warning", "The labels are numbers with decimals")


def test_two_hundred_classes():
    (finding,) = findings_of([f"text {i},class {i % 200}" for i in range(1000)])
    assert (finding.severity, finding.title) == ("warning", "Many classes")
    assert finding.found == "200 classes, 5 texts in each on average"


def test_sixty_megabytes(tmp_path):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(60 * 1024 * 1024)
    with pytest.raises(UserError, match=r"at most 50\.0 MB; found a file of 60\.0 MB"):
        read_table(path)


@pytest.mark.parametrize("text", ["long " * 200_000, "x" * 1_000_000, '"' + 'line, ""so""\n' * 80_000 + '"'])
def test_a_text_of_one_megabyte(text):
    table = read_table(f"text,label\nshort,a\n{text},b\nalso short,b\n".encode())
    assert table.frame["text"].tolist() == ["short", "also short"]
    (row,) = table.rejected
    assert (row.line, len(row.raw)) == (3, 500)
    assert "characters; at most 500,000 are read" in row.reason


@pytest.mark.parametrize("rows", [3, 60, 5000])
def test_a_label_column_that_is_an_id(rows):
    (finding,) = findings_of([f"text {i},id{i}" for i in range(rows)])
    assert (finding.severity, finding.title) == ("error", "The labels look like ids")
    assert finding.found == f"{rows:,} different labels on {rows:,} rows"


def test_a_label_column_that_is_nearly_an_id():
    rows = [f"text {i},id{i}" for i in range(70)] + [f"more {i},id{i}" for i in range(30)]
    assert [finding.title for finding in findings_of(rows)] == ["The labels look like ids"]
