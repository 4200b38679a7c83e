"""Large files in which every line is one whole record, read by Arrow: several times as fast as line by line.

That they are so is proved from their bytes first. Where it is not so, nothing is read here, and the records
are cut one by one, which gives the same table for a file that is clean.
"""

import codecs
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from core.data.reading.text.decoding import LONE_SURROGATE, first_lines, needs_closer_look
from core.data.reading.text.dialects import SAMPLE_LINES, choose_form
from core.data.reading.text.records import RecordFormat, cut_pieces
from core.data.tables import Limits, ReadOptions

SMALLEST_BYTES = 1024 * 1024
"""Smaller files take no time either way."""

BLOCK_BYTES = 16 * 1024 * 1024
LINE_FEED, CARRIAGE_RETURN = 10, 13


def read_clean(
    content: bytes, encoding: str, limits: Limits, choice: ReadOptions
) -> tuple[RecordFormat, list[str], pa.Table] | None:
    """The form, the header (empty without one) and the columns of a clean file; None of any other."""
    if encoding not in ("utf-8", "utf-8-sig", "ascii") or len(content) < SMALLEST_BYTES:
        return None
    lines = first_lines(content, encoding, SAMPLE_LINES)
    if choice.skipped_lines or needs_closer_look(lines) or not "".join(lines[:2]).strip():
        return None
    form = choose_form(lines, choice)
    header = next(piece.row for piece in cut_pieces(lines, form)) if form.has_header else []
    if not _is_simple(form, header) or not _is_clean(content, form, limits):
        return None
    try:
        columns = _parse(content, form)
    except pa.ArrowInvalid:  # Bytes that are not UTF-8, or a line that is longer than a block.
        return None
    return None if not len(columns) or _repeats(header, columns) else (form, header, columns)


def _is_simple(form: RecordFormat, header: list[str]) -> bool:
    return (
        form.width > 1
        and len(header) == form.width * form.has_header
        and not LONE_SURROGATE.search("".join(header))
        and form.skipped_lines == 0
        and not form.escapechar
        and not form.skipinitialspace
        and len(form.delimiter) == 1
        and form.delimiter.isascii()
    )


def _is_clean(content: bytes, form: RecordFormat, limits: Limits) -> bool:
    """Whether every line has as many fields as the form, its marks in place, and no field too long."""
    if (
        content.startswith(2 * codecs.BOM_UTF8)
        or b"\0" in content
        or content.count(b"\r") != content.count(b"\r\n")
    ):
        return False
    return all(_is_clean_block(block, form, limits) for block in _blocks(content))


def _blocks(content: bytes) -> Iterator[np.ndarray]:
    """Whole lines, about so many bytes at a time; a last one without an end gets one."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start + BLOCK_BYTES) + 1 or len(content)
        block = content[start:end]
        yield np.frombuffer(block if block.endswith(b"\n") else block + b"\n", dtype=np.uint8)
        start = end


def _is_clean_block(block: np.ndarray, form: RecordFormat, limits: Limits) -> bool:
    ends = np.flatnonzero(block == LINE_FEED)
    starts = np.concatenate([[0], ends[:-1] + 1])
    delimiters = np.flatnonzero(block == ord(form.delimiter))
    if (ends - starts).max() > limits.field_characters:
        return False
    if form.quotechar:
        marks = np.flatnonzero(block == ord(form.quotechar))
        if not _are_in_place(marks, ends, block, form):
            return False
        # Between an opening and a closing mark a delimiter is text.
        delimiters = delimiters[np.searchsorted(marks, delimiters) % 2 == 0]
    if len(delimiters) != (form.width - 1) * len(ends):
        return False
    by_line = delimiters.reshape(len(ends), form.width - 1)
    return bool((by_line[:, 0] >= starts).all() and (by_line[:, -1] < ends).all())


def _are_in_place(marks: np.ndarray, ends: np.ndarray, block: np.ndarray, form: RecordFormat) -> bool:
    """Whether marks open a field where it begins and close it where it ends, on one line, or are doubled.

    Of a doubled mark the first counts as closing and the second as opening again.
    """
    if len(marks) % 2 or (np.searchsorted(marks, ends) % 2).any():
        return False
    opening, closing = marks[::2], marks[1::2]
    again = np.zeros(len(opening), dtype=bool)
    again[1:] = opening[1:] == closing[:-1] + 1
    before = block[opening - 1]
    begins = again | (opening == 0) | (before == ord(form.delimiter)) | (before == LINE_FEED)
    after = block[closing + 1]
    doubled = np.append(again[1:], False)[: len(closing)]
    ended = doubled | np.isin(after, (ord(form.delimiter), LINE_FEED, CARRIAGE_RETURN))
    return bool(begins.all() and ended.all())


def _parse(content: bytes, form: RecordFormat) -> pa.Table:
    names = [str(i) for i in range(form.width)]
    return csv.read_csv(
        pa.BufferReader(content),
        csv.ReadOptions(
            column_names=names, skip_rows=int(form.has_header), block_size=BLOCK_BYTES, encoding="utf8"
        ),
        csv.ParseOptions(
            delimiter=form.delimiter, quote_char=form.quotechar or False, ignore_empty_lines=False
        ),
        csv.ConvertOptions(column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False),
    )


def _repeats(header: list[str], columns: pa.Table) -> bool:
    """Whether a row is the header again."""
    if not header:
        return False
    same = pc.equal(columns.column(0), header[0])
    for column, name in zip(columns.columns[1:], header[1:], strict=True):
        same = pc.and_(same, pc.equal(column, name))
    return bool(pc.any(same).as_py())
