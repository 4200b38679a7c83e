"""The parts joined to one file: CSV, Parquet or JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from core.base.disk import full_is_said, whole_file
from core.serving.spreadsheets import csv_text, spreadsheet_safe

CSV, PARQUET, JSON_LINES = "csv", "parquet", "jsonl"
FORMATS = (CSV, PARQUET, JSON_LINES)


def write_out(
    parts: Sequence[Path],
    out: Path,
    form: str,
    safe: bool = True,
    mark: bool = False,
    columns: list[str] | None = None,
) -> int:
    """Join the parts to one file, which is written whole or not at all; memory holds one part at a time.

    Args:
        form: csv, parquet or jsonl.
        safe: for CSV: cells that a spreadsheet takes for a formula are made text.
        mark: for CSV: whether a byte order mark tells spreadsheets that it is UTF-8.
        columns: those to write; all by default.

    Returns:
        How many cells and names were changed for spreadsheets.

    Raises:
        NoSpace: the disk is full.
    """
    needed = sum(part.stat().st_size for part in parts)
    with full_is_said("the labelled file", needed, out.parent), whole_file(out) as draft:
        if form == PARQUET:
            _join_parquet(parts, draft, columns)
            return 0
        changed = 0
        with draft.open("wb") as file:
            if mark and form == CSV:
                file.write("\ufeff".encode())
            for number, frame in enumerate(frames_of(parts, columns)):
                content, more = as_text(frame, form, safe, header=number == 0)
                file.write(content)
                changed += more
        return changed


def frames_of(parts: Sequence[Path], columns: list[str] | None = None) -> Iterator[pd.DataFrame]:
    """The rows of the parts, one part at a time."""
    for part in parts:
        yield pq.read_table(part, columns=columns).to_pandas()


def as_text(frame: pd.DataFrame, form: str, safe: bool, header: bool) -> tuple[bytes, int]:
    """Rows as CSV or JSON Lines, and how many cells (with the header: and names) were made safe."""
    if form == JSON_LINES:
        return frame.to_json(orient="records", lines=True, force_ascii=False).encode(), 0
    changed = 0
    if safe:
        names = list(frame.columns)
        frame, changed = spreadsheet_safe(frame)
        if not header:
            changed -= sum(before != after for before, after in zip(names, frame.columns, strict=True))
    return csv_text(frame, header=header).encode(), changed


def _join_parquet(parts: Sequence[Path], out: Path, columns: list[str] | None) -> None:
    writer = None
    try:
        for part in parts:
            table = pq.read_table(part, columns=columns)
            writer = writer or pq.ParquetWriter(out, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
