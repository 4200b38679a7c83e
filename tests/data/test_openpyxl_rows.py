"""The contract with openpyxl: what is private in it, and read here, does what is relied on."""

import datetime
import inspect
import io

import openpyxl
import pytest
from openpyxl.worksheet._reader import WorkSheetParser

from core.data.reading.excel import openpyxl_rows
from core.data.reading.excel.openpyxl_rows import open_workbook, parse_rows
from tests.data.packing import with_part, with_shared_strings, workbook

CHANGED = (
    "openpyxl has changed what it does not document: mend core/data/reading/excel/openpyxl_rows.py, "
    "which reads the rows exactly as they stand in the file"
)
PLAIN = workbook({"Data": [["text", "label"], ["a", "x"], ["b", "y"]]})
TWICE = '<row r="2"><c><v>1</v></c></row><row r="2"><c><v>2</v></c></row>'
BACKWARDS = '<row r="1"><c r="C1"><v>3</v></c><c r="A1"><v>1</v></c></row>'
FAR = '<row r="1"><c><v>1</v></c></row><row r="99999999999"><c><v>2</v></c></row>'


def with_rows(xml):
    return with_shared_strings(PLAIN, [], xml)


def parsed(content):
    return list(parse_rows(open_workbook(content), "Data"))


def test_the_names_that_are_used_are_there():
    wanted = {"src", "shared_strings", "data_only", "epoch", "date_formats", "timedelta_formats"}
    assert wanted <= inspect.signature(WorkSheetParser).parameters.keys(), CHANGED
    book = open_workbook(PLAIN)
    assert all(hasattr(book, name) for name in ("_date_formats", "_timedelta_formats")), CHANGED
    assert all(hasattr(book["Data"], name) for name in ("_get_source", "_shared_strings")), CHANGED


def test_rows_have_the_numbers_and_cells_that_stand_in_the_file():
    assert parsed(PLAIN) == [
        (1, [(1, "text"), (2, "label")]),
        (2, [(1, "a"), (2, "x")]),
        (3, [(1, "b"), (2, "y")]),
    ], CHANGED
    assert parsed(with_rows(TWICE)) == [(2, [(1, 1)]), (2, [(1, 2)])], CHANGED
    assert parsed(with_rows(BACKWARDS)) == [(1, [(3, 3), (1, 1)])], CHANGED
    assert parsed(with_rows(FAR)) == [(1, [(1, 1)]), (99_999_999_999, [(1, 2)])], CHANGED


def test_shared_strings_are_looked_up():
    content = with_shared_strings(PLAIN, ["a", "b"], '<row><c t="s"><v>1</v></c><c t="s"><v>0</v></c></row>')
    assert parsed(content) == [(1, [(1, "b"), (2, "a")])], CHANGED


@pytest.mark.parametrize("epoch", [1900, 1904])
def test_days_and_durations_are_told_by_their_formats(epoch):
    content = workbook({"Data": [[datetime.datetime(2024, 1, 2), datetime.timedelta(hours=30), 45_000]]})
    days = {1900: 0, 1904: 1_462}[epoch]
    if epoch == 1904:
        flag = b'<workbookPr date1904="1" '
        content = with_part(content, "xl/workbook.xml", lambda xml: xml.replace(b"<workbookPr ", flag))
    ((_, cells),) = parsed(content)
    day = datetime.datetime(2024, 1, 2) + datetime.timedelta(days=days)
    assert [value for _, value in cells] == [day, datetime.timedelta(hours=30), 45_000], CHANGED


def test_a_row_is_parsed_when_it_is_asked_for(monkeypatch):
    content = with_rows("<row><c><v>7</v></c></row>" * 50_000)
    read = []

    class Counting(openpyxl_rows._Bounded):
        def read(self, size=-1):
            chunk = super().read(size)
            read.append(len(chunk))
            return chunk

    monkeypatch.setattr(openpyxl_rows, "_Bounded", Counting)
    rows = parse_rows(open_workbook(content), "Data")
    next(rows)
    first = sum(read)
    assert sum(1 for _ in rows) == 49_999
    assert first < sum(read) / 5, CHANGED


@pytest.mark.parametrize(("xml", "lost"), [(TWICE, 2), (BACKWARDS, 3)])
def test_the_public_iterator_still_loses_what_stands_in_the_file(xml, lost):
    """Once it does not, and makes up no rows, it can take the place of the private parser."""
    book = openpyxl.load_workbook(io.BytesIO(with_rows(xml)), read_only=True, data_only=True)
    book["Data"].reset_dimensions()
    seen = {value for row in book["Data"].iter_rows(values_only=True) for value in row}
    assert lost not in seen, "openpyxl's public iterator may do by now: see openpyxl_rows.py"
