"""Text with delimiters becomes a Table: one record per row, and every one that could not be read."""

import csv
from itertools import compress

import numpy as np
import pyarrow as pa

from core.base.errors import UserError
from core.data.reading.text.clean_lines import read_clean
from core.data.reading.text.decoding import decode_lines, find_encoding
from core.data.reading.text.dialects import choose_form, read_records
from core.data.reading.text.records import RecordFormat, Records
from core.data.tables import (
    NAME_CHARACTERS,
    Dialect,
    Limits,
    LineCount,
    ReadOptions,
    Table,
    distinct_names,
    text_frame,
    too_many_columns,
    too_many_rows,
)

# Texts of many short lines are read too, up to this many lines per row that is allowed.
LINES_PER_ROW = 5


def read(content: bytes, limits: Limits, choice: ReadOptions) -> Table:
    """Read a delimited text file.

    Raises:
        UserError: not text, without rows, or with too many rows or columns.
    """
    # The module's own cap is 131,072 characters; fields over ours are set aside below, each with a reason.
    csv.field_size_limit(max(csv.field_size_limit(), limits.bytes))
    encoding = find_encoding(content, choice.encoding)
    clean = read_clean(content, encoding, limits, choice)
    if clean:
        return _table_of_clean(*clean, encoding, limits)
    return _read_lines(content, encoding, limits, choice)


def _table_of_clean(
    form: RecordFormat, header: list[str], columns: pa.Table, encoding: str, limits: Limits
) -> Table:
    rows, is_named = len(columns), len(header) > 0
    _check_columns(form, limits)
    if rows > limits.rows:
        raise too_many_rows(f"{rows:,}", limits)
    names = distinct_names(header or [""] * form.width)
    return Table(
        columns.rename_columns(names).to_pandas(),
        dialect_of(encoding, form),
        [],
        np.arange(1 + is_named, 1 + is_named + rows, dtype=np.int64),
        LineCount(rows + is_named, int(is_named), rows, 0, 0),
    )


def _read_lines(content: bytes, encoding: str, limits: Limits, choice: ReadOptions) -> Table:
    lines, broken = decode_lines(content, encoding, is_chosen=choice.encoding is not None)
    if len(lines) > LINES_PER_ROW * limits.rows + 1:
        raise too_many_rows(f"{len(lines):,} lines", limits)
    form = choose_form(lines, choice)
    _check_columns(form, limits)
    form, records = read_records(lines, form, choice)
    _set_aside(records, lines, _reasons(records, lines, broken, encoding, limits))
    _check_rows(records, limits)
    return Table(
        text_frame(_named_columns(form, records)),
        dialect_of(encoding, form),
        sorted(records.rejected, key=lambda row: row.line),
        np.array(records.starts, dtype=np.int64) + 1,
        _count_lines(records, len(lines)),
    )


def _check_columns(form: RecordFormat, limits: Limits) -> None:
    if form.width > limits.columns:
        raise too_many_columns(f"{form.width:,} columns in the first line", limits)


def dialect_of(encoding: str, form: RecordFormat) -> Dialect:
    """How a text file of this form is written."""
    return Dialect(
        "tsv" if form.delimiter == "\t" else "csv",
        encoding,
        form.delimiter,
        form.quotechar,
        form.has_header,
        form.escapechar,
        form.skipinitialspace,
        form.skipped_lines,
    )


def _count_lines(records: Records, total: int) -> LineCount:
    return LineCount(
        total, records.header_lines, records.row_lines, records.rejected_lines, records.blank_lines
    )


def _named_columns(form: RecordFormat, records: Records) -> dict[str, list[str]]:
    """The columns by distinct names; a name without a column gets an empty one."""
    header, columns = list(records.header), records.columns
    if len(header) < form.width:
        # R writes no name above the numbers of the rows; other programs end each row with a delimiter.
        at_end = len(header) != form.width - 1 or not any(map(str.strip, columns[-1]))
        header = [*header, *[""] * (form.width - len(header))] if at_end else ["", *header]
    surplus = [name for name in header[form.width :] if name.strip()]
    columns = [*columns, *([""] * len(records.starts) for _ in surplus)]
    return dict(zip(distinct_names([*header[: form.width], *surplus]), columns, strict=True))


def _reasons(
    records: Records, lines: list[str], broken: set[int], encoding: str, limits: Limits
) -> dict[int, str]:
    """The positions of records that cannot be kept, and why."""
    reasons = {}
    # No field is longer than its line, unless its record has several.
    may_be_long = bool(records.ends) or max(map(len, lines), default=0) > limits.field_characters
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
        records.reject(lines, start, end, reason)
    if reasons:
        kept = [i not in reasons for i in range(len(records.starts))]
        records.columns = [list(compress(column, kept)) for column in records.columns]
        records.starts = list(compress(records.starts, kept))


def _check_rows(records: Records, limits: Limits) -> None:
    if len(records.starts) > limits.rows:
        raise too_many_rows(f"{len(records.starts):,}", limits)
    if records.starts:
        return
    rejected = min(records.rejected, key=lambda row: row.line, default=None)
    if rejected is None and not records.header:
        raise UserError(
            "a table with at least one row",
            "no line with text",
            "Choose the file that holds your texts and labels.",
        )
    if rejected is None:
        raise UserError(
            "at least one row under the header",
            f"a header alone ({', '.join(name.strip() for name in records.header)[:NAME_CHARACTERS]})",
            "Add rows and choose the file again.",
        )
    raise UserError(
        "at least one row that can be read",
        f"{len(records.rejected):,} that cannot; the first, line {rejected.line}: {rejected.reason}",
        "Mend the rows in the file, or save it again as CSV (UTF-8).",
    )
