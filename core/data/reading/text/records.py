"""Lines become records of one form, each either whole or set aside.

The records are cut by Python's own `csv` module in strict mode (RFC 4180: quotation marks are doubled inside
of a quoted field). Strict mode turns a quotation mark that is never closed into an error instead of a field
that swallows the rest of the file; that one physical line is set aside, and reading goes on with the next.
"""

import csv
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from core.base.formatting import count
from core.data.reading.text.decoding import LONE_SURROGATE

if TYPE_CHECKING:
    from _csv import Reader

RAW_CHARACTERS = 500
BATCH_LINES = 128
# As a delimiter: columns that are aligned with spaces.
ALIGNED = "  "
# Stands for a delimiter that is not one character: a code that Unicode keeps free of meaning.
STAND_IN = "\ufdd0"
NUMBER = re.compile(r"[-+]?[\d.,:/ %€$£-]*\d[\d.,:/ %€$£-]*(?:[eE][-+]?\d+)?")
MAX_BROKEN_LINES = 50
# From how many rows on, few different values in a column are its vocabulary and not chance.
VOCABULARY_ROWS = 20
NEVER_CLOSED = "a quotation mark opens a field and is never closed"
NOT_DOUBLED = "a quotation mark inside a quoted field is not doubled"
ABOVE = "above the table"
HEADER_AGAIN = "the header again"


@dataclass(frozen=True)
class RejectedRow:
    """A record that was set aside: its first physical line (from 1), why, and how it stands in the file."""

    line: int
    reason: str
    raw: str


@dataclass(frozen=True)
class RecordFormat:
    """How records are written; `width` is the number of fields, 0 while it is not known.

    The other fields are those of `core.data.tables.Dialect`.
    """

    delimiter: str
    quotechar: str
    escapechar: str = ""
    skipinitialspace: bool = False
    width: int = 0
    has_header: bool = False
    skipped_lines: int = 0

    def reader(self, lines: Iterable[str]) -> "Reader":
        """A strict reader of these lines; a delimiter of several characters is `STAND_IN` in its fields."""
        if self.escapechar or self._separator != self.delimiter:
            lines = map(self._prepared, lines)
        return csv.reader(
            lines,
            delimiter=self._separator,
            quotechar=self.quotechar or None,
            escapechar=self.escapechar or None,
            skipinitialspace=self.skipinitialspace,
            quoting=csv.QUOTE_MINIMAL if self.quotechar else csv.QUOTE_NONE,
            strict=True,
        )

    def unquoted(self) -> "RecordFormat":
        """The same with quotation marks as plain text; one column then needs no delimiter either."""
        delimiter = self.delimiter if self.width != 1 else ""
        return replace(self, quotechar="", escapechar="", delimiter=delimiter)

    def fits_alone(self, line: str) -> bool:
        """Whether this one line, its quotation marks taken as plain text, is as wide as a record."""
        return len(self.split_plainly(line)) == self.width

    def split_plainly(self, line: str) -> list[str]:
        """The fields of one line, its quotation marks taken as plain text."""
        line = line.rstrip("\r\n")
        return self._prepared(line).split(self._separator) if self.delimiter else [line]

    @property
    def _separator(self) -> str:
        return self.delimiter if len(self.delimiter) == 1 else STAND_IN

    def _prepared(self, line: str) -> str:
        """The line as the `csv` module can read it."""
        if self.delimiter == ALIGNED:
            return re.sub("  +", STAND_IN, line.strip(" "))
        if len(self.delimiter) > 1:
            line = line.replace(self.delimiter, STAND_IN)
        # Of "\n" and "\t" in a text the module would keep the letter alone.
        return re.sub(r"\\([\\\"'\r\n]?)", _kept_backslash, line) if self.escapechar else line


def _kept_backslash(match: re.Match[str]) -> str:
    return match[0] if match[1] else "\\\\"


class Piece(NamedTuple):
    """What stands from line `start` to before line `end`, from 0: a record, or a broken or a blank line.

    A broken line has a `reason` and no fields, a blank one has neither.
    """

    start: int
    end: int
    row: list[str]
    reason: str


@dataclass
class Records:
    """The records of a file: one list per column, and what was set aside.

    Lines count from 0: record i begins on `starts[i]`; `ends` holds the line after it where it has several.
    `short` holds, by their line, those of the rejected ones that have too few fields.
    """

    columns: list[list[str]]
    starts: list[int] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)
    short: dict[int, list[str]] = field(default_factory=dict)
    header: list[str] = field(default_factory=list)
    header_lines: int = 0
    rejected_lines: int = 0
    blank_lines: int = 0

    def span(self, index: int) -> tuple[int, int]:
        """First line of record `index` and the line after its last."""
        start = self.starts[index]
        return start, self.ends.get(start, start + 1)

    @property
    def row_lines(self) -> int:
        """The number of physical lines on which the records stand."""
        return sum(self.ends.get(start, start + 1) - start for start in self.starts)

    def reject(self, lines: list[str], start: int, end: int, reason: str) -> None:
        """Set these lines aside."""
        self.rejected.append(RejectedRow(start + 1, reason, raw_text(lines[start:end])))
        self.rejected_lines += end - start


def raw_text(lines: list[str]) -> str:
    """These lines as they are shown to people: cut, and with a mark for bytes that could not be decoded."""
    return LONE_SURROGATE.sub("\ufffd", "".join(lines).rstrip("\r\n")[:RAW_CHARACTERS])


def is_number(text: str) -> bool:
    """Whether the text is a number, an amount, a date or a time."""
    return len(text) <= 40 and bool(NUMBER.fullmatch(text.strip()))


def cut_pieces(lines: list[str], form: RecordFormat) -> Iterator[Piece]:
    """The records of a form, one by one, from the first line that is not above the table."""
    return _Cutter(lines, form).cut(form.skipped_lines, len(lines))


def cut_records(lines: list[str], form: RecordFormat) -> Records:
    """All records of a form whose width is known."""
    records = _cut(lines, form)
    if swallowed := _swallowed(lines, form, records):
        records = _cut(lines, form, swallowed)
    _join_broken(lines, form, records)
    if len(form.delimiter) > 1 and form.quotechar:
        records.columns = [
            [value.replace(STAND_IN, form.delimiter) for value in column] for column in records.columns
        ]
    return records


@dataclass
class _Cutter:
    """Cuts lines into records. `alone` holds lines on which no record of several lines may begin."""

    lines: list[str]
    form: RecordFormat
    alone: Container[int] = ()
    wasted: int = 0

    def cut(self, first: int, last: int) -> Iterator[Piece]:
        """Every piece that begins in these lines."""
        position = first
        while position < last:
            start = position
            reader = self.form.reader(map(self.lines.__getitem__, range(start, self._stop(start))))
            try:
                for row in reader:
                    end = start + reader.line_num
                    if end - position > 1 and self._is_chance(position, end, row):
                        raise csv.Error(NEVER_CLOSED)
                    blank = len(row) < 2 and self.lines[position].isspace() and end - position == 1
                    yield Piece(position, end, [] if blank else row, "")
                    position = end
                    if position >= last:
                        break
            except csv.Error as error:
                seen = start + reader.line_num - position
                self.wasted += seen
                inside = seen == 1 and "unexpected end" not in str(error)
                yield Piece(position, position + 1, [], NOT_DOUBLED if inside else NEVER_CLOSED)
                position += 1

    def _stop(self, position: int) -> int:
        # Going back is cheap once and dear a million times: past a budget every line stands for itself.
        return len(self.lines) if self.wasted <= 2 * len(self.lines) + 1_000 else position + 1

    def _is_chance(self, start: int, end: int, row: list[str]) -> bool:
        """Whether a record has several lines only because another's quotation mark closed its own."""
        if start in self.alone:
            return True
        misfit = self.form.width > 0 and len(row) != self.form.width
        return misfit and any(map(self.form.fits_alone, self.lines[start + 1 : end]))


def _cut(lines: list[str], form: RecordFormat, alone: Container[int] = ()) -> Records:
    records = Records([[] for _ in range(form.width)])
    cutter = _Cutter(lines, form, alone)
    position = _begin(cutter, records)
    while position < len(lines):
        last = min(position + BATCH_LINES, len(lines))
        rows = _one_line_each(lines[position:last], form, records.header)
        if rows:
            records.starts.extend(range(position, last))
            _add(rows, records)
        else:
            last = _cut_slowly(cutter, position, last, records)
        position = last
    return records


def _begin(cutter: _Cutter, records: Records) -> int:
    """Set aside what is above the table and take the header; returns the line after it."""
    lines, form = cutter.lines, cutter.form
    for i, line in enumerate(lines[: form.skipped_lines]):
        if line.isspace():
            records.blank_lines += 1
        else:
            records.reject(lines, i, i + 1, ABOVE)
    position = form.skipped_lines
    for piece in cutter.cut(position, len(lines)) if form.has_header else ():
        position = piece.end
        if piece.row:
            records.header, records.header_lines = piece.row, piece.end - piece.start
            break
        _set_aside(cutter, piece, records)
    return position


def _one_line_each(lines: list[str], form: RecordFormat, header: list[str]) -> list[list[str]]:
    """The records of these lines where each is one line, none is broken, and none is the header again."""
    reader = form.reader(lines)
    try:
        rows = list(reader)
    except csv.Error:
        return []
    if len(rows) != len(lines) or not {form.width}.issuperset(map(len, rows)):
        return []
    if form.width == 1:
        return [] if any(map(str.isspace, lines)) else rows
    return [] if header in rows else rows


def _cut_slowly(cutter: _Cutter, first: int, last: int, records: Records) -> int:
    """Read the records that begin in these lines one by one; returns the line after the last of them."""
    width, rows, piece = cutter.form.width, [], None
    for piece in cutter.cut(first, last):
        if len(piece.row) == width and (width == 1 or piece.row != records.header):
            rows.append(piece.row)
            records.starts.append(piece.start)
            if piece.end - piece.start > 1:
                records.ends[piece.start] = piece.end
        else:
            _set_aside(cutter, piece, records)
    _add(rows, records)
    return max(last, piece.end if piece else last)


def _set_aside(cutter: _Cutter, piece: Piece, records: Records) -> None:
    start, end, row, reason = piece
    if not row and not reason:
        records.blank_lines += 1
        return
    if row and row == records.header:
        reason = HEADER_AGAIN
    elif not reason:
        reason = f"expected {count(cutter.form.width, 'field')}, found {len(row)}"
        if len(row) < cutter.form.width and end - start == 1:
            records.short[start] = row
    records.reject(cutter.lines, start, end, reason)


def _add(rows: list[list[str]], records: Records) -> None:
    # A batch at a time, so that the lists of the rows die young: a million of them alive make every garbage
    # collection slow.
    for column, values in zip(records.columns, zip(*rows, strict=True), strict=False):
        column.extend(values)


# Records that were put together wrongly


def _swallowed(lines: list[str], form: RecordFormat, records: Records) -> set[int]:
    """First lines of records in which a quotation mark that was not closed took in whole other records.

    Each line of such a record is as wide as a record by itself, and in one column all of them hold values
    that other rows hold too: their labels.
    """
    suspects = {
        start: lines[start:end]
        for start, end in records.ends.items()
        if all(map(form.fits_alone, lines[start:end]))
    }
    if not suspects:
        return set()
    values = [set(filter(str.strip, column)) for column in records.columns]
    return {start for start, span in suspects.items() if _share_a_value(span, form, values)}


def _share_a_value(lines: list[str], form: RecordFormat, values: list[set[str]]) -> bool:
    rows = [form.split_plainly(line) for line in lines]
    return any(all(row[i].strip(form.quotechar) in values[i] for row in rows) for i in range(form.width))


# Records that were broken over several lines


def _join_broken(lines: list[str], form: RecordFormat, records: Records) -> None:
    """Put together the lines of a record that was broken without quotation marks, where it is unambiguous.

    Neighbouring lines with too few fields are one record if together they have as many as a record, if every
    field looks like its column, and if no line but the first looks like the beginning of a record.
    """
    kinds = [_kind(column) for column in records.columns] if len(records.short) > 1 else []
    joined = []
    for start, end in _broken(records.short, kinds):
        row = _one_row([records.short[i] for i in range(start, end)], lines[start:end])
        if len(row) == form.width and all(map(_fits_kind, row, kinds)):
            joined.append((start, end, row))
    if joined:
        _insert(joined, records)


def _broken(short: dict[int, list[str]], kinds: list[frozenset[str] | None]) -> Iterator[tuple[int, int]]:
    """First line and line after the last of neighbours of which the first alone begins like a record."""
    begins = [i for i, row in short.items() if _fits_kind(row[0], kinds[0])] if kinds else []
    for start in begins:
        end = start + 1
        while end in short and not _fits_kind(short[end][0], kinds[0]) and end - start < MAX_BROKEN_LINES:
            end += 1
        if end - start > 1:
            yield start, end


def _one_row(rows: list[list[str]], lines: list[str]) -> list[str]:
    whole = list(rows[0])
    for row, line in zip(rows[1:], lines, strict=False):
        whole[-1] += line[len(line.rstrip("\r\n")) :] + row[0]
        whole += row[1:]
    return whole


def _kind(column: list[str]) -> frozenset[str] | None:
    """What a value of this column looks like: one of these, a number (no values), or anything (None)."""
    filled = [value for value in column if value.strip()]
    if filled and sum(map(is_number, filled)) >= 0.9 * len(filled):
        return frozenset()
    values = frozenset(column)
    return values if len(column) >= VOCABULARY_ROWS and len(values) <= len(column) / 5 else None


def _fits_kind(value: str, kind: frozenset[str] | None) -> bool:
    return kind is None or (value in kind if kind else is_number(value))


def _insert(joined: list[tuple[int, int, list[str]]], records: Records) -> None:
    """Move lines that are one record from the rejected ones to their place among the records."""
    taken = {i for start, end, _ in joined for i in range(start, end)}
    records.rejected = [row for row in records.rejected if row.line - 1 not in taken]
    records.rejected_lines -= len(taken)
    records.ends.update((start, end) for start, end, _ in joined)
    starts = [*records.starts, *(start for start, _, _ in joined)]
    order = sorted(range(len(starts)), key=starts.__getitem__)
    records.starts = [starts[i] for i in order]
    for number, column in enumerate(records.columns):
        values = [*column, *(row[number] for _, _, row in joined)]
        records.columns[number] = [values[i] for i in order]
