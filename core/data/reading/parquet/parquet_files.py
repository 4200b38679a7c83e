"""A Parquet file becomes a Table.

What its footer says about sizes may be a lie: they are checked first (`pages.py`), and rows are then read in
batches that fit, however often a page's largest value comes back.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from mmap import mmap

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.base.errors import UserError
from core.base.formatting import count
from core.data.reading.parquet.pages import (
    LONGEST_FOOTER,
    WRITE_AS_CSV,
    broken,
    check_end,
    check_pages,
)
from core.data.reading.parquet.texts import text_column
from core.data.reading.text.records import RAW_CHARACTERS, RejectedRow
from core.data.tables import (
    Dialect,
    Limits,
    Table,
    distinct_names,
    too_many_cells,
    too_many_columns,
    too_many_rows,
)

BROKEN_PARQUET = (
    pa.ArrowException,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


def read(content: bytes, limits: Limits) -> Table:
    """Read all columns; missing values become empty, nested ones JSON text.

    Raises:
        UserError: damaged, encrypted, too large when unpacked, without rows, or with too many of them.
    """
    try:
        file, rows = _checked(content, limits)
        return _table(file, rows, limits)
    except BROKEN_PARQUET as error:
        raise broken(str(error) or type(error).__name__) from error


def read_in_batches(content: bytes | mmap, limits: Limits, batch_rows: int) -> Iterator[Table]:
    """The same, in tables of at most so many rows each, one after the other.

    Raises:
        UserError: see `read`; the limit on what all rows take together holds for each table.
    """
    try:
        file, rows = _checked(content, limits)
        yield from _tables(file, min(batch_rows, rows), limits)
    except BROKEN_PARQUET as error:
        raise broken(str(error) or type(error).__name__) from error


def _checked(content: bytes | mmap, limits: Limits) -> tuple[pq.ParquetFile, int]:
    """The file, once its sizes are known to be bearable, and how many of its rows to read at a time."""
    check_end(content)
    file = _opened(content)
    _check_counts(file.metadata, limits)
    pages = check_pages(content, limits)
    # In a list the same text may come back a million times in one row: it is kept in a dictionary.
    return _opened(content, _listed_texts(file.schema)), pages.batch_rows(limits)


def _tables(file: pq.ParquetFile, batch_rows: int, limits: Limits) -> Iterator[Table]:
    names, first = distinct_names(file.schema_arrow.names), 1
    for group in range(file.num_row_groups):
        for batch in file.iter_batches(batch_rows, row_groups=[group], use_threads=False):
            kept = _Kept()
            _add_batch(batch, names, first, kept, limits)
            first += batch.num_rows
            yield _joined(kept)
    _check_rows_read(first - 1, file)


def _opened(content: bytes | mmap, in_dictionaries: Sequence[str] = ()) -> pq.ParquetFile:
    return pq.ParquetFile(
        pa.BufferReader(content),
        read_dictionary=list(in_dictionaries),
        thrift_string_size_limit=LONGEST_FOOTER,
        thrift_container_size_limit=100_000,
    )


def _listed_texts(schema: pq.ParquetSchema) -> list[str]:
    """The paths of texts that a row may hold many of."""
    columns = map(schema.column, range(len(schema)))
    return [c.path for c in columns if c.physical_type == "BYTE_ARRAY" and c.max_repetition_level]


def _check_counts(metadata: pq.FileMetaData, limits: Limits) -> None:
    rows, columns = metadata.num_rows, metadata.num_columns
    if rows > limits.rows:
        raise too_many_rows(f"{rows:,}", limits)
    if columns > limits.columns:
        raise too_many_columns(f"{columns:,} columns", limits)
    if rows * columns > limits.bytes:
        raise too_many_cells(rows, columns, limits)
    if rows < 1 or columns < 1:
        raise UserError("at least one row", "none", "Add rows and choose the file again.")


# Batches become a table


@dataclass
class _Kept:
    """The batches of text, with the rows (from 1) that are in them."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    bytes: int = 0


def _table(file: pq.ParquetFile, batch_rows: int, limits: Limits) -> Table:
    names = distinct_names(file.schema_arrow.names)
    kept, first = _Kept(), 1
    for group in range(file.num_row_groups):
        # One by one: a list of texts in dictionaries is not read across groups.
        for batch in file.iter_batches(batch_rows, row_groups=[group], use_threads=False):
            _add_batch(batch, names, first, kept, limits)
            first += batch.num_rows
    _check_rows_read(first - 1, file)
    if not any(map(len, kept.rows)):
        raise UserError(
            "at least one row that can be read",
            f"{len(kept.rejected):,} that cannot" if kept.rejected else "none",
            WRITE_AS_CSV,
        )
    return _joined(kept)


def _check_rows_read(rows: int, file: pq.ParquetFile) -> None:
    if rows != file.metadata.num_rows:
        raise broken(f"{count(rows, 'row')} where its footer counts {file.metadata.num_rows:,}")


def _joined(kept: _Kept) -> Table:
    return Table(
        pa.Table.from_batches(kept.batches).to_pandas(),
        Dialect("parquet", "", "", "", has_header=True),
        kept.rejected,
        np.concatenate(kept.rows),
    )


def _add_batch(batch: pa.RecordBatch, names: list[str], first: int, kept: _Kept, limits: Limits) -> None:
    reasons: dict[int, str] = {}
    columns = [text_column(column, reasons, limits) for column in batch.columns]
    kept.bytes += sum(column.nbytes for column in columns)
    # Besides the characters, every value has an offset of eight bytes.
    if kept.bytes > 9 * limits.bytes:
        raise too_many_cells(batch.num_rows, len(names), limits)
    for column in columns:
        for i in np.flatnonzero(pc.utf8_length(column).to_numpy() > limits.field_characters):
            length = len(column[int(i)].as_py())
            reasons[int(i)] = (
                f"a value of {length:,} characters; at most {limits.field_characters:,} are read"
            )
    texts = pa.RecordBatch.from_arrays(columns, names=names)
    for row in sorted(reasons):
        raw = "\t".join(column[row].as_py()[:RAW_CHARACTERS] for column in columns)
        kept.rejected.append(RejectedRow(first + row, reasons[row], raw[:RAW_CHARACTERS]))
    whole = np.ones(batch.num_rows, dtype=bool)
    whole[list(reasons)] = False
    kept.batches.append(texts.filter(pa.array(whole)) if reasons else texts)
    kept.rows.append(first + np.flatnonzero(whole))
