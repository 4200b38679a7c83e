"""A Parquet file becomes a Table.

What its footer says about sizes may be a lie, and Arrow takes as much memory as a page claims to unpack to:
the headers of all pages are added up first (Apache Parquet format, `PageHeader`, in Thrift's compact
protocol), and rows are then read in batches that fit, however often a page's largest value comes back.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.base.errors import UserError
from core.base.formatting import count, shorten
from core.data.reading.text.records import RAW_CHARACTERS, RejectedRow
from core.data.tables import (
    Dialect,
    Limits,
    Table,
    distinct_names,
    too_many_cells,
    too_many_columns,
    too_many_rows,
    unpacks_to_more,
)

MAGIC = b"PAR1"
FOOTER_END = struct.Struct("<I4s")
LONGEST_FOOTER = 8 * 1024 * 1024
MOST_BATCH_ROWS = 65_536
# Every page takes time, however small, and so does what its header holds; Arrow reads none beyond 16 MB.
MOST_PAGES = 200_000
LONGEST_HEADER = 1024 * 1024
DICTIONARY_PAGE = 2
# Old writers count the header of the dictionary page out (PARQUET-816).
PADDING = 100
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
WRITE_AS_CSV = "Write the table out anew, or as CSV, and choose that file."


def read(content: bytes, limits: Limits) -> Table:
    """Read all columns; missing values become empty, nested ones JSON text.

    Raises:
        UserError: damaged, encrypted, too large when unpacked, without rows, or with too many of them.
    """
    try:
        file, rows = _checked(content, limits)
        return _table(file, rows, limits)
    except BROKEN_PARQUET as error:
        raise _broken(str(error) or type(error).__name__) from error


def read_in_batches(content: bytes | mmap, limits: Limits, batch_rows: int) -> Iterator[Table]:
    """The same, in tables of at most so many rows each, one after the other.

    Raises:
        UserError: see `read`; the limit on what all rows take together holds for each table.
    """
    try:
        file, rows = _checked(content, limits)
        yield from _tables(file, min(batch_rows, rows), limits)
    except BROKEN_PARQUET as error:
        raise _broken(str(error) or type(error).__name__) from error


def _checked(content: bytes | mmap, limits: Limits) -> tuple[pq.ParquetFile, int]:
    """The file, once its sizes are known to be bearable, and how many of its rows to read at a time."""
    _check_end(content)
    file = _opened(content)
    _check_counts(file.metadata, limits)
    pages = _pages(content)
    _check_pages(pages, limits)
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


# What is checked before Arrow unpacks anything


def _check_end(content: bytes | mmap) -> None:
    length, magic = FOOTER_END.unpack(content[-FOOTER_END.size :])
    if magic != MAGIC:
        raise _broken("its end is missing, or it is encrypted")
    if length > min(LONGEST_FOOTER, len(content) - FOOTER_END.size):
        raise _broken(f"a footer of {length:,} bytes in a file of {len(content):,}")


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


@dataclass
class _Pages:
    """What the headers of all pages say together: their number, bytes when unpacked, values, the largest."""

    number: int = 0
    bytes: int = 0
    values: int = 0
    largest: int = 1

    def batch_rows(self, limits: Limits) -> int:
        """Rows to read at once: of values as large as the largest page, four times the limit."""
        return max(1, min(MOST_BATCH_ROWS, 4 * limits.bytes // self.largest))


def _pages(content: bytes | mmap) -> _Pages:
    # Not by way of pyarrow's metadata: looking at a column whose statistics do not fit ends the process.
    pages = _Pages()
    length, _ = FOOTER_END.unpack(content[-FOOTER_END.size :])
    footer = _Thrift(content, len(content) - FOOTER_END.size - length).struct(depth=12)
    for group in footer.get(4, []):
        for column in group[1]:
            facts = column[3]
            values, size, start = facts[5], facts[7], facts[9]
            if 0 < facts.get(11, 0) < start:
                start = facts[11]
            if start < 0 or size < 0 or start + size > len(content):
                raise _broken("a column outside of the file")
            _add_pages(_page_headers(content, start, start + size + PADDING), values, pages)
    return pages


def _add_pages(headers: Iterator[dict[int, Any]], values: int, pages: _Pages) -> None:
    """Add up the pages of a column up to so many values, as Arrow reads them."""
    seen = 0
    while seen < values and (header := next(headers, None)):
        unpacked = header[2]
        pages.number += 1
        if pages.number > MOST_PAGES:
            raise _broken(f"more than {MOST_PAGES:,} pages")
        pages.bytes += unpacked
        pages.largest = max(pages.largest, unpacked)
        if header[1] != DICTIONARY_PAGE:
            data = header.get(5) or header.get(8)
            if not isinstance(data, dict) or type(data.get(1)) is not int or data[1] < 0:
                raise _broken("a page without the number of its values")
            seen += data[1]
            pages.values += data[1]


def _page_headers(content: bytes | mmap, position: int, end: int) -> Iterator[dict[int, Any]]:
    while position < min(end, len(content)):
        thrift = _Thrift(memoryview(content)[position : position + LONGEST_HEADER], 0)
        header = thrift.struct(depth=4)
        if any(type(header.get(i)) is not int or header[i] < 0 for i in (1, 2, 3)):
            raise _broken("a page without a size")
        position += thrift.position + header[3]
        yield header


def _check_pages(pages: _Pages, limits: Limits) -> None:
    # Every value takes at least a byte of a text file.
    size = max(pages.bytes, pages.values)
    if size > limits.bytes:
        raise unpacks_to_more(f"{size / 1024**2:,.1f} MB or more", limits)


class _Thrift:
    """Reads structs of Thrift's compact protocol as dicts of field number → value."""

    def __init__(self, content: bytes | memoryview | mmap, position: int) -> None:
        self.content = content
        self.position = position

    def struct(self, depth: int) -> dict[int, Any]:
        """The struct that begins here; structs deeper than `depth` are an error."""
        if depth < 0:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            number = number + (header >> 4) if header >> 4 else self._signed()
            fields[number] = self._value(header & 0xF, depth)
        return fields

    def _value(self, kind: int, depth: int, in_list: bool = False) -> Any:  # noqa: ANN401 - any value of Thrift
        if kind in (1, 2):
            return self._byte() == 1 if in_list else kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._varint())
        if kind in (9, 10):
            return self._list(depth)
        if kind == 12:
            return self.struct(depth - 1)
        raise ValueError(f"a field of kind {kind}")

    def _list(self, depth: int) -> list[Any]:
        header = self._byte()
        size = header >> 4 if header >> 4 < 15 else self._varint()
        return [self._value(header & 0xF, depth, in_list=True) for _ in range(size)]

    def _skip(self, size: int) -> None:
        self.position += size

    def _byte(self) -> int:
        byte = self.content[self.position]
        self.position += 1
        return byte

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            if shift > 63:
                raise ValueError("a number that is too long")
            shift += 7

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


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
        raise _broken(f"{count(rows, 'row')} where its footer counts {file.metadata.num_rows:,}")


def _joined(kept: _Kept) -> Table:
    return Table(
        pa.Table.from_batches(kept.batches).to_pandas(),
        Dialect("parquet", "", "", "", has_header=True),
        kept.rejected,
        np.concatenate(kept.rows),
    )


def _add_batch(batch: pa.RecordBatch, names: list[str], first: int, kept: _Kept, limits: Limits) -> None:
    reasons: dict[int, str] = {}
    columns = [_text(column, reasons, limits) for column in batch.columns]
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


def _text(column: pa.Array, reasons: dict[int, str], limits: Limits) -> pa.Array:
    """The column as text; adds the reason of every value that is none."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if _is_binary(kind):
        return _decoded(column.cast(pa.large_binary()), reasons)
    if pa.types.is_nested(kind):
        return _nested(column, reasons, limits)
    texts = column.cast(pa.large_string()).fill_null("")
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        texts = pc.replace_substring_regex(texts, r"\.0+(Z?)$", r"\1")
    return texts


def _nested(column: pa.Array, reasons: dict[int, str], limits: Limits) -> pa.Array:
    """The column as JSON text; values that would be far too long are not even written."""
    sizes = _sizes(column)
    # No character takes more bytes than this.
    fits = sizes <= 4 * limits.field_characters
    if sizes[fits].sum() > 9 * limits.bytes:
        raise UserError(
            f"texts of at most {limits.bytes:,} characters together",
            "more than that",
            "Keep only the columns and rows that you need, or split the file.",
        )
    for i in np.flatnonzero(~fits).tolist():
        reasons[i] = f"a value of more than {limits.field_characters:,} characters"
    values = (value.as_py() if fit else None for value, fit in zip(column, fits, strict=True))
    return pa.array(("" if value is None else _json(value) for value in values), pa.large_string())


def _sizes(column: pa.Array) -> np.ndarray:
    """How many bytes each value takes as JSON at the least, int64."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _sizes(column.storage)
    if pa.types.is_dictionary(kind):
        known = np.append(_sizes(column.dictionary), 0)
        return known[_numbers(column.indices.cast(pa.int64()), len(known) - 1)]
    if _is_binary(kind):
        return _numbers(pc.binary_length(column.cast(pa.large_binary())), 0)
    if pa.types.is_struct(kind):
        fields = map(column.field, range(kind.num_fields))
        return sum(map(_sizes, fields), start=np.ones(len(column), dtype=np.int64))
    if pa.types.is_fixed_size_list(kind):
        inside = column.values.slice(column.offset * kind.list_size, len(column) * kind.list_size)
        return _sizes(inside).reshape(len(column), kind.list_size).sum(axis=1) + 1
    if pa.types.is_nested(kind):
        is_map = pa.types.is_map(kind)
        inside = _sizes(column.keys) + _sizes(column.items) if is_map else _sizes(column.values)
        ends = np.cumsum(np.append(0, inside))[column.offsets.to_numpy()]
        return np.diff(ends) + 1
    return np.ones(len(column), dtype=np.int64)


def _numbers(column: pa.Array, missing: int) -> np.ndarray:
    return column.fill_null(missing).to_numpy(zero_copy_only=False)


def _is_binary(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)


def _decoded(column: pa.Array, reasons: dict[int, str]) -> pa.Array:
    try:
        return column.cast(pa.large_string()).fill_null("")
    except pa.ArrowInvalid:
        values = [b"" if value is None else value for value in column.to_pylist()]
    texts = []
    for i, value in enumerate(values):
        text = value.decode("utf-8", "replace")
        if "\ufffd" in text and text.encode() != value:
            reasons[i] = "bytes that are not utf-8"
        texts.append(text)
    return pa.array(texts, pa.large_string())


def _json(value: Any) -> str:  # noqa: ANN401 - any nested value
    return json.dumps(value, ensure_ascii=False, default=str)


def _broken(found: str) -> UserError:
    return UserError(
        "a Parquet file that is whole",
        f"one that cannot be read ({shorten(' '.join(found.split()), 120)})",
        WRITE_AS_CSV,
    )
