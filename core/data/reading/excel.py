"""A sheet of an Excel workbook (.xlsx) becomes a Table.

A workbook is a zip of XML files, both hostile until read: its unpacked size, the parts that the library holds
in memory as objects, entities, and the places that cells claim are checked; rows are read one at a time.
openpyxl is used rather than calamine, which is seven times as fast, but lays out the whole rectangle up to
the farthest cell and ends the process where memory does not suffice.
"""

import datetime
import io
import re
import struct
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any
from xml.etree.ElementTree import ParseError

import numpy as np
import openpyxl
from openpyxl.utils.escape import unescape
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet._reader import WorkSheetParser

from core.base.errors import UserError
from core.base.formatting import count, shorten
from core.data.reading.archives import CHUNK_BYTES, walk_members
from core.data.reading.text.decoding import LONE_SURROGATE
from core.data.reading.text.dialects import is_known, names_columns
from core.data.reading.text.records import ABOVE, RAW_CHARACTERS, RejectedRow
from core.data.tables import (
    Dialect,
    Limits,
    ReadOptions,
    Table,
    distinct_names,
    text_frame,
    too_many_cells,
    too_many_columns,
    too_many_rows,
)

# The library warns of what it does not read: pictures, conditional formats.
warnings.filterwarnings("ignore", module=r"openpyxl\.")

SAMPLE_ROWS = 200
SAMPLE_CELLS = 100_000
TITLE_ROWS = 20
HEADER_ROWS = 2_000
LAST_ROW = 1_048_576
MOST_SHEETS = 1_000
# Elements of the parts that are kept in memory as objects (styles, names); Excel has at most 65,490 styles.
MOST_ELEMENTS = 1_000_000
# The XML of a row is in memory as objects, up to eighty times its size; one of 16,384 numbers has 0.7 MB.
LONGEST_ROW = 4 * 1024 * 1024
STREAMED_PARTS = re.compile(r"xl/(worksheets/[^/]*|sharedStrings)\.xml", re.IGNORECASE)
SHEET_TAG = re.compile(rb"<(?:\w+:)?sheet[\s/>]")
# A run is a piece of a text with a style of its own: all of a text's are in memory at once.
RUN_TAG = re.compile(rb"<(?:\w+:)?r[\s/>]")
XML_PARTS = (".xml", ".rels")
# In UTF-16 there is a zero beside each letter.
ENTITIES = re.compile(
    b"<\0?!\0?(?:%b|%b)" % tuple(b"\0?".join(bytes([c]) for c in word) for word in (b"DOCTYPE", b"ENTITY")),
    re.IGNORECASE,
)
LONGEST_MARK = 2 * len("<!DOCTYPE")
MAIN_PART = re.compile(rb"<[^<>]*main\+xml[^<>]*>")
ESCAPED = re.compile("_x[0-9A-Fa-f]{4}_")
SAVE_AS_CSV = "Open it in your spreadsheet program, save it anew as .xlsx or CSV, and choose that file."
# What openpyxl raises on what is damaged or not as it expects.
BROKEN_WORKBOOK = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    InvalidFileException,
    LookupError,
    NotImplementedError,
    OSError,
    ParseError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

Row = tuple[int, list[str]]
"""A row that is not blank: its number in the sheet, from 1, and its cells up to the last filled one."""


def read(content: bytes, limits: Limits, choice: ReadOptions) -> Table:
    """Read the chosen sheet, or the one that looks most like a table.

    Rows above the header that hold a single cell are titles, and set aside; blank rows are no records.

    Raises:
        UserError: damaged, too large when unpacked, without such a sheet, without rows, or with too many
            rows, columns, cells or characters.
    """
    with _opened(content, limits) as workbook:
        name = _choose_sheet(workbook, choice)
        names, rows = tuple(_sheet_names(workbook)), _kept_rows(workbook[name], limits)
    return _table(rows, name, names, limits, choice)


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
    _check_parts(content, limits)
    try:
        yield openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
    except BROKEN_WORKBOOK as error:
        raise UserError(
            "an Excel workbook that is whole",
            f"one that cannot be read ({shorten(f'{type(error).__name__}: {error}', 120)})",
            SAVE_AS_CSV,
        ) from error


# What is checked before the library sees it


def _check_parts(content: bytes, limits: Limits) -> None:
    found: Counter[str] = Counter()
    before, edge = "", b""
    for name, chunk in walk_members(content, limits):
        # What two chunks share out between them counts, too.
        if ENTITIES.search((edge if name == before else b"") + chunk):
            raise UserError("a workbook as Excel writes it", "XML entities in it", SAVE_AS_CSV)
        before, edge = name, chunk[-LONGEST_MARK:]
        if name.casefold().endswith(XML_PARTS) and b"\0" in chunk:
            raise UserError("a workbook as Excel writes it", "XML that is not in UTF-8", SAVE_AS_CSV)
        if name == "[Content_Types].xml" and _is_misleading(chunk):
            raise UserError("a workbook as Excel writes it", "its parts in other places", SAVE_AS_CSV)
        if name == "xl/workbook.xml":
            found["sheets"] += len(SHEET_TAG.findall(chunk))
        if STREAMED_PARTS.fullmatch(name):
            found["runs"] += len(RUN_TAG.findall(chunk))
        else:
            found["elements"] += chunk.count(b"<")
        if found["sheets"] > MOST_SHEETS:
            raise UserError(f"at most {MOST_SHEETS:,} sheets", "more than that", SAVE_AS_CSV)
        if max(found["runs"], found["elements"]) > MOST_ELEMENTS:
            raise UserError("a workbook with a usual number of styles", "very many", SAVE_AS_CSV)


def _is_misleading(content_types: bytes) -> bool:
    """Whether the list of sheets is not where it was looked for, or may be."""
    main = MAIN_PART.findall(content_types)
    hidden = b"&" in content_types or len(content_types) >= CHUNK_BYTES
    return hidden or not all(b"/xl/workbook.xml" in part for part in main)


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
        return max(names, key=lambda name: _likeness(workbook[name])) if len(names) > 1 else names[0]
    if choice.sheet not in names:
        shown = ", ".join(shorten(name, 40) for name in names[:10])
        raise UserError(
            f"the sheet {shorten(choice.sheet, 40)!r}",
            f"{shown}{' …' if len(names) > 10 else ''}",
            "Choose one of them.",
        )
    return choice.sheet


def _likeness(sheet: Any) -> tuple[bool, int]:  # noqa: ANN401 - openpyxl has no public type for it
    """How much a sheet looks like a table: whether it has a known name of a column, and its rows of cells."""
    wide = []
    with suppress(UserError):  # What was seen of a sheet that is too large is enough.
        for _, cells in islice(_rows(sheet, SAMPLE_CELLS), SAMPLE_ROWS):
            wide += [cells] * (_filled(cells) > 1)
    return any(map(is_known, wide[:TITLE_ROWS])), len(wide)


def _rows(sheet: Any, most_cells: int) -> Iterator[Row]:  # noqa: ANN401 - openpyxl has no public type for it
    """The rows that are not blank.

    Raises:
        UserError: they are in a rectangle of more than so many cells, blank ones included.
    """
    number = seen = 0
    for place, cells in _parsed(sheet):
        # A row that is numbered like an earlier one, or not at all, follows it.
        number = max(place, number + 1)
        width = max((cell["column"] for cell in cells), default=0)
        seen += width + 1
        if number > LAST_ROW or seen > most_cells:
            raise UserError(
                f"at most {LAST_ROW:,} rows and {most_cells:,} cells in a sheet",
                "cells farther out than that",
                "Copy the table into a new workbook, without the empty rows and columns around it.",
            )
        texts = [""] * width
        for cell in cells:
            texts[cell["column"] - 1] = _text(cell["value"])
        while texts and not texts[-1]:
            texts.pop()
        if _filled(texts):
            yield number, texts


def _parsed(sheet: Any) -> Iterator[tuple[int, list[dict[str, Any]]]]:  # noqa: ANN401 - no public type
    """The rows as they stand in the file: the library's own iterator drops those that are numbered twice."""
    book = sheet.parent
    with sheet._get_source() as source:
        bounded = _Bounded(source, LONGEST_ROW)
        rows = WorkSheetParser(
            bounded,
            sheet._shared_strings,
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        ).parse()
        for row in rows:
            bounded.left = LONGEST_ROW
            yield row


@dataclass
class _Bounded:
    """The XML of a sheet, which ends with an error where no row ends for too long."""

    source: IO[bytes]
    left: int

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        chunk = self.source.read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise UserError("rows of a usual length", "one of more than 4 MB of XML", SAVE_AS_CSV)
        return chunk


def _filled(cells: list[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def _kept_rows(sheet: Any, limits: Limits) -> list[Row]:  # noqa: ANN401 - openpyxl has no public type for it
    rows, width, characters = [], 0, 0
    for number, cells in _rows(sheet, limits.bytes):
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


# Cells


def _text(value: Any) -> str:  # noqa: ANN401 - any value of a cell
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


# The table in the sheet


@dataclass(frozen=True)
class _Head:
    """Where the table begins: the number of rows above it, and whether its first row names the columns."""

    skipped_lines: int
    has_header: bool


def _table(rows: list[Row], name: str, names: tuple[str, ...], limits: Limits, choice: ReadOptions) -> Table:
    if not rows:
        raise UserError(
            "a sheet with texts and labels",
            f"nothing in the sheet {shorten(name, 40)!r}",
            "Choose another sheet, or put the table into this one.",
        )
    head = _find_head(rows, choice)
    above = [_rejected(row, ABOVE) for row in rows if row[0] <= head.skipped_lines]
    rows = [row for row in rows if row[0] > head.skipped_lines]
    used = _used_columns(rows)
    if len(used) > limits.columns:
        raise too_many_columns(f"{len(used):,} columns", limits)
    header = _cells(rows.pop(0)[1], used) if head.has_header and rows else [""] * len(used)
    kept, rejected = _kept_and_rejected(rows, limits)
    _check_rows(len(kept), rejected, limits)
    columns = [[cells[i] if i < len(cells) else "" for _, cells in kept] for i in used]
    return Table(
        text_frame(dict(zip(distinct_names(header), columns, strict=True))),
        Dialect(
            "xlsx",
            "",
            "",
            "",
            head.has_header,
            skipped_lines=head.skipped_lines,
            sheet=name,
            sheets=names,
        ),
        above + rejected,
        np.array([number for number, _ in kept], dtype=np.int64),
    )


def _find_head(rows: list[Row], choice: ReadOptions) -> _Head:
    above = _titles(rows) if choice.skipped_lines is None else choice.skipped_lines
    table = [cells for number, cells in rows if number > above][:HEADER_ROWS]
    if not table:
        raise UserError(
            f"rows under the first {count(above, 'row')}", "none", "Choose fewer rows above the table."
        )
    used = _used_columns(list(enumerate(table, 1)))
    guess = names_columns([_cells(cells, used) for cells in table])
    return _Head(above, guess if choice.has_header is None else choice.has_header)


def _titles(rows: list[Row]) -> int:
    """The number of rows above the table: titles of one cell, or of fewer than a header known by name."""
    first = rows[: TITLE_ROWS + 1]
    for i, (_, cells) in enumerate(first):
        if _filled(cells) > 1 and is_known(cells):
            fewer = all(_filled(above) < _filled(cells) for _, above in first[:i])
            return first[i][0] - 1 if fewer else 0
    wide = next((i for i, (_, cells) in enumerate(first) if _filled(cells) > 1), 0)
    return first[wide][0] - 1 if wide else rows[0][0] - 1


def _used_columns(rows: list[Row]) -> list[int]:
    used: set[int] = set()
    for _, cells in rows:
        used.update(i for i, cell in enumerate(cells) if cell)
    return sorted(used)


def _cells(cells: list[str], used: list[int]) -> list[str]:
    return [cells[i] if i < len(cells) else "" for i in used]


def _kept_and_rejected(rows: list[Row], limits: Limits) -> tuple[list[Row], list[RejectedRow]]:
    kept, rejected = [], []
    for number, cells in rows:
        longest = max(map(len, cells))
        if longest > limits.field_characters:
            reason = f"a cell of {longest:,} characters; at most {limits.field_characters:,} are read"
            rejected.append(_rejected((number, cells), reason))
        else:
            kept.append((number, cells))
    return kept, rejected


def _rejected(row: Row, reason: str) -> RejectedRow:
    number, cells = row
    return RejectedRow(number, reason, "\t".join(cells)[:RAW_CHARACTERS])


def _check_rows(rows: int, rejected: list[RejectedRow], limits: Limits) -> None:
    if rows > limits.rows:
        raise too_many_rows(f"{rows:,}", limits)
    if not rows:
        found = f"{len(rejected):,} that cannot be read" if rejected else "a header alone"
        raise UserError("at least one row under the header", found, "Add rows and choose the file again.")
