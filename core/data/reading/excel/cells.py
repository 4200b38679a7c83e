"""The rows of a sheet that are not blank, their cells as the text that a person sees."""

import datetime
import re
from collections.abc import Iterator

import openpyxl
from openpyxl.utils.escape import unescape

from core.base.errors import UserError
from core.data.reading.excel.openpyxl_rows import parse_rows
from core.data.reading.text.decoding import LONE_SURROGATE

LAST_ROW = 1_048_576
ESCAPED = re.compile("_x[0-9A-Fa-f]{4}_")

Row = tuple[int, list[str]]
"""A row that is not blank: its number in the sheet, from 1, and its cells up to the last filled one."""


def text_rows(workbook: openpyxl.Workbook, sheet_name: str, most_cells: int) -> Iterator[Row]:
    """The rows that are not blank.

    Raises:
        UserError: they are in a rectangle of more than so many cells, blank ones included.
    """
    number = seen = 0
    for place, cells in parse_rows(workbook, sheet_name):
        # A row that is numbered like an earlier one, or not at all, follows it.
        number = max(place, number + 1)
        width = max((column for column, _ in cells), default=0)
        seen += width + 1
        if number > LAST_ROW or seen > most_cells:
            raise UserError(
                f"at most {LAST_ROW:,} rows and {most_cells:,} cells in a sheet",
                "cells farther out than that",
                "Copy the table into a new workbook, without the empty rows and columns around it.",
            )
        texts = [""] * width
        for column, value in cells:
            texts[column - 1] = _text(value)
        while texts and not texts[-1]:
            texts.pop()
        if filled(texts):
            yield number, texts


def filled(cells: list[str]) -> int:
    """The number of cells with more than white space."""
    return sum(bool(cell.strip()) for cell in cells)


def _text(value: object) -> str:
    """The value of a cell as a person sees it."""
    if isinstance(value, str):
        return _unescaped(value) if "_x" in value else value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        # As many digits as Excel shows; a whole number has no decimal point.
        return format(value, ".15g")
    if isinstance(value, datetime.datetime):
        is_day = value.time() == datetime.time()
        return value.date().isoformat() if is_day else value.isoformat(" ")
    if isinstance(value, datetime.timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(value)


def _unescaped(text: str) -> str:
    """Characters that XML cannot hold are written as _x000D_ (ECMA-376, part 1, 22.9.2.19)."""
    if not ESCAPED.search(text):
        return text
    plain = unescape(text)
    return text if LONE_SURROGATE.search(plain) else plain
