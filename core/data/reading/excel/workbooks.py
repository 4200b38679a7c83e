"""A sheet of an Excel workbook (.xlsx) becomes a Table.

A workbook is a zip of XML files, both hostile until read: its unpacked size, the parts that the library holds
in memory as objects, entities, and the places that cells claim are checked; rows are read one at a time.
openpyxl is used rather than calamine, which is seven times as fast, but lays out the whole rectangle up to
the farthest cell and ends the process where memory does not suffice.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice

import openpyxl

from core.base.errors import UserError
from core.base.formatting import shorten
from core.data.reading.excel.cells import Row, filled, text_rows
from core.data.reading.excel.openpyxl_rows import BROKEN_WORKBOOK, open_workbook
from core.data.reading.excel.parts import SAVE_AS_CSV, check_parts
from core.data.reading.excel.sheet_tables import TITLE_ROWS, table_of_rows
from core.data.reading.text.dialects import is_known
from core.data.tables import Limits, ReadOptions, Table, too_many_cells, too_many_rows

SAMPLE_ROWS = 200
SAMPLE_CELLS = 100_000


def read(content: bytes, limits: Limits, choice: ReadOptions) -> Table:
    """Read the chosen sheet, or the one that looks most like a table.

    Rows above the header that hold a single cell are titles, and set aside; blank rows are no records.

    Raises:
        UserError: damaged, too large when unpacked, without such a sheet, without rows, or with too many
            rows, columns, cells or characters.
    """
    with _opened(content, limits) as workbook:
        name = _choose_sheet(workbook, choice)
        names, rows = tuple(_sheet_names(workbook)), _kept_rows(workbook, name, limits)
    return table_of_rows(rows, name, names, limits, choice)


def list_sheets(content: bytes, limits: Limits) -> tuple[str, ...]:
    """The names of the sheets that may be chosen.

    Raises:
        UserError: the workbook is damaged, or too large when unpacked.
    """
    with _opened(content, limits) as workbook:
        return tuple(_sheet_names(workbook))


@contextmanager
def _opened(content: bytes, limits: Limits) -> Iterator[openpyxl.Workbook]:
    """A workbook; what is damaged in it becomes an error for people."""
    check_parts(content, limits)
    try:
        yield open_workbook(content)
    except BROKEN_WORKBOOK as error:
        raise UserError(
            "an Excel workbook that is whole",
            f"one that cannot be read ({shorten(f'{type(error).__name__}: {error}', 120)})",
            SAVE_AS_CSV,
        ) from error


# Sheets


def _sheet_names(workbook: openpyxl.Workbook) -> list[str]:
    """The names of the sheets with cells, those that are shown first; hidden ones where no other is there."""
    shown = [sheet.title for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
    return shown or [sheet.title for sheet in workbook.worksheets]


def _choose_sheet(workbook: openpyxl.Workbook, choice: ReadOptions) -> str:
    names = _sheet_names(workbook)
    if not names:
        raise UserError("a workbook with a sheet", "none with cells", SAVE_AS_CSV)
    if choice.sheet is None:
        return max(names, key=lambda name: _likeness(workbook, name)) if len(names) > 1 else names[0]
    if choice.sheet not in names:
        shown = ", ".join(shorten(name, 40) for name in names[:10])
        raise UserError(
            f"the sheet {shorten(choice.sheet, 40)!r}",
            f"{shown}{' …' if len(names) > 10 else ''}",
            "Choose one of them.",
        )
    return choice.sheet


def _likeness(workbook: openpyxl.Workbook, name: str) -> tuple[bool, int]:
    """How much a sheet looks like a table: whether it has a known name of a column, and its rows of cells."""
    wide = []
    with suppress(UserError):  # What was seen of a sheet that is too large is enough.
        for _, cells in islice(text_rows(workbook, name, SAMPLE_CELLS), SAMPLE_ROWS):
            wide += [cells] * (filled(cells) > 1)
    return any(map(is_known, wide[:TITLE_ROWS])), len(wide)


def _kept_rows(workbook: openpyxl.Workbook, name: str, limits: Limits) -> list[Row]:
    rows, width, characters = [], 0, 0
    for number, cells in text_rows(workbook, name, limits.bytes):
        rows.append((number, cells))
        width = max(width, len(cells))
        characters += sum(map(len, cells))
        if len(rows) > limits.rows + TITLE_ROWS:
            raise too_many_rows(f"more than {limits.rows:,}", limits)
        if len(rows) * width > limits.bytes:
            raise too_many_cells(len(rows), width, limits)
        if characters > limits.bytes:
            raise UserError(
                f"texts of at most {limits.bytes:,} characters together",
                "more than that",
                "Keep only the columns and rows that you need, or split the file.",
            )
    return rows
