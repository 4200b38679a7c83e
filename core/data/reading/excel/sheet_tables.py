"""Where in a sheet the table is: titles above it, its header, the columns that are used."""

from dataclasses import dataclass

import numpy as np

from core.base.errors import UserError
from core.base.formatting import count, shorten
from core.data.reading.excel.cells import Row, filled
from core.data.reading.text.dialects import is_known, names_columns
from core.data.reading.text.records import ABOVE, RAW_CHARACTERS, RejectedRow
from core.data.tables import (
    Dialect,
    Limits,
    ReadOptions,
    Table,
    distinct_names,
    text_frame,
    too_many_columns,
    too_many_rows,
)

TITLE_ROWS = 20
HEADER_ROWS = 2_000


@dataclass(frozen=True)
class _Head:
    """Where the table begins: the number of rows above it, and whether its first row names the columns."""

    skipped_lines: int
    has_header: bool


def table_of_rows(
    rows: list[Row], name: str, names: tuple[str, ...], limits: Limits, choice: ReadOptions
) -> Table:
    """The rows of the sheet `name`, one of `names`, as a table.

    Raises:
        UserError: no rows under the header, or too many rows or columns.
    """
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
        if filled(cells) > 1 and is_known(cells):
            fewer = all(filled(above) < filled(cells) for _, above in first[:i])
            return first[i][0] - 1 if fewer else 0
    wide = next((i for i, (_, cells) in enumerate(first) if filled(cells) > 1), 0)
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
