"""JSON becomes a Table: an object per line, an array of objects, or an object that holds one or the columns.

Numbers keep the characters that they have in the file, `null` and missing keys become empty, and what is
nested is kept as JSON text. A broken record costs itself alone: reading goes on with the next line, or in an
array with the next line that opens an object.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from core.base.errors import UserError
from core.base.formatting import shorten
from core.data.reading.text.decoding import BLANK, LONE_SURROGATE, find_encoding, keep_broken
from core.data.reading.text.records import RAW_CHARACTERS, RejectedRow
from core.data.tables import (
    Dialect,
    Limits,
    LineCount,
    ReadOptions,
    Table,
    distinct_names,
    text_frame,
    too_many_cells,
    too_many_columns,
    too_many_rows,
)

SAMPLE_LINES = 1_000
OPENING_BYTES = 4_096
PIECE_CHARACTERS = 4_096
# What is nested takes many times its characters in memory.
LONGEST_RECORD = 16**3 * PIECE_CHARACTERS
# No word or number of JSON is longer than this and cut in two at the end of a piece, but what is broken.
LONGEST_WORD = 20
# In passes over the whole text.
MOST_EFFORT = 10
WHITE = re.compile(r"[ \t\r\n\ufeff]*")
KEY = re.compile(r'\{[ \t\r\n]*"(?:[^"\\\r\n]|\\.)*"[ \t\r\n]*:')
NEXT_OBJECT = re.compile(r"[\r\n][ \t]*(?=\{)")
KINDS = {str: "a text", bool: "true or false", list: "an array", type(None): "null"}
NOT_WHOLE = "a character that is not whole (half of a pair, or bytes that are not in the encoding)"
TOO_DEEP = "nested too deeply"
ONE_OBJECT_EACH = "Write it as JSON Lines: one object per line, with the same keys in each."


class _Number(str):
    """A number as the characters that stand for it in the file."""

    __slots__ = ()


class _Repeated(list):
    """The pairs of an object in which a key stands twice."""


def _after_white(text: str, start: int = 0) -> int:
    """Where the white space ends that begins here; `start` itself where there is none."""
    found = WHITE.match(text, start)
    assert found is not None  # The pattern also fits nothing.
    return found.end()


def may_be_json(content: bytes) -> bool:
    """Whether the first character is one that JSON begins with; says nothing about the rest."""
    return content[:OPENING_BYTES].lstrip(BLANK)[:1] in (b"{", b"[")


def read(content: bytes, limits: Limits, choice: ReadOptions) -> Table | None:
    """Read JSON; None where it only begins like JSON.

    Raises:
        UserError: nested too deeply, cut off, not a table, without rows, or with too many rows or columns.
    """
    encoding = find_encoding(content, choice.encoding)
    text = _decode(content, encoding)
    lines = list(io.StringIO(text, newline=""))
    if are_objects(lines):
        return _read_lines(lines, encoding, limits)
    start = _after_white(text)
    try:
        pieces = _array(text, start + 1) if text[start : start + 1] == "[" else _objects(text, start)
    except RecursionError:
        if text.rstrip()[-1:] in ("]", "}"):
            raise _not_a_table("JSON that is nested too deeply", ONE_OBJECT_EACH) from None
        return None
    return None if pieces is None else _table(pieces, "json", encoding, limits)


# Lines


def _decode(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding, keep_broken(encoding))
    except UnicodeDecodeError:
        return content.decode(encoding, "replace")


def are_objects(lines: Iterable[str]) -> bool:
    """Whether at least half of the first lines, of two or more, are objects."""
    sample = list(islice((line for line in lines if not line.isspace()), SAMPLE_LINES))
    objects = sum(line.lstrip(" \t\ufeff").startswith("{") and _decodes(line) for line in sample)
    return len(sample) > 1 and 2 * objects >= len(sample)


def records_of_lines(
    lines: Iterable[str], limits: Limits
) -> Iterator[tuple[int, dict[str, str] | None, RejectedRow | None]]:
    """The records of JSON Lines: the line (from 1), the record as text, or how it was set aside."""
    for number, line in enumerate(lines, 1):
        if not line.isspace():
            record, reason = _record(_decode_value(line)[0], limits)
            yield number, record, RejectedRow(number, reason, _shown(line)) if record is None else None


def _decodes(line: str) -> bool:
    return not isinstance(_decode_value(line)[0], _Broken)


def _read_lines(lines: list[str], encoding: str, limits: Limits) -> Table:
    pieces = (
        (number, line, _decode_value(line)[0]) for number, line in enumerate(lines, 1) if not line.isspace()
    )
    table = _table(pieces, "jsonl", encoding, limits)
    blank = sum(map(str.isspace, lines))
    counted = LineCount(len(lines), 0, len(table.frame), len(table.rejected), blank)
    return replace(table, line_count=counted)


# Values


@dataclass(frozen=True)
class _Broken:
    """What stands where a value should be, and why it is none."""

    reason: str
    may_be_cut: bool = False
    effort: int = 0
    """The characters that were read to find out."""


Piece = tuple[int, str, Any]
"""A record: its number (the line or the place in the array, from 1), how it stands in the file, its value."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    record = dict(pairs)
    return record if len(record) == len(pairs) else _Repeated(pairs)


_DECODER = json.JSONDecoder(
    parse_float=_Number,
    parse_int=_Number,
    parse_constant=_Number,
    object_pairs_hook=_object,
    # Tabs and other control characters inside of texts are what people mean, though RFC 8259 forbids them.
    strict=False,
)


def _decode_value(line: str) -> tuple[Any, int]:
    """The one value on a line."""
    start = _after_white(line)
    value, end = _decode_at(line, start)
    if not isinstance(value, _Broken) and (end := _after_white(line, end)) < len(line):
        value = _Broken(f"broken JSON at character {end + 1}: more than one value")
    return value, end


def _decode_at(text: str, start: int) -> tuple[Any, int]:
    """The record that begins here and where it ends; a `_Broken` one ends nowhere."""
    # An error counts the lines of all that stands before it: in the whole text that takes long. Most records
    # are in a short piece of it, and a longer one is tried where the record may go on.
    size = PIECE_CHARACTERS
    while True:
        piece = text[start : start + size]
        value, end = _decode_in(piece, 0)
        may_go_on = isinstance(value, _Broken) and value.may_be_cut and len(piece) == size
        if not may_go_on:
            return value, start + end
        if size >= LONGEST_RECORD:
            return _Broken(f"a record of more than {size:,} characters", effort=value.effort), start
        size *= 16


def _decode_in(text: str, start: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        place = error.pos - start + 1
        may_be_cut = error.pos >= len(text) - LONGEST_WORD or error.msg.startswith("Unterminated")
        reason = f"broken JSON at character {place:,} of the record: {error.msg}"
        return _Broken(reason, may_be_cut, place), start
    except RecursionError:
        return _Broken(TOO_DEEP), start


# Arrays, and objects one after another


def _array(text: str, start: int) -> Iterator[Piece] | None:
    """The elements of an array; None where what stands here is no array of objects."""
    position = _after_white(text, start)
    first, end = _decode_at(text, position)
    if isinstance(first, _Broken):
        if first.reason == TOO_DEEP:
            raise RecursionError
        is_empty = text[position:].rstrip() == "]"
        return _walk(text, start) if is_empty or KEY.match(text, position) else None
    after = text[_after_white(text, end) :][:1]
    if after not in (",", "]", "{", ""):
        return None
    if not isinstance(first, dict | _Repeated):
        raise _not_a_table(f"a JSON array of {_kind(first)} and so on", ONE_OBJECT_EACH)
    return _walk(text, start)


def _walk(text: str, position: int, comma: str = ",", bracket: str = "]") -> Iterator[Piece]:
    """The values from here to the closing bracket, or where none is expected to the end of the text."""
    number, wasted = 1, 0
    while (position := _after_white(text, position)) < len(text):
        if text[position] == bracket:
            if rest := text[position + 1 :].strip():
                yield number, rest, _Broken("more stands after the end of the array")
            return
        value, end = _decode_at(text, position)
        after = _after_white(text, end)
        if not isinstance(value, _Broken) and text[after : after + 1] not in (comma, bracket, ""):
            value = value if not comma else _Broken(f"a comma is missing after character {end - position:,}")
        if isinstance(value, _Broken):
            wasted += value.effort
            # Going back is cheap once and dear a thousand times: past a budget the rest is one record.
            found = NEXT_OBJECT.search(text, position + 1) if wasted <= MOST_EFFORT * len(text) else None
            after = found.end() if found else len(text)
        yield number, text[position : min(max(end, after), position + RAW_CHARACTERS)], value
        position = after + 1 if comma and text[after : after + 1] == comma else after
        number += 1
    if bracket and not isinstance(value, _Broken):
        yield number, "", _Broken("the array is cut off: its closing bracket is missing")


def _objects(text: str, start: int) -> Iterator[Piece] | None:
    """The records of a document, or of objects one after another; None where the text is neither."""
    value, end = _decode_in(text, start)
    if isinstance(value, _Broken):
        if value.reason == TOO_DEEP:
            raise RecursionError
        if KEY.match(text, start):
            raise _not_a_table(f"an object that is not whole: {value.reason}", ONE_OBJECT_EACH)
        return None
    after = _after_white(text, end)
    if after == len(text):
        return ((i, _raw(record), record) for i, record in enumerate(_records(value), 1))
    return _walk(text, start, "", "") if text[after] == "{" else None


# Documents


def _records(document: dict[str, Any] | _Repeated) -> Iterable[Any]:
    """The records of one object: those of the list in it, of its columns, or the object itself."""
    if isinstance(document, _Repeated):
        raise _not_a_table("an object in which a key stands twice", ONE_OBJECT_EACH)
    lists = {key: value for key, value in document.items() if isinstance(value, list) and value}
    if _is_split(document):
        return (dict(zip(document["columns"], row, strict=False)) for row in document["data"])
    of_objects = [key for key, value in lists.items() if isinstance(value[0], dict)]
    if len(of_objects) == 1:
        return document[of_objects[0]]
    if of_objects:
        names = ", ".join(shorten(key, 40) for key in of_objects[:5])
        raise _not_a_table(f"an object with several lists of objects: {names}", ONE_OBJECT_EACH)
    if lists and len(lists) == len(document) and len(set(map(len, lists.values()))) == 1:
        # One by one: as dictionaries they take many times the memory of their columns.
        return (dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True))
    if document and all(isinstance(value, dict) and value for value in document.values()):
        return _keyed(document)
    if not document or any(isinstance(value, dict | list) for value in document.values()):
        raise _not_a_table("an object in which no list of objects was found", ONE_OBJECT_EACH)
    return [document]


def _is_split(document: dict[str, Any]) -> bool:
    """Whether it is written as pandas' orient="split" does: names of columns, and rows as arrays."""
    columns, rows = document.get("columns"), document.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return False
    named = all(type(name) in (str, _Number) for name in columns) and len(set(columns)) == len(columns)
    return named and all(isinstance(row, list) and len(row) == len(columns) for row in rows)


def _keyed(document: dict[str, dict[str, Any]]) -> Iterable[Any]:
    """Records of objects in an object: by column and row number, or by the number of the record."""
    first = next(iter(document.values()))
    if all(map(str.isdecimal, first)) and all(value.keys() == first.keys() for value in document.values()):
        return ({name: column[row] for name, column in document.items()} for row in first)
    if all(map(str.isdecimal, document)):
        return document.values()
    raise _not_a_table("objects in an object that are neither columns nor numbered records", ONE_OBJECT_EACH)


# Records become a table


@dataclass
class _Columns:
    """The columns as they grow, with the numbers of their rows."""

    values: dict[str, list[str]] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)

    def add(self, number: int, record: dict[str, str], limits: Limits) -> None:
        new = [name for name in record if name not in self.values]
        _check_size(len(self.numbers) + 1, len(self.values) + len(new), limits)
        for name in new:
            self.values[name] = [""] * len(self.numbers)
        for name, column in self.values.items():
            column.append(record.get(name, ""))
        self.numbers.append(number)


def _table(pieces: Iterable[Piece], form: str, encoding: str, limits: Limits) -> Table:
    columns, rejected = _Columns(), []
    for number, raw, value in pieces:
        record, reason = _record(value, limits)
        if record is None:
            rejected.append(RejectedRow(number, reason, _shown(raw)))
            _check_rows(len(columns.numbers) + len(rejected), limits)
        else:
            columns.add(number, record, limits)
    if not columns.numbers or not columns.values:
        raise _no_rows(rejected, form)
    names = distinct_names(list(columns.values))
    return Table(
        text_frame(dict(zip(names, columns.values.values(), strict=True))),
        Dialect(form, encoding, "", "", has_header=True),
        rejected,
        np.array(columns.numbers, dtype=np.int64),
    )


def _record(value: Any, limits: Limits) -> tuple[dict[str, str] | None, str]:  # noqa: ANN401 - any JSON value
    """The record as text, or None and why it is none."""
    if isinstance(value, _Broken):
        return None, value.reason
    if isinstance(value, _Repeated):
        return None, f"the key {shorten(_twice(value), 80)!r} stands twice"
    if not isinstance(value, dict):
        return None, f"expected an object, found {_kind(value)}"
    try:
        record = {key: _text(field_value) for key, field_value in value.items()}
    except RecursionError:
        return None, TOO_DEEP
    for key, text in record.items():
        if len(text) > limits.field_characters:
            return (
                None,
                f"a field of {len(text):,} characters; at most {limits.field_characters:,} are read",
            )
        if not text.isascii() and LONE_SURROGATE.search(text):
            return None, f"{NOT_WHOLE} in {shorten(key, 80)!r}"
    return record, ""


def _twice(pairs: _Repeated) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("no key comes twice")


def _kind(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return "a number" if isinstance(value, _Number) else KINDS.get(type(value), "an object")


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if type(value) is str:
        return value
    if value is None:
        return ""
    return _json(value)


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """JSON text of a value, its numbers as they stand in the file."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict | _Repeated):
        pairs = value.items() if isinstance(value, dict) else value
        return "{" + ", ".join(f"{_quoted(key)}: {_json(item)}" for key, item in pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _raw(record: Any) -> str:  # noqa: ANN401 - any JSON value
    """The record as it is shown should it be rejected: an object is, for what its fields hold."""
    with suppress(RecursionError):
        return _json(record)
    return ""


def _shown(raw: str) -> str:
    return LONE_SURROGATE.sub("\ufffd", raw.strip()[:RAW_CHARACTERS])


# What is refused


def _check_rows(rows: int, limits: Limits) -> None:
    if rows > limits.rows:
        raise too_many_rows(f"more than {limits.rows:,}", limits)


def _check_size(rows: int, width: int, limits: Limits) -> None:
    _check_rows(rows, limits)
    if width > limits.columns:
        raise too_many_columns(f"{width:,} different keys", limits)
    if rows * width > limits.bytes:
        raise too_many_cells(rows, width, limits)


def _no_rows(rejected: list[RejectedRow], form: str) -> UserError:
    if not rejected:
        return _not_a_table("JSON without any record", "Choose the file that holds your texts and labels.")
    unit = "line" if form == "jsonl" else "record"
    first = rejected[0]
    return UserError(
        "at least one record that can be read",
        f"{len(rejected):,} that cannot; the first, {unit} {first.line:,}: {first.reason}",
        ONE_OBJECT_EACH,
    )


def _not_a_table(found: str, remedy: str) -> UserError:
    return UserError("a table: JSON objects, one for each row", found, remedy)
