"""Workbooks: the sheet with the table, its cells as a person sees them, and attacks."""

import datetime

import pytest

from core.base.errors import UserError
from core.data.reading.archives import CHUNK_BYTES
from core.data.reading.excel import openpyxl_rows
from core.data.reading.files import read_table
from core.data.tables import Limits, ReadOptions
from tests.data.packing import with_part, with_shared_strings, workbook

SHEET = "xl/worksheets/sheet1.xml"
PLAIN = workbook({"Data": [["text", "label"], ["a", "x"], ["b", "y"]]})


def rows(table):
    return table.frame.values.tolist()


def test_a_sheet_becomes_a_table_with_the_numbers_of_its_rows():
    table = read_table(PLAIN)
    dialect = table.dialect
    assert (dialect.format, dialect.sheet, dialect.sheets, dialect.has_header, dialect.unit) == (
        "xlsx",
        "Data",
        ("Data",),
        True,
        "row",
    )
    assert (list(table.frame.columns), rows(table)) == (["text", "label"], [["a", "x"], ["b", "y"]])
    assert table.lines.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (-2, "-2"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.3"),
        (1e20, "1e+20"),
        (123456789012345, "123456789012345"),
        (True, "TRUE"),
        (False, "FALSE"),
        ("0123", "0123"),
        ("  lead ", "  lead "),
        ("NA", "NA"),
        ("#N/A", "#N/A"),
        ("line\nbreak\tand tab", "line\nbreak\tand tab"),
        ("cr_x000D_here", "cr\rhere"),
        ("_xD800_", "_xD800_"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (datetime.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02 03:04:05"),
        (datetime.time(3, 4), "03:04:00"),
        (datetime.timedelta(hours=30), "30:00:00"),
        (None, ""),
    ],
)
def test_cells_are_text_as_a_person_sees_it(value, text):
    assert rows(read_table(workbook({"A": [["text", "label"], [value, "x"]]}))) == [[text, "x"]]


def test_rows_that_are_numbered_twice_or_not_at_all_are_all_read():
    for numbers in (("1", "2", "2", "2"), ("4", "3", "2", "1"), ("", "", "", "")):
        cells = "".join(
            f"<row{f' r={number!r}' if number else ''}><c><v>{i}</v></c><c t='b'><v>1</v></c></row>"
            for i, number in enumerate(numbers)
        )
        table = read_table(with_shared_strings(PLAIN, [], cells), choice=ReadOptions(has_header=False))
        assert table.frame.iloc[:, 0].tolist() == ["0", "1", "2", "3"]
        assert (table.lines[1:] > table.lines[:-1]).all()


def test_titles_blank_rows_and_blank_columns_around_the_table():
    table = read_table(
        workbook(
            {
                "A": [
                    ["Survey 2024"],
                    [],
                    ["made by", "the library"],
                    [None, "text", "label", None, "note"],
                    [None, "a", "x"],
                    [],
                    [None, "b", "y", None, "n"],
                ]
            }
        )
    )
    assert list(table.frame.columns) == ["text", "label", "note"]
    assert rows(table) == [["a", "x", ""], ["b", "y", "n"]]
    assert (table.lines.tolist(), table.dialect.skipped_lines) == ([5, 7], 3)
    assert [(row.line, row.reason, row.raw) for row in table.rejected] == [
        (1, "above the table", "Survey 2024"),
        (3, "above the table", "made by\tthe library"),
    ]


def test_a_sheet_without_a_header():
    table = read_table(workbook({"A": [["it was late.", 1], ["on time.", 2], ["so late.", 1]]}))
    assert (table.dialect.has_header, len(table.frame)) == (False, 3)
    assert list(table.frame.columns) == ["column_1", "column_2"]


def test_what_a_person_says_goes_before_the_guess():
    content = workbook({"A": [["x", "1"], ["y", "2"], ["z", "3"]]})
    assert read_table(content, choice=ReadOptions(has_header=True)).lines.tolist() == [2, 3]
    table = read_table(content, choice=ReadOptions(has_header=False, skipped_lines=1))
    assert table.lines.tolist() == [2, 3]
    with pytest.raises(UserError, match="rows under the first 3 rows; found none"):
        read_table(content, choice=ReadOptions(skipped_lines=3))


def test_the_sheet_that_looks_like_a_table_is_read_and_another_can_be_chosen():
    content = workbook(
        {
            "Notes": [["How this was made"], ["by hand"]],
            "Numbers": [[i, i * 2] for i in range(50)],
            "Answers": [["text", "label"], ["a", "x"], ["b", "y"]],
            "Old": [["text", "label"], ["q", "z"], ["r", "z"], ["s", "z"]],
        },
        hidden=("Old",),
    )
    table = read_table(content)
    assert (table.dialect.sheet, table.dialect.sheets) == ("Answers", ("Notes", "Numbers", "Answers"))
    assert len(read_table(content, choice=ReadOptions(sheet="Numbers")).frame) == 50
    with pytest.raises(UserError, match="the sheet 'Old'; found Notes, Numbers, Answers"):
        read_table(content, choice=ReadOptions(sheet="Old"))


def test_hidden_sheets_are_read_where_no_other_is_there():
    content = with_part(
        PLAIN, "xl/workbook.xml", lambda xml: xml.replace(b'state="visible"', b'state="hidden"')
    )
    assert (read_table(content).dialect.sheet, len(read_table(content).frame)) == ("Data", 2)


def test_shared_strings_and_formulas_with_and_without_a_value():
    cells = (
        '<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>'
        '<row><c t="s"><v>2</v></c><c><f>1+1</f><v>2</v></c></row>'
        '<row><c t="s"><v>2</v></c><c><f>1+1</f></c></row>'
    )
    table = read_table(with_shared_strings(PLAIN, ["text", "label", " a &lt; b "], cells))
    assert (list(table.frame.columns), rows(table)) == (
        ["text", "label"],
        [[" a < b ", "2"], [" a < b ", ""]],
    )


@pytest.mark.parametrize("rows", [[], [["text", "label"]], [[None, " "]]])
def test_a_workbook_without_rows(rows):
    with pytest.raises(UserError, match="at least one row under the header|nothing in the sheet 'A'"):
        read_table(workbook({"A": rows}))


def test_limits():
    content = workbook({"A": [["text", "label"], ["long " * 20, "x"], ["b", "y"], ["c", "z"]]})
    table = read_table(content, Limits(field_characters=50))
    assert [(row.line, row.reason) for row in table.rejected] == [
        (2, "a cell of 100 characters; at most 50 are read")
    ]
    with pytest.raises(UserError, match="at most 2 rows; found 3"):
        read_table(content, Limits(rows=2))
    with pytest.raises(UserError, match="at most 1 columns; found 2 columns"):
        read_table(content, Limits(columns=1))


# Attacks


def stray(row, column):
    return b'<row r="%d"><c r="%s"><v>1</v></c></row>' % (row, column)


@pytest.mark.parametrize(
    "cells",
    [
        stray(1_048_577, b"A1048577"),
        stray(99_999_999_999, b"A99999999999"),
        stray(5, b"ZZZZZZZZ5"),
        b"".join(stray(row, b"XFD%d" % row) for row in range(9, 99)),
    ],
)
def test_cells_that_claim_to_be_far_out_are_refused(cells):
    content = with_part(PLAIN, SHEET, lambda xml: xml.replace(b"</sheetData>", cells + b"</sheetData>"))
    with pytest.raises(UserError, match="cells farther out than that|at most 1,000,000 cells|cannot be read"):
        read_table(content, Limits(bytes=1_000_000))


def test_a_stray_cell_and_rows_without_any_are_read():
    empty = b"<row/>" * 20_000
    content = with_part(PLAIN, SHEET, lambda xml: xml.replace(b"</sheetData>", empty + b"</sheetData>"))
    far = stray(1_048_576, b"XFD1048576")
    content = with_part(content, SHEET, lambda xml: xml.replace(b"</sheetData>", far + b"</sheetData>"))
    table = read_table(content, Limits(bytes=1_000_000))
    assert (table.lines.tolist(), table.frame.shape) == ([2, 3, 1_048_576], (3, 3))


def test_what_a_sheet_says_about_its_size_is_not_believed():
    for size in (b"A1:XFD1048576", b"A1:A1"):
        content = with_part(PLAIN, SHEET, lambda xml, size=size: xml.replace(b"A1:B3", size))
        assert rows(read_table(content)) == [["a", "x"], ["b", "y"]]


@pytest.mark.parametrize("part", [SHEET, "xl/workbook.xml", "xl/styles.xml"])
def test_entities_are_refused(part):
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)
    )
    with pytest.raises(UserError, match="XML entities in it"):
        read_table(with_part(PLAIN, part, lambda xml: bomb + b"]>" + xml))


ENTITY = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>'


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("part", [SHEET, "xl/media/sheet.png"])
def test_entities_are_refused_in_two_bytes_a_letter_too(encoding, part):
    with pytest.raises(UserError, match="XML entities in it"):
        read_table(with_part(PLAIN, part, lambda xml: ENTITY.encode(encoding) + xml))


@pytest.mark.parametrize("before", range(-9, 1))
def test_entities_are_refused_where_they_are_read_in_two_chunks(before):
    spaces = b" " * (CHUNK_BYTES + before)
    with pytest.raises(UserError, match="XML entities in it"):
        read_table(with_part(PLAIN, SHEET, lambda xml: spaces + ENTITY.encode() + xml))


def test_parts_in_two_bytes_a_letter_are_refused():
    with pytest.raises(UserError, match="XML that is not in UTF-8"):
        read_table(with_part(PLAIN, "[Content_Types].xml", lambda xml: xml.decode().encode("utf-16")))


def test_a_row_that_goes_on_is_refused_before_it_is_in_memory():
    for cells in (b'<row r="4">' + b"<c/>" * 1_500_000 + b"</row></sheetData>", b"<x/>" * 1_500_000):
        content = with_part(PLAIN, SHEET, lambda xml, cells=cells: xml.replace(b"</sheetData>", cells))
        with pytest.raises(UserError, match="one of more than 4 MB of XML"):
            read_table(content)


def test_many_rows_together_may_be_longer_than_one():
    row = b"<row><c><v>" + b"7" * 15 + b"</v></c></row>"
    content = with_part(
        PLAIN, SHEET, lambda xml: xml.replace(b"</sheetData>", row * 20_000 + b"</sheetData>")
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(openpyxl_rows, "LONGEST_ROW", 200_000)
        assert len(read_table(content).frame) == 20_002


def test_a_string_that_is_used_often_is_stopped_at_the_cap():
    cells = '<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>' * 50
    content = with_shared_strings(PLAIN, ["x" * 100_000, "y"], cells)
    with pytest.raises(UserError, match="characters together; found more than that"):
        read_table(content, Limits(bytes=2_000_000))


LONG_NUMBER = b"<c><v>" + b"9" * 5_000 + b"</v></c></row>"
OTHER_PLACE = b'<Override PartName="/xl/styles.xml" ContentType="sheet.main+xml" /></Types>'
DAMAGED = {
    "styles": ("xl/styles.xml", lambda xml: xml.replace(b"<cellXfs", b"<xf/>" * 1_000_001 + b"<cellXfs")),
    "sheets": ("xl/workbook.xml", lambda xml: xml.replace(b"<sheets>", b"<sheets>" + b"<sheet />" * 1_001)),
    "places": ("[Content_Types].xml", lambda xml: xml.replace(b"/xl/workbook.xml", b"/xl/styles.xml")),
    "two places": ("[Content_Types].xml", lambda xml: xml.replace(b"</Types>", OTHER_PLACE)),
    "cut off": (SHEET, lambda xml: xml[: len(xml) // 2]),
    "empty": ("xl/workbook.xml", lambda xml: b""),
    "no parts": ("xl/_rels/workbook.xml.rels", lambda xml: b"<x/>"),
    "runs": ("xl/sharedStrings.xml", lambda xml: b"<sst><si>" + b"<x:r/>" * 1_001_000 + b"</si></sst>"),
    "no such string": (
        SHEET,
        lambda xml: xml.replace(b'<c r="A2" t="inlineStr">', b'<c r="A2" t="s"><v>9</v>'),
    ),
    "a number too long": (SHEET, lambda xml: xml.replace(b"</row>", LONG_NUMBER)),
}


@pytest.mark.parametrize(
    ("case", "found"),
    [
        ("styles", "a usual number of styles; found very many"),
        ("runs", "a usual number of styles; found very many"),
        ("sheets", "at most 1,000 sheets"),
        ("places", "its parts in other places"),
        ("two places", "its parts in other places"),
        ("cut off", "cannot be read"),
        ("empty", "cannot be read"),
        ("no parts", "cannot be read|none with cells"),
        ("no such string", "cannot be read"),
        ("a number too long", "cannot be read"),
    ],
)
def test_parts_that_are_damaged_or_swollen_are_refused(case, found):
    with pytest.raises(UserError, match=found) as error:
        read_table(with_part(PLAIN, *DAMAGED[case]))
    assert error.value.remedy
