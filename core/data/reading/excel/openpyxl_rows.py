"""A workbook opened by openpyxl, and the rows of a sheet exactly as they stand in the file.

The only module that reaches for what openpyxl keeps private: its public iterator leaves out a row that is
numbered like an earlier one and cells that are not in the order of their columns, and makes up every row that
is missing, be it 99 billion. `tests/data/test_openpyxl_rows.py` holds what is used here.
"""

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet._reader import WorkSheetParser

from core.base.errors import UserError
from core.data.reading.excel.parts import SAVE_AS_CSV

# The library warns of what it does not read: pictures, conditional formats.
warnings.filterwarnings("ignore", module=r"openpyxl\.")

# The XML of a row is in memory as objects, up to eighty times its size; one of 16,384 numbers has 0.7 MB.
LONGEST_ROW = 4 * 1024 * 1024
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

Cell = tuple[int, object]
"""The column of a cell, from 1, and its value."""


def open_workbook(content: bytes) -> openpyxl.Workbook:
    """Open a workbook to read its rows one at a time, formulas as the values they had last.

    Raises:
        BROKEN_WORKBOOK: any of these, here and whenever something of the workbook is read.
    """
    return openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)


def parse_rows(workbook: openpyxl.Workbook, sheet_name: str) -> Iterator[tuple[int, list[Cell]]]:
    """The rows of a sheet in the order of the file: the number that each claims, and the cells it has.

    Raises:
        UserError: a row is too long to be held in memory.
    """
    sheet: Any = workbook[sheet_name]
    book: Any = workbook
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
        for number, cells in rows:
            bounded.left = LONGEST_ROW
            yield number, [(cell["column"], cell["value"]) for cell in cells]


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
