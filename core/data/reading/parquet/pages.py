"""What a Parquet file says of its sizes is checked before Arrow unpacks anything.

Its footer may lie, and Arrow takes as much memory as a page claims to unpack to: the headers of all pages are
added up (Apache Parquet format, `FileMetaData` and `PageHeader`, in Thrift's compact protocol).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Any

from core.base.errors import UserError
from core.base.formatting import shorten
from core.data.tables import Limits, unpacks_to_more

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
WRITE_AS_CSV = "Write the table out anew, or as CSV, and choose that file."


def check_end(content: bytes | mmap) -> None:
    """Check that the file ends with a footer that is in it and not too large to be parsed.

    Raises:
        UserError: it does not.
    """
    length, magic = FOOTER_END.unpack(content[-FOOTER_END.size :])
    if magic != MAGIC:
        raise broken("its end is missing, or it is encrypted")
    if length > min(LONGEST_FOOTER, len(content) - FOOTER_END.size):
        raise broken(f"a footer of {length:,} bytes in a file of {len(content):,}")


@dataclass
class Pages:
    """What the headers of all pages say together: their number, bytes when unpacked, values, the largest."""

    number: int = 0
    bytes: int = 0
    values: int = 0
    largest: int = 1

    def batch_rows(self, limits: Limits) -> int:
        """Rows to read at once: of values as large as the largest page, four times the limit."""
        return max(1, min(MOST_BATCH_ROWS, 4 * limits.bytes // self.largest))


def check_pages(content: bytes | mmap, limits: Limits) -> Pages:
    """Add up what the headers of all pages say, in a file whose end is checked.

    Raises:
        UserError: more than the limit when unpacked, or pages that are damaged or without number.
        Exception: a footer that is damaged, see `BROKEN_PARQUET`.
    """
    pages = _add_up_pages(content)
    # Every value takes at least a byte of a text file.
    size = max(pages.bytes, pages.values)
    if size > limits.bytes:
        raise unpacks_to_more(f"{size / 1024**2:,.1f} MB or more", limits)
    return pages


def _add_up_pages(content: bytes | mmap) -> Pages:
    # Not by way of pyarrow's metadata: looking at a column whose statistics do not fit ends the process.
    pages = Pages()
    length, _ = FOOTER_END.unpack(content[-FOOTER_END.size :])
    footer = _Thrift(content, len(content) - FOOTER_END.size - length).struct(depth=12)
    for group in footer.get(4, []):
        for column in group[1]:
            facts = column[3]
            values, size, start = facts[5], facts[7], facts[9]
            if 0 < facts.get(11, 0) < start:
                start = facts[11]
            if start < 0 or size < 0 or start + size > len(content):
                raise broken("a column outside of the file")
            _add_pages(_page_headers(content, start, start + size + PADDING), values, pages)
    return pages


def _add_pages(headers: Iterator[dict[int, Any]], values: int, pages: Pages) -> None:
    """Add up the pages of a column up to so many values, as Arrow reads them."""
    seen = 0
    while seen < values and (header := next(headers, None)):
        unpacked = header[2]
        pages.number += 1
        if pages.number > MOST_PAGES:
            raise broken(f"more than {MOST_PAGES:,} pages")
        pages.bytes += unpacked
        pages.largest = max(pages.largest, unpacked)
        if header[1] != DICTIONARY_PAGE:
            data = header.get(5) or header.get(8)
            if not isinstance(data, dict) or type(data.get(1)) is not int or data[1] < 0:
                raise broken("a page without the number of its values")
            seen += data[1]
            pages.values += data[1]


def _page_headers(content: bytes | mmap, position: int, end: int) -> Iterator[dict[int, Any]]:
    while position < min(end, len(content)):
        thrift = _Thrift(memoryview(content)[position : position + LONGEST_HEADER], 0)
        header = thrift.struct(depth=4)
        if any(type(header.get(i)) is not int or header[i] < 0 for i in (1, 2, 3)):
            raise broken("a page without a size")
        position += thrift.position + header[3]
        yield header


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


def broken(found: str) -> UserError:
    """The error for a file that is damaged, as what was found shows."""
    return UserError(
        "a Parquet file that is whole",
        f"one that cannot be read ({shorten(' '.join(found.split()), 120)})",
        WRITE_AS_CSV,
    )
