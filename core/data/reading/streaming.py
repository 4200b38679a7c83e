"""A file becomes tables of some thousand rows each, one after the other: memory does not grow with the file.

The rows, columns and rejected rows are those of `read_table`. That reads a file as a whole and may think
again when it has seen the end; here it is first proved, in a pass that keeps nothing, that it would not. So
stream Parquet, JSON Lines, and delimited text, both in UTF-8 and with every record in its place. Whatever
else there is (workbooks, JSON documents, archives, other encodings, broken quotation marks) is read as a
whole, up to the limit on its bytes.
"""

from __future__ import annotations

import csv
import io
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from core.base.formatting import count
from core.data.reading import json_tables
from core.data.reading.archives import GZIP, ZIP, ZIP_EMPTY
from core.data.reading.files import DEFAULT_LIMITS, read_table
from core.data.reading.parquet import pages, parquet_files
from core.data.reading.text.decoding import MAGIC, SAMPLE_BYTES, find_encoding, needs_closer_look
from core.data.reading.text.delimited import dialect_of
from core.data.reading.text.dialects import SAMPLE_LINES, choose_form, signs_of_variants
from core.data.reading.text.records import ABOVE, HEADER_AGAIN, RecordFormat, RejectedRow, raw_text
from core.data.tables import GUESS, Dialect, Limits, ReadOptions, Table, distinct_names, text_frame

BATCH_ROWS = 2_048
"""Rows of one table of a stream, at most."""

WHOLE_BYTES = 4 * 1024**2
"""Files up to this size are read as a whole: that takes little memory and needs no proof."""

UTF_8 = ("utf-8", "utf-8-sig", "ascii")
_READ_BYTES = 1024**2


class _Irregular(Exception):
    """The file has to be read as a whole to know what its rows are."""


@dataclass(frozen=True)
class TableStream:
    """A file whose rows come batch by batch, as often as they are asked for."""

    columns: list[str]
    dialect: Dialect
    rows: int
    """In all, without the rejected ones."""
    is_streamed: bool
    """False where the file is held in memory as a whole."""
    batches: Callable[[], Iterator[Table]]
    """Tables of at most so many rows, in the order of the file; each has the rejected rows found with it."""


@dataclass(frozen=True)
class Beginning:
    """What the first rows of a file tell about it."""

    columns: list[str]
    rows: int | None
    """In all, without the rejected ones; None where that takes reading a large file to its end."""
    table: Table
    """The first rows; with all rejected ones where `rows` is known, else with those among the first."""


def read_beginning(
    source: Path,
    limits: Limits = DEFAULT_LIMITS,
    choice: ReadOptions = GUESS,
    first_rows: int = BATCH_ROWS,
    whole_bytes: int = WHOLE_BYTES,
) -> Beginning:
    """Look at the first rows of a file of any kind that `read_table` reads, and keep no others.

    Should a large file turn out later to need another way of reading, `open_table` says other columns.

    Raises:
        UserError: see `read_table`.
    """
    if _is_larger(source, whole_bytes):
        try:
            stream = _streamed(source, limits, choice, first_rows)
            if (first := next(stream.batches(), None)) is not None and len(first.frame):
                return Beginning(stream.columns, None, first)
        except (_Irregular, UnicodeDecodeError):
            pass
    stream = _sliced(read_table(source, limits, choice), first_rows)
    first = next(stream.batches())
    # A copy: a part of the whole table would keep all of it in memory.
    own = replace(first, frame=first.frame.copy(), lines=first.lines.copy())
    return Beginning(stream.columns, stream.rows, own)


def _is_larger(source: Path, limit: int) -> bool:
    try:
        return source.stat().st_size > limit
    except OSError:
        return False  # Reading says it.


def open_table(
    source: Path,
    limits: Limits = DEFAULT_LIMITS,
    choice: ReadOptions = GUESS,
    batch_rows: int = BATCH_ROWS,
    whole_bytes: int = WHOLE_BYTES,
) -> TableStream:
    """Open a file of any kind that `read_table` reads.

    Args:
        limits: of bytes and rows for what is read as a whole; what streams may be larger.
        whole_bytes: files up to this size are read as a whole.

    Raises:
        UserError: see `read_table`.
    """
    if _is_larger(source, whole_bytes):
        try:
            return _counted(_streamed(source, limits, choice, batch_rows))
        except (_Irregular, UnicodeDecodeError):
            pass
    return _sliced(read_table(source, limits, choice), batch_rows)


def _sliced(table: Table, batch_rows: int) -> TableStream:
    def batches() -> Iterator[Table]:
        for start in range(0, len(table.frame), batch_rows):
            part = table.frame.iloc[start : start + batch_rows].reset_index(drop=True)
            rejected = [] if start else table.rejected
            yield Table(part, table.dialect, rejected, table.lines[start : start + batch_rows])

    return TableStream(list(table.frame.columns), table.dialect, len(table.frame), False, batches)


def _streamed(source: Path, limits: Limits, choice: ReadOptions, batch_rows: int) -> TableStream:
    """The stream as its beginning promises it: nothing is proved, and no row counted."""
    with source.open("rb") as file:
        start = file.read(SAMPLE_BYTES)
    if start.startswith(pages.MAGIC):
        return _of_parquet(source, limits, batch_rows)
    if start.startswith((GZIP, ZIP, ZIP_EMPTY, *(magic for magic, *_ in MAGIC))):
        raise _Irregular
    # A character that the end of the sample cuts in two says nothing about the file.
    encoding = find_encoding(start[: start.rfind(b"\n") + 1] or start, choice.encoding)
    if encoding not in UTF_8 or _holds(source, b"\x1b$"):
        raise _Irregular
    if json_tables.may_be_json(start):
        return _of_json_lines(source, encoding, limits, batch_rows)
    return _of_delimited(source, encoding, limits, choice, batch_rows)


def _holds(source: Path, sign: bytes) -> bool:
    """Whether these bytes are anywhere in the file."""
    before = b""
    with source.open("rb") as file:
        while block := file.read(_READ_BYTES):
            if sign in before + block:
                return True
            before = block[-len(sign) + 1 :]
    return False


def _counted(stream: TableStream) -> TableStream:
    """The stream, once read to its end: that proves it."""
    rows = sum(len(batch.frame) for batch in stream.batches())
    if not rows:
        raise _Irregular  # Reading it as a whole says what is wrong.
    return replace(stream, rows=rows)


# Parquet


def _of_parquet(source: Path, limits: Limits, batch_rows: int) -> TableStream:
    def batches() -> Iterator[Table]:
        # Mapped, not read: the system takes the memory back where it is needed.
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield from parquet_files.read_in_batches(content, limits, batch_rows)

    first = next(batches(), None)
    if first is None:
        raise _Irregular
    return TableStream(list(first.frame.columns), first.dialect, 0, True, batches)


# JSON Lines


def _of_json_lines(source: Path, encoding: str, limits: Limits, batch_rows: int) -> TableStream:
    with _opened(source, encoding) as lines:
        if not json_tables.are_objects(lines):
            raise _Irregular
    keys: dict[str, None] = {}
    for _, record, _ in _json_records(source, encoding, limits):
        keys.update(dict.fromkeys(record or ()))
        if len(keys) > limits.columns:
            raise _Irregular
    names = distinct_names(list(keys))
    dialect = Dialect("jsonl", encoding, "", "", has_header=True)

    def batches() -> Iterator[Table]:
        batch = _Batch(dialect, names)
        for number, record, rejected in _json_records(source, encoding, limits):
            if record is None:
                assert rejected is not None  # What is not read says why.
                batch.rejected.append(rejected)
                continue
            batch.add(number, [record.get(key, "") for key in keys])
            if len(batch.rows) == batch_rows:
                yield batch.taken()
        if batch.rows or batch.rejected:
            yield batch.taken()

    return TableStream(names, dialect, 0, True, batches)


def _json_records(
    source: Path, encoding: str, limits: Limits
) -> Iterator[tuple[int, dict[str, str] | None, RejectedRow | None]]:
    with _opened(source, encoding) as lines:
        yield from json_tables.records_of_lines(lines, limits)


# Delimited text


def _of_delimited(
    source: Path, encoding: str, limits: Limits, choice: ReadOptions, batch_rows: int
) -> TableStream:
    # The module's own cap is 131,072 characters; fields over ours are set aside, each with a reason.
    csv.field_size_limit(max(csv.field_size_limit(), limits.bytes))
    with _opened(source, encoding) as file:
        sample = list(islice(_without_mark(file), SAMPLE_LINES))
    if needs_closer_look(sample) or not sample[0].endswith("\n"):
        raise _Irregular
    form = choose_form(sample, choice)
    if len(form.delimiter) > 1 or form.width > limits.columns:
        raise _Irregular
    header = _Cutter(source, encoding, form, limits).header()
    names = distinct_names(header or [""] * form.width)
    dialect = dialect_of(encoding, form)

    def batches() -> Iterator[Table]:
        batch = _Batch(dialect, names)
        for line, row, rejected in _Cutter(source, encoding, form, limits).records():
            if rejected is not None:
                batch.rejected.append(rejected)
                continue
            batch.add(line, row)
            if len(batch.rows) == batch_rows:
                yield batch.taken()
        if batch.rows or batch.rejected:
            yield batch.taken()

    return TableStream(names, dialect, 0, True, batches)


@dataclass
class _Cutter:
    """Cuts the lines of a file into records, as long as it is beyond doubt where each begins and ends."""

    source: Path
    encoding: str
    form: RecordFormat
    limits: Limits
    _seen: list[str] = field(default_factory=list)
    """The physical lines of the record at hand."""

    def header(self) -> list[str]:
        """The names of the columns; empty where the file has none."""
        if not self.form.has_header:
            return []
        with _opened(self.source, self.encoding) as file:
            lines = islice(_without_mark(file), self.form.skipped_lines, None)
            header = next((row for _, row in self._cut(lines) if row), [])
        if len(header) != self.form.width:
            raise _Irregular
        return header

    def records(self) -> Iterator[tuple[int, list[str], RejectedRow | None]]:
        """The first line of each record (from 1), its fields, and how it was set aside if it was."""
        header: list[str] = []
        short_line = -1
        with _opened(self.source, self.encoding) as file:
            lines = _without_mark(file)
            for number, above in enumerate(islice(lines, self.form.skipped_lines), 1):
                if not above.isspace():
                    yield number, [], self._rejected(number, ABOVE, [above])
            for line, row in self._cut(lines):
                if not row:
                    continue
                if self.form.has_header and not header:
                    header = row
                    continue
                reason = self._reason(row, header)
                if not reason:
                    yield line, row, None
                    continue
                if len(row) < self.form.width:
                    if line == short_line + 1:  # Together they may be one record.
                        raise _Irregular
                    short_line = line
                yield line, row, self._rejected(line, reason, self._seen)

    def _cut(self, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """First line and fields of each record; a blank line has none."""
        start = self.form.skipped_lines + 1
        try:
            for row in self.form.reader(self._watched(lines)):
                seen = self._seen
                blank = len(row) < 2 and len(seen) == 1 and seen[0].isspace()
                if len(seen) > 1 and (len(row) != self.form.width or all(map(self.form.fits_alone, seen))):
                    raise _Irregular  # A quotation mark may have taken in other records.
                yield start, [] if blank else row
                start += len(seen)
                self._seen = []
        except csv.Error as error:
            raise _Irregular from error

    def _watched(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._seen.append(line)
            yield line

    def _reason(self, row: list[str], header: list[str]) -> str:
        width = self.form.width
        if len(row) != width:
            return f"expected {count(width, 'field')}, found {len(row)}"
        if width > 1 and row == header:
            return HEADER_AGAIN
        longest = max(map(len, row))
        if longest > self.limits.field_characters:
            return f"a field of {longest:,} characters; at most {self.limits.field_characters:,} are read"
        return ""

    def _rejected(self, line: int, reason: str, lines: list[str]) -> RejectedRow:
        """The row set aside; it must not be one that makes `read_records` try another form."""
        form, raw = self.form, raw_text(lines)
        may_be_plain = form.quotechar and (form.width == 1 or form.delimiter not in ",;")
        if may_be_plain or signs_of_variants(form, [raw]):
            raise _Irregular
        return RejectedRow(line, reason, raw)


# Common


@dataclass
class _Batch:
    """The rows of the table at hand."""

    dialect: Dialect
    names: list[str]
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)

    def add(self, line: int, row: list[str]) -> None:
        self.rows.append(row)
        self.lines.append(line)

    def taken(self) -> Table:
        """The rows so far as a table; the next one begins."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.names)
        frame = text_frame({name: list(column) for name, column in zip(self.names, columns, strict=True)})
        table = Table(frame, self.dialect, self.rejected, np.array(self.lines, dtype=np.int64))
        self.rows, self.lines, self.rejected = [], [], []
        return table


def _opened(source: Path, encoding: str) -> io.TextIOWrapper:
    return source.open(encoding=encoding, newline="")


def _without_mark(lines: Iterator[str]) -> Iterator[str]:
    """The lines, the first without byte order marks."""
    yield next(lines, "").lstrip("\ufeff")
    yield from lines
