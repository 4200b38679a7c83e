"""Bytes become a Table: columns as text, and every record that could not be read, with its reason."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from core.data.decoding import LONE_SURROGATE, decode_lines
from core.data.records import RAW_CHARACTERS, Form, Records, RejectedRow, choose_form, raw_text, read_records
from core.errors import UserError

__all__ = ["RAW_CHARACTERS", "Dialect", "Limits", "RejectedRow", "Table", "read_table"]

NAME_CHARACTERS = 200
# Texts of many short lines are read too, up to this many lines per row that is allowed.
LINES_PER_ROW = 5


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    `delimiter` is empty where a line is one field, `quotechar` is empty where quotation marks are plain text.
    """

    format: str
    encoding: str
    delimiter: str
    quotechar: str
    has_header: bool


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

    `frame` has index 0..n-1 and text columns; `lines[i]` is the physical line on which row i begins, from 1.
    """

    frame: pd.DataFrame
    dialect: Dialect
    rejected: list[RejectedRow] = field(default_factory=list)
    lines: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def take(self, indices: Sequence[int] | np.ndarray) -> "Table":
        """The rows at these positions; the rejected rows are left out."""
        positions = np.asarray(indices, dtype=np.int64)
        frame = self.frame.iloc[positions].reset_index(drop=True)
        return Table(frame, self.dialect, [], self.lines[positions])


DEFAULT_LIMITS = Limits()


def read_table(source: bytes | Path, limits: Limits = DEFAULT_LIMITS) -> Table:
    """Read a delimited text file.

    Every record of the file becomes a row of the table or one of `rejected`. Blank lines are not records.

    Raises:
        UserError: the file is not there, empty, too big, not text, without rows, or has too many rows or
            columns.
    """
    encoding, lines, broken = decode_lines(_load(source, limits))
    if len(lines) > LINES_PER_ROW * limits.rows + 1:
        raise _too_many_rows(f"{len(lines):,} lines", limits)
    # The module's own cap is 131,072 characters; fields over ours are set aside below, each with a reason.
    csv.field_size_limit(max(csv.field_size_limit(), limits.bytes))
    form = choose_form(lines)
    if form.width > limits.columns:
        raise UserError(
            f"at most {limits.columns:,} columns",
            f"{form.width:,} columns in the first line",
            "Keep the columns that you need: the texts, the label, and a split if there is one.",
        )
    form, records = read_records(lines, form)
    names = _take_names(form, records)
    _set_aside(records, lines, _reasons(records, lines, broken, encoding, limits))
    _check_rows(records, limits)
    return Table(
        _text_frame(dict(zip(names, records.columns, strict=True))),
        Dialect("csv", encoding, form.delimiter, form.quotechar, form.has_header),
        sorted(records.rejected, key=lambda row: row.line),
        np.array(records.starts, dtype=np.int64) + 1,
    )


def _text_frame(columns: dict[str, list[str]]) -> pd.DataFrame:
    # By way of Arrow: three times as fast as handing pandas the lists, with the same text columns.
    return pa.table(
        {name: pa.array(values, pa.large_string()) for name, values in columns.items()}
    ).to_pandas()


def _load(source: bytes | Path, limits: Limits) -> bytes:
    if isinstance(source, bytes):
        _check_size(len(source), limits)
        content = source
    else:
        try:
            _check_size(source.stat().st_size, limits)
            content = source.read_bytes()
        except OSError as error:
            found = f"{source} ({error.strerror})"
            raise UserError("a file that can be read", found, "Check its name and its folder.") from error
    if not content.strip(b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"):
        raise UserError(
            "a table with at least one row",
            f"an empty file ({len(content):,} bytes)",
            "Choose the file that holds your texts and labels.",
        )
    return content


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.bytes:
        raise UserError(
            f"a file of at most {_megabytes(limits.bytes)}",
            f"a file of {_megabytes(size)}",
            "Keep only the columns and rows that you need, or split the file, and choose the smaller one.",
        )


def _megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MB"


def _too_many_rows(found: str, limits: Limits) -> UserError:
    return UserError(
        f"at most {limits.rows:,} rows",
        found,
        "Keep a part of the rows, picked at random, and choose that file.",
    )


def _take_names(form: Form, records: Records) -> list[str]:
    """Remove the header from the records; returns one distinct name per column."""
    if not form.has_header or not records.starts:
        return [f"column_{i}" for i in range(1, form.width + 1)]
    del records.starts[0]
    return _distinct_names([column.pop(0) for column in records.columns])


def _distinct_names(header: list[str]) -> list[str]:
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


def _reasons(
    records: Records, lines: list[str], broken: set[int], encoding: str, limits: Limits
) -> dict[int, str]:
    """The positions of records that cannot be kept, and why."""
    reasons = {}
    # No field is longer than its line, unless its record has several.
    may_be_long = bool(records.ends) or max(map(len, lines)) > limits.field_characters
    for column in records.columns if may_be_long else ():
        for i, length in enumerate(map(len, column)):
            if length > limits.field_characters:
                reasons[i] = f"a field of {length:,} characters; at most {limits.field_characters:,} are read"
    for i in range(len(records.starts)) if broken else ():
        if not broken.isdisjoint(range(*records.span(i))):
            reasons[i] = f"bytes that are not {encoding}"
    return reasons


def _set_aside(records: Records, lines: list[str], reasons: dict[int, str]) -> None:
    """Move the records at these positions to the rejected ones."""
    for i, reason in reasons.items():
        start, end = records.span(i)
        records.rejected.append(RejectedRow(start + 1, reason, raw_text(lines[start:end])))
    if reasons:
        kept = [i not in reasons for i in range(len(records.starts))]
        records.columns = [list(compress(column, kept)) for column in records.columns]
        records.starts = list(compress(records.starts, kept))


def _check_rows(records: Records, limits: Limits) -> None:
    if len(records.starts) > limits.rows:
        raise _too_many_rows(f"{len(records.starts):,}", limits)
    if records.starts:
        return
    rejected = min(records.rejected, key=lambda row: row.line, default=None)
    if rejected is None:
        raise UserError(
            "at least one row under the header", "a header alone", "Add rows and choose the file again."
        )
    raise UserError(
        "at least one row that can be read",
        f"{len(records.rejected):,} that cannot; the first, line {rejected.line}: {rejected.reason}",
        "Mend the rows in the file, or save it again as CSV (UTF-8).",
    )
