"""Lines become records: delimiter, quotation marks, header, and each record either whole or set aside.

The records are cut by Python's own `csv` module in strict mode (RFC 4180: quotation marks are doubled inside
of a quoted field). Strict mode turns a quotation mark that is never closed into an error instead of a field
that swallows the rest of the file; that one physical line is set aside, and reading goes on with the next.
"""

import csv
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from core.data.decoding import LONE_SURROGATE
from core.data.names import KNOWN_NAMES, folded
from core.words import count

RAW_CHARACTERS = 500
SAMPLE_RECORDS = 2_000
BATCH_LINES = 128
# In this order: where two fit equally well, the one that is rarer in prose is meant.
DELIMITERS = ("\t", "|", ";", ",")
# Stands for "a line is one field": a character that text does not hold.
NO_DELIMITER = "\x1f"
# A first record with more fields than this is not looked at for names.
NAMED_COLUMNS = 2_000
NUMBER = re.compile(r"[-+]?[\d.,:/ %€$£-]*\d[\d.,:/ %€$£-]*")
NEVER_CLOSED = "a quotation mark opens a field and is never closed"
NOT_DOUBLED = "a quotation mark inside a quoted field is not doubled"


@dataclass(frozen=True)
class RejectedRow:
    """A record that was set aside: its first physical line (from 1), why, and how it stands in the file."""

    line: int
    reason: str
    raw: str


@dataclass(frozen=True)
class Form:
    """How records are written: `width` is the number of fields, 0 while it is not known.

    `delimiter` is empty where a line is one field, `quotechar` is empty where quotation marks are plain text.
    """

    delimiter: str
    quotechar: str
    width: int = 0
    has_header: bool = False

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """A strict reader of these lines."""
        return csv.reader(
            lines,
            delimiter=self.delimiter or NO_DELIMITER,
            quotechar=self.quotechar or None,
            quoting=csv.QUOTE_MINIMAL if self.quotechar else csv.QUOTE_NONE,
            strict=True,
        )

    def unquoted(self) -> "Form":
        """The same with quotation marks as plain text; one column then needs no delimiter either."""
        return replace(self, quotechar="", delimiter=self.delimiter if self.width != 1 else "")

    def fits_alone(self, line: str) -> bool:
        """Whether this one line, its quotation marks taken as plain text, is as wide as a record."""
        return len(self.split_plainly(line)) == self.width

    def split_plainly(self, line: str) -> list[str]:
        """The fields of one line, its quotation marks taken as plain text."""
        line = line.rstrip("\r\n")
        return line.split(self.delimiter) if self.delimiter else [line]


@dataclass
class Records:
    """The records of a file: one list per column, header included, and what was set aside.

    Lines count from 0: record i begins on `starts[i]`; `ends` holds the line after it where it has several.
    """

    columns: list[list[str]]
    starts: list[int]
    ends: dict[int, int]
    rejected: list[RejectedRow]

    def span(self, index: int) -> tuple[int, int]:
        """First line of record `index` and the line after its last."""
        start = self.starts[index]
        return start, self.ends.get(start, start + 1)


def read_records(lines: list[str], form: Form) -> tuple[Form, Records]:
    """Read all lines; returns the form too, as quotation marks may turn out to be plain text."""
    records = _read(lines, form)
    if swallowed := _swallowed(lines, form, records):
        records = _read(lines, form, swallowed)
    if _may_be_unquoted(lines, form, records):
        plain_form = _completed(form.unquoted(), _sample(lines, form.unquoted()))
        plain = _read(lines, plain_form)
        if _fits_better(plain, records) and not _means_quoting(lines, form, len(records.rejected)):
            return plain_form, plain
    return form, records


def raw_text(lines: list[str]) -> str:
    """These lines as they are shown to people: cut, and with a mark for bytes that could not be decoded."""
    return LONE_SURROGATE.sub("\ufffd", "".join(lines).rstrip("\r\n")[:RAW_CHARACTERS])


# How the records are written


def choose_form(lines: list[str]) -> Form:
    """Choose delimiter, quotation mark, number of fields and header by the first records."""
    best_share, form, rows = 0.0, None, []
    for delimiter in DELIMITERS:
        candidate = Form(delimiter, _quotechar(lines[:SAMPLE_RECORDS], delimiter))
        records = _sample(lines, candidate)
        share = _share_like_first(records)
        if share > best_share:
            best_share, form, rows = share, candidate, records
    if form is None:
        form, rows = _one_column(lines)
    return _completed(form, rows)


def _sample(lines: list[str], form: Form) -> list[list[str]]:
    """The first records; a broken one is an empty list."""
    records = _Cutter(lines, form).cut(0, len(lines))
    return [row for _, _, row, _ in islice(records, SAMPLE_RECORDS)]


def _completed(form: Form, rows: list[list[str]]) -> Form:
    whole = [row for row in rows if row] or [[]]
    has_header = _has_header(whole)
    width = len(whole[0]) if has_header else Counter(map(len, whole)).most_common(1)[0][0]
    return replace(form, width=width, has_header=has_header)


def _quotechar(lines: list[str], delimiter: str) -> str:
    """The single mark only where most lines hold a field wrapped in it, and none one in double marks."""
    single, double = (
        sum(mark in line and bool(_wrapped(mark, delimiter).search(line)) for line in lines) for mark in "'\""
    )
    return "'" if not double and 2 * single > len(lines) else '"'


def _wrapped(quotechar: str, delimiter: str) -> re.Pattern[str]:
    edge, mark = re.escape(delimiter or NO_DELIMITER), re.escape(quotechar)
    return re.compile(rf"(?:^|{edge}){mark}((?:[^{mark}]|{mark}{mark})*+){mark}(?={edge}|[\r\n]|$)")


def _share_like_first(rows: list[list[str]]) -> float:
    """The share of records as wide as the first; 0 where that is no sign of the delimiter."""
    width = len(next((row for row in rows if row), []))
    if width < 2:
        return 0.0
    share = sum(len(row) == width for row in rows) / len(rows)
    return share if share >= 0.5 or _is_known(rows[0]) else 0.0


def _one_column(lines: list[str]) -> tuple[Form, list[list[str]]]:
    """Lines of one field: quoted as CSV where every line can be read so, else as they are."""
    quoted, plain = Form(",", '"'), Form("", "")
    rows = _sample(lines, quoted)
    if all(len(row) == 1 for row in rows):
        return quoted, rows
    return plain, _sample(lines, plain)


def _is_known(row: list[str]) -> bool:
    return any(folded(name) in KNOWN_NAMES for name in row[:NAMED_COLUMNS])


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first record names the columns rather than being a row."""
    first, rest = rows[0], rows[1:]
    if len(first) > NAMED_COLUMNS:
        return True
    known = _is_known(first)
    if known and first in rest:
        return True
    repeats = (sum(row[i : i + 1] == [name] for row in rest) for i, name in enumerate(first) if name)
    if max(repeats, default=0) > known:
        return False
    if known or any(_is_number_column(rest, i) and not _is_number(name) for i, name in enumerate(first)):
        return True
    return all(_may_be_name(name, len(first)) for name in first)


def _is_number(text: str) -> bool:
    return len(text) <= 40 and bool(NUMBER.fullmatch(text.strip()))


def _is_number_column(rows: list[list[str]], index: int) -> bool:
    values = [row[index] for row in rows if len(row) > index and row[index].strip()]
    return bool(values) and sum(map(_is_number, values)) >= 0.9 * len(values)


def _may_be_name(name: str, columns: int) -> bool:
    name = name.strip()
    if _is_number(name) or len(name) > 100 or name.endswith((".", "!")):
        return False
    return columns > 1 or (len(name.split()) <= 4 and not name.endswith("?"))


# The records themselves


@dataclass
class _Cutter:
    """Cuts lines into records. `alone` holds lines on which no record of several lines may begin."""

    lines: list[str]
    form: Form
    alone: Container[int] = ()
    wasted: int = 0

    def cut(self, first: int, last: int) -> Iterator[tuple[int, int, list[str], str]]:
        """Every record that begins in these lines as (first line, line after it, fields, "").

        A broken line comes as (line, line after it, [], reason).
        """
        position = first
        while position < last:
            start = position
            reader = self.form.reader(map(self.lines.__getitem__, range(start, self._stop(start))))
            try:
                for row in reader:
                    end = start + reader.line_num
                    if end - position > 1 and self._is_chance(position, end, row):
                        raise csv.Error(NEVER_CLOSED)
                    if row:
                        yield position, end, row, ""
                    position = end
                    if position >= last:
                        break
            except csv.Error as error:
                seen = start + reader.line_num - position
                self.wasted += seen
                inside = seen == 1 and "unexpected end" not in str(error)
                yield position, position + 1, [], NOT_DOUBLED if inside else NEVER_CLOSED
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


def _read(lines: list[str], form: Form, alone: Container[int] = ()) -> Records:
    records = Records([[] for _ in range(form.width)], [], {}, [])
    cutter = _Cutter(lines, form, alone)
    position = 0
    while position < len(lines):
        last = min(position + BATCH_LINES, len(lines))
        rows = _one_line_each(lines[position:last], form)
        if rows:
            records.starts.extend(range(position, last))
            _add(rows, records)
        else:
            last = _read_slowly(cutter, position, last, records)
        position = last
    return records


def _one_line_each(lines: list[str], form: Form) -> list[list[str]]:
    """The records of these lines where each is one line and none is broken; else nothing."""
    reader = form.reader(lines)
    try:
        rows = list(reader)
    except csv.Error:
        return []
    return rows if len(rows) == len(lines) and {form.width}.issuperset(map(len, rows)) else []


def _read_slowly(cutter: _Cutter, first: int, last: int, records: Records) -> int:
    """Read the records that begin in these lines one by one; returns the line after the last of them."""
    width, rows, end = cutter.form.width, [], last
    for start, end, row, reason in cutter.cut(first, last):
        if row and len(row) == width:
            rows.append(row)
            records.starts.append(start)
            if end - start > 1:
                records.ends[start] = end
        else:
            reason = reason or f"expected {count(width, 'field')}, found {len(row)}"
            records.rejected.append(RejectedRow(start + 1, reason, raw_text(cutter.lines[start:end])))
    _add(rows, records)
    return max(last, end)


def _add(rows: list[list[str]], records: Records) -> None:
    # A batch at a time, so that the lists of the rows die young: a million of them alive make every garbage
    # collection slow.
    for column, values in zip(records.columns, zip(*rows, strict=True), strict=False):
        column.extend(values)


def _swallowed(lines: list[str], form: Form, records: Records) -> set[int]:
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


def _share_a_value(lines: list[str], form: Form, values: list[set[str]]) -> bool:
    rows = [form.split_plainly(line) for line in lines]
    return any(all(row[i].strip(form.quotechar) in values[i] for row in rows) for i in range(form.width))


def _may_be_unquoted(lines: list[str], form: Form, records: Records) -> bool:
    """Whether to try quotation marks as plain text: not in CSV, where they are the rule."""
    if not form.quotechar or (form.width > 1 and form.delimiter in ",;"):
        return False
    if records.rejected or form.width == 1:
        return bool(records.rejected)
    spans = (lines[start:end] for start, end in records.ends.items())
    return bool(records.ends) and all(all(map(form.fits_alone, span)) for span in spans)


def _fits_better(plain: Records, quoted: Records) -> bool:
    """Fewer records set aside, or as none are, none that runs over several lines."""
    return len(plain.rejected) < len(quoted.rejected) or not (plain.rejected or quoted.rejected)


def _means_quoting(lines: list[str], form: Form, misfits: int) -> bool:
    """Whether quotation marks wrap fields in this file: on half of its lines, or doubled inside of fields."""
    pattern = _wrapped(form.quotechar, form.delimiter)
    wrapped = [match[1] for line in lines if form.quotechar in line and (match := pattern.search(line))]
    doubled = sum(2 * form.quotechar in inside for inside in wrapped)
    return 2 * len(wrapped) >= len(lines) or doubled > misfits
