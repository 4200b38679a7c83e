"""A file as a table: its columns as text, how it was written, and the rows that could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from core.base.errors import UserError
from core.data.reading.text.decoding import LONE_SURROGATE
from core.data.reading.text.records import RejectedRow

NAME_CHARACTERS = 200

__all__ = [
    "GUESS",
    "NAME_CHARACTERS",
    "ReadOptions",
    "Dialect",
    "Limits",
    "LineCount",
    "RejectedRow",
    "Table",
    "distinct_names",
    "text_frame",
    "too_many_cells",
    "too_many_columns",
    "too_many_rows",
    "unpacks_to_more",
]


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    `delimiter` is empty where a line is one field, two spaces stand for columns aligned with spaces.
    `quotechar` is empty where quotation marks are plain text; `escapechar` is what stands before a quotation
    mark inside of a quoted field where it is not doubled. With `skipinitialspace` the spaces after a
    delimiter are no part of the field. `skipped_lines` is the number of physical lines (in a workbook: rows)
    above the table. In a workbook, `sheet` is the one that was read of all its `sheets`; in a zip archive,
    `member` is the file that was read of all its `members`. `packed` is "gzip" or "zip", and empty for a
    file that is not.
    """

    format: str
    encoding: str
    delimiter: str
    quotechar: str
    has_header: bool
    escapechar: str = ""
    skipinitialspace: bool = False
    skipped_lines: int = 0
    sheet: str = ""
    sheets: tuple[str, ...] = ()
    packed: str = ""
    member: str = ""
    members: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """What `lines` and the rejected rows are counted in: "line" or "row"."""
        return "line" if self.format in ("csv", "tsv", "jsonl") else "row"


@dataclass(frozen=True)
class LineCount:
    """Where the physical lines of a text file went: the other four add up to `total`."""

    total: int
    header: int
    rows: int
    rejected: int
    blank: int


@dataclass(frozen=True)
class Limits:
    """The largest file that is read: bytes, rows, columns, and characters in one field."""

    bytes: int = 50 * 1024 * 1024
    rows: int = 1_000_000
    columns: int = 500
    field_characters: int = 500_000


@dataclass(frozen=True)
class Table:
    """Columns as text, exactly as in the file.

    `frame` has index 0..n-1 and text columns; `lines[i]` is the physical line on which row i begins, from 1;
    in formats that are not made of lines it is the row (see `Dialect.unit`).
    `line_count` is there for formats that are made of lines.
    """

    frame: pd.DataFrame
    dialect: Dialect
    rejected: list[RejectedRow] = field(default_factory=list)
    lines: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    line_count: LineCount | None = None

    def take(self, indices: Sequence[int] | np.ndarray) -> "Table":
        """The rows at these positions; the rejected rows are left out."""
        positions = np.asarray(indices, dtype=np.int64)
        frame = self.frame.iloc[positions].reset_index(drop=True)
        return Table(frame, self.dialect, [], self.lines[positions])


@dataclass(frozen=True)
class ReadOptions:
    """What a person says about a file where the guess is wrong; what is None is guessed.

    The fields are those of `Dialect`; `skipped_lines` first lines are above the table.
    """

    encoding: str | None = None
    delimiter: str | None = None
    quotechar: str | None = None
    has_header: bool | None = None
    skipped_lines: int | None = None
    sheet: str | None = None
    member: str | None = None


GUESS = ReadOptions()
"""Nothing was said: all is guessed."""


def text_frame(columns: dict[str, list[str]]) -> pd.DataFrame:
    """A frame of text columns."""
    # By way of Arrow: three times as fast as handing pandas the lists, with the same text columns.
    return pa.table(
        {name: pa.array(values, pa.large_string()) for name, values in columns.items()}
    ).to_pandas()


def too_many_rows(found: str, limits: Limits) -> UserError:
    """The error of a table with more rows than are read."""
    return UserError(
        f"at most {limits.rows:,} rows",
        found,
        "Keep a part of the rows, picked at random, and choose that file.",
    )


def too_many_columns(found: str, limits: Limits) -> UserError:
    """The error of a table with more columns than are read."""
    return UserError(
        f"at most {limits.columns:,} columns",
        found,
        "Keep the columns that you need: the texts, the label, and a split if there is one.",
    )


def too_many_cells(rows: int, columns: int, limits: Limits) -> UserError:
    """The error of a table that is mostly empty: in a text file every cell takes a byte, its delimiter."""
    return UserError(
        f"at most {limits.bytes:,} cells",
        f"{rows:,} rows of {columns:,} columns or more",
        "Keep the columns and rows that you need.",
    )


def unpacks_to_more(found: str, limits: Limits) -> UserError:
    """The error of a file that is small as it lies on the disk, and too large when unpacked."""
    return UserError(
        f"a file that unpacks to at most {limits.bytes / 1024**2:,.1f} MB",
        f"one that unpacks to {found}",
        "Keep only the columns and rows that you need, or split the file.",
    )


def distinct_names(header: list[str]) -> list[str]:
    """The names with white space folded; a blank one is numbered by its place, a repeated one counted."""
    wanted = [
        LONE_SURROGATE.sub("\ufffd", " ".join(name.split()))[:NAME_CHARACTERS] or f"column_{i}"
        for i, name in enumerate(header, 1)
    ]
    names, reserved = [], set(wanted)
    for name in wanted:
        unique, count = name, 1
        while unique in names or (unique != name and unique in reserved):
            count += 1
            unique = f"{name}_{count}"
        names.append(unique)
    return names
