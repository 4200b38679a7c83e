"""How the records of a file are written: what is above the table, delimiter, quotation marks, header."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice

from core.base.errors import UserError
from core.data.column_names import KNOWN_NAMES, folded
from core.data.reading.text.records import (
    ALIGNED,
    NEVER_CLOSED,
    STAND_IN,
    Piece,
    RecordFormat,
    Records,
    cut_pieces,
    cut_records,
    is_number,
)
from core.data.tables import GUESS, ReadOptions

SAMPLE_RECORDS = 2_000
SAMPLE_LINES = 20_000
# In this order: where two fit equally well, the one that is rarer in prose is meant.
DELIMITERS = ("\t", "|", ";", ",")
# These need more evidence than that the lines hold them.
RARE_BEFORE = ("\x01", "\x1f", "^", "¦", "~", "::", "||")
RARE_AFTER = (ALIGNED, ":")
RARE = frozenset((*RARE_BEFORE, *RARE_AFTER))
QUOTATION_MARKS = ('"', "'")
COMMENT_MARKS = ("#", "//", "--", "%", "!")
MAX_PREAMBLE = 100
MAX_TITLES = 20
# A first record with more fields than this is not looked at for names.
NAMED_COLUMNS = 2_000
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "?", "."))
SENTENCE_ENDS = (".", "!", "。", "！", "？", "…", "؟")


@dataclass(frozen=True)
class _Fit:
    """How well a form fits: the share of records from the table's first one that are as wide as it."""

    share: float
    form: RecordFormat
    rows: list[list[str]]


def choose_form(lines: list[str], choice: ReadOptions = GUESS) -> RecordFormat:
    """Choose how records are written by the first ones; what a person chose is taken as it is.

    Raises:
        UserError: the choice is impossible.
    """
    _check(choice, lines)
    sample = lines[:SAMPLE_LINES]
    if choice.delimiter is not None:
        return _completed(_best(sample, (choice.delimiter,), choice), choice)
    best = _best(sample, (*RARE_BEFORE, *DELIMITERS, *RARE_AFTER), choice)
    return _completed(best if best.share else _one_column(sample, choice), choice)


def read_records(
    lines: list[str], form: RecordFormat, choice: ReadOptions = GUESS
) -> tuple[RecordFormat, Records]:
    """Read all lines; returns the form too, as quotation marks may turn out to mean something else."""
    records = cut_records(lines, form)
    for variant in _variants(form, [row.raw for row in records.rejected])[1:]:
        other = cut_records(lines, variant)
        if len(other.rejected) < len(records.rejected):
            form, records = variant, other
    if choice.quotechar is None and _may_be_unquoted(lines, form, records):
        unquoted = form.unquoted() if choice.delimiter is None else replace(form, quotechar="", escapechar="")
        plain_choice = replace(choice, skipped_lines=form.skipped_lines)
        plain_form = _completed(_fit(lines[:SAMPLE_LINES], unquoted, plain_choice), choice)
        plain = cut_records(lines, plain_form)
        if _fits_better(plain, records) and not _means_quoting(lines, form, len(records.rejected)):
            return plain_form, plain
    return form, records


def signs_of_variants(form: RecordFormat, raw: list[str]) -> bool:
    """Whether these rejected records hold a sign that makes `read_records` try a variant of the form."""
    return len(_variants(form, raw)) > 1


def _check(choice: ReadOptions, lines: list[str]) -> None:
    """Refuse what cannot be honoured."""
    delimiter, quotechar = choice.delimiter, choice.quotechar
    if delimiter is not None and (len(delimiter) > 8 or set(delimiter) & set("\r\n\"'" + STAND_IN)):
        raise UserError(
            "a delimiter of at most 8 characters without quotation marks and line breaks",
            repr(delimiter[:20]),
            "Choose the sign that separates the columns, such as a comma or a tab.",
        )
    if quotechar is not None and quotechar not in ("", *QUOTATION_MARKS):
        raise UserError(
            "a double or a single quotation mark, or none",
            repr(quotechar[:20]),
            "Choose the mark that fields are wrapped in.",
        )
    if choice.skipped_lines is not None and not 0 <= choice.skipped_lines < len(lines):
        raise UserError(
            f"from 0 to {len(lines) - 1:,} lines above the table in a file of {len(lines):,} lines",
            f"{choice.skipped_lines:,}",
            "Choose fewer lines, so that the table remains.",
        )


# Delimiter


def _best(lines: list[str], delimiters: tuple[str, ...], choice: ReadOptions) -> _Fit:
    best = None
    filled = [line for line in lines if not line.isspace()]
    for delimiter in delimiters:
        if len(delimiters) > 1 and delimiter in RARE and not _is_on_most(delimiter, filled):
            continue
        quotechar = _quotechar(lines[:SAMPLE_RECORDS], delimiter, choice)
        for form in _variants(RecordFormat(delimiter, quotechar), lines):
            fit = _fit(lines, form, choice)
            if best is None or fit.share > best.share:
                best = fit
    assert best is not None  # There is a form for one delimiter at least.
    return best


def _is_on_most(delimiter: str, lines: list[str]) -> bool:
    return sum(delimiter in line for line in lines) >= 0.9 * len(lines)


def _variants(form: RecordFormat, lines: list[str]) -> list[RecordFormat]:
    """The form, and where lines hold a sign of it: with escaped marks, with spaces after delimiters."""
    variants, mark = [form], form.quotechar
    if mark and not form.escapechar and any("\\" + mark in line for line in lines):
        variants.append(replace(form, escapechar="\\"))
    spaced = f"{form.delimiter} {mark}" if mark and form.delimiter and not form.skipinitialspace else None
    if spaced and any(spaced in line for line in lines):
        variants += [replace(variant, skipinitialspace=True) for variant in variants]
    return variants


def _fit(lines: list[str], form: RecordFormat, choice: ReadOptions) -> _Fit:
    form = replace(form, skipped_lines=choice.skipped_lines or 0)
    pieces = _sample(lines, form)
    rows = [piece.row for piece in pieces]
    if choice.skipped_lines is not None:
        return _Fit(_share(rows, form.delimiter, choice), form, rows)
    first = _table_start(rows, form.delimiter, choice)
    form = replace(form, skipped_lines=pieces[first].start) if pieces else form
    return _Fit(_share(rows[first:], form.delimiter, choice), form, rows[first:])


def _sample(lines: list[str], form: RecordFormat) -> list[Piece]:
    """The first records and broken lines."""
    pieces = [piece for piece in islice(cut_pieces(lines, form), SAMPLE_RECORDS) if piece.row or piece.reason]
    # The end of the sample may cut a record in two.
    while len(lines) == SAMPLE_LINES and pieces and pieces[-1].reason == NEVER_CLOSED:
        pieces.pop()
    return pieces


def _share(rows: list[list[str]], delimiter: str, choice: ReadOptions) -> float:
    """The share of records as wide as the table; 0 where that is no sign of the delimiter."""
    width = len(next((row for row in rows if row), []))
    if len(rows) > 1 and (fitting := _fitting_header(rows)):
        width = fitting
    share = sum(len(row) == width for row in rows) / len(rows) if rows else 0.0
    if choice.delimiter is not None:
        return share
    if width < 2 or _is_prose(rows, delimiter):
        return 0.0
    if delimiter in RARE:
        clear = delimiter < " " or _is_tabular(rows)
        return share if share >= 0.95 and len(rows) >= 3 and clear else 0.0
    return share if share >= 0.5 or is_known(rows[0]) else 0.0


def _is_prose(rows: list[list[str]], delimiter: str) -> bool:
    """Whether delimiters are punctuation: one line, or few of different width, with a space after each."""
    if len(rows) > 4 or delimiter not in ",;:、" or is_known(rows[0]):
        return False
    if len(rows) > 1 and len(set(map(len, rows))) == 1:
        return False
    after = [field for row in rows for field in row[1:]]
    return bool(after) and all(field.startswith(" ") or not field for field in after)


def _is_tabular(rows: list[list[str]]) -> bool:
    """Whether a column holds numbers, or few different short values, as labels are, or a name is known."""
    if is_known(rows[0]):
        return True
    return any(
        _is_number_column(rows, i) or _is_label_column([row[i] for row in rows if len(row) > i])
        for i in range(min(len(rows[0]), NAMED_COLUMNS))
    )


def _is_label_column(values: list[str]) -> bool:
    filled = [value for value in values if value.strip()]
    most = len(filled) // 2 if len(filled) >= 10 else len(filled) - 1
    return len(filled) > 1 and len(set(filled)) <= most and max(map(len, filled)) <= 60


def _one_column(lines: list[str], choice: ReadOptions) -> _Fit:
    """Lines of one field: quoted as CSV where every line can be read so, else as they are."""
    start = next((i for i, line in enumerate(lines) if not line.isspace()), 0)
    skipped = start if choice.skipped_lines is None else choice.skipped_lines
    choice = replace(choice, delimiter="", skipped_lines=skipped)
    quoted = _fit(lines, RecordFormat(",", '"' if choice.quotechar is None else choice.quotechar), choice)
    if quoted.form.quotechar and all(len(row) == 1 for row in quoted.rows):
        return quoted
    return _fit(lines, RecordFormat("", choice.quotechar or ""), choice)


# What is above the table


def _table_start(rows: list[list[str]], delimiter: str, choice: ReadOptions) -> int:
    """The position of the record with which the table begins."""
    if not rows:
        return 0
    if _share(rows, delimiter, choice) >= 0.5 or (len(rows[0]) > 1 and is_known(rows[0])):
        return _after_titles(rows)
    width = _usual_width([row for row in rows if len(row) > 1])
    start = next((i for i, row in enumerate(rows) if len(row) == width and not _is_comment(row)), 0)
    table = rows[start:]
    alike = sum(len(row) == width for row in table)
    clear = is_known(table[0]) or (len(table) >= 3 and _is_tabular(table))
    if width < 2 or start > MAX_PREAMBLE or len(table) < 2 or alike < 0.8 * len(table) or not clear:
        return 0
    has_header_above = start > 0 and _has_header_above(rows[start - 1 :])
    return start - 1 if has_header_above else start + _after_titles(table)


def _has_header_above(rows: list[list[str]]) -> bool:
    """Whether the first of these records is the header of the others, if of another width or after "#"."""
    if _is_comment(rows[0]):
        return len(rows[0]) == len(rows[1]) and not is_known(rows[1])
    return len(rows[0]) > 1 and bool(_fitting_header(rows))


def _usual_width(rows: list[list[str]]) -> int:
    widths = Counter(map(len, rows)).most_common(1)
    return widths[0][0] if widths else 0


def _after_titles(rows: list[list[str]]) -> int:
    """The number of first records that are titles or comments, written as wide as the table."""
    for i in range(1, min(len(rows), MAX_TITLES)):
        if all(map(_is_comment, rows[:i])) and is_known(rows[i]) and not _is_comment(rows[i]):
            return i
        if all(_is_title(row, rows[i]) for row in rows[:i]):
            return i
    return 0


def _is_comment(row: list[str]) -> bool:
    return bool(row) and row[0].lstrip().startswith(COMMENT_MARKS)


def _is_title(row: list[str], names: list[str]) -> bool:
    """Whether the record has one cell at most, above a record that names all columns."""
    if len(row) < 2 or sum(bool(cell.strip()) for cell in row) > 1 or not all(map(str.strip, names)):
        return False
    return is_known(names) or (len(names) > 2 and all(_may_be_name(name, len(names)) for name in names))


# Quotation marks


def _quotechar(lines: list[str], delimiter: str, choice: ReadOptions) -> str:
    """The single mark only where most lines hold a field wrapped in it, and none one in double marks."""
    if choice.quotechar is not None:
        return choice.quotechar
    if delimiter == ALIGNED:
        return ""
    single, double = (
        sum(mark in line and bool(_wrapped(mark, delimiter).search(line)) for line in lines) for mark in "'\""
    )
    return "'" if not double and 2 * single > len(lines) else '"'


def _wrapped(quotechar: str, delimiter: str) -> re.Pattern[str]:
    edge, mark = re.escape(delimiter or STAND_IN), re.escape(quotechar)
    return re.compile(rf"(?:^|{edge}){mark}((?:[^{mark}]|{mark}{mark})*+){mark}(?={edge}|[\r\n]|$)")


def _may_be_unquoted(lines: list[str], form: RecordFormat, records: Records) -> bool:
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


def _means_quoting(lines: list[str], form: RecordFormat, misfits: int) -> bool:
    """Whether quotation marks wrap fields in this file: on half of its lines, or doubled inside of fields."""
    pattern = _wrapped(form.quotechar, form.delimiter)
    wrapped = [match[1] for line in lines if form.quotechar in line and (match := pattern.search(line))]
    doubled = sum(2 * form.quotechar in inside for inside in wrapped)
    return 2 * len(wrapped) >= len(lines) or doubled > misfits


# Header and width


def _completed(fit: _Fit, choice: ReadOptions) -> RecordFormat:
    whole = [row for row in fit.rows if row] or [[]]
    has_header = names_columns(whole) if choice.has_header is None else choice.has_header
    width = (_fitting_header(whole) or len(whole[0])) if has_header else _usual_width(whole)
    return replace(fit.form, width=max(width, 1), has_header=has_header)


def _fitting_header(rows: list[list[str]]) -> int:
    """The number of fields of the rows where a header has another one and yet belongs to them; else 0.

    Every row ends in an empty field that the header lacks; the rows begin with numbers that no name stands
    above, as R writes them; the header names one column, or any number of nothing, beyond the last field.
    """
    header, rest = rows[0], [row for row in rows[1:] if row]
    width = _usual_width(rest)
    if width < 2 or len(header) in (width, 1) or sum(len(row) == width for row in rest) < 0.9 * len(rest):
        return 0
    if not all(_may_be_name(name, len(header)) for name in header):
        return 0
    alike = [row for row in rest if len(row) == width]
    if len(header) > width:
        surplus = header[width:]
        return width if len(surplus) == 1 or not any(map(str.strip, surplus)) else 0
    if len(header) != width - 1:
        return 0
    no_ends = not any(row[-1].strip() for row in alike)
    numbers = [row[0] for row in alike]
    numbered = len(set(numbers)) == len(numbers) and all(map(str.isdecimal, numbers))
    return width if no_ends or numbered else 0


def is_known(row: list[str]) -> bool:
    return any(folded(name) in KNOWN_NAMES for name in row[:NAMED_COLUMNS])


def names_columns(rows: list[list[str]]) -> bool:
    """Whether the first record names the columns rather than being a row."""
    first, rest = rows[0], rows[1:]
    if len(first) > NAMED_COLUMNS:
        return True
    known = is_known(first)
    if known and first in rest:
        return True
    whole = [row for row in rest if len(row) == len(first)] or rest
    if any(_names_numbers(name, whole, i) for i, name in enumerate(first)):
        return True
    repeats = (sum(row[i : i + 1] == [name] for row in rest) for i, name in enumerate(first) if name)
    if max(repeats, default=0) > known:
        return False
    return known or all(_may_be_name(name, len(first)) for name in first)


def _names_numbers(name: str, rows: list[list[str]], index: int) -> bool:
    is_name = not is_number(name) and name.strip().casefold() not in MISSING
    return is_name and _is_number_column(rows, index)


def _is_number_column(rows: list[list[str]], index: int) -> bool:
    values = [row[index] for row in rows if len(row) > index and row[index].strip()]
    return bool(values) and sum(map(is_number, values)) >= 0.9 * len(values)


def _may_be_name(name: str, columns: int) -> bool:
    name = name.strip()
    if is_number(name) or len(name) > 100 or name.endswith(SENTENCE_ENDS):
        return False
    return columns > 1 or (len(name) <= 40 and len(name.split()) <= 4 and not name.endswith("?"))
