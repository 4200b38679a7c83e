"""The bytes of a file become those of the one table file inside: gzip and zip are unpacked in memory.

What is packed is hostile until read. Nothing is written to disk, no name of a member becomes a path,
unpacking goes chunk by chunk and ends at the cap whatever the archive says about its sizes, and an archive
inside of an archive is refused.
"""

import gzip
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from core.base.errors import UserError
from core.base.formatting import count, shorten
from core.data.tables import Limits, ReadOptions, unpacks_to_more

CHUNK_BYTES = 1024 * 1024
# Every member costs time and memory, however small: a list of a million empty ones is an attack.
MOST_MEMBERS = 10_000
MOST_GZIP_MEMBERS = 100_000
NAME_CHARACTERS = 200
GZIP, ZIP, ZIP_EMPTY = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
ENTRY = b"PK\x01\x02"
DOCUMENTS = (("xl/workbook.xml", "xlsx"), ("xl/workbook.bin", "xlsb"), ("word/document.xml", "docx"))
OTHER_ARCHIVES = (
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a", "a RAR archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
)
# Methods that cannot ask for more memory than their output takes.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".xlsx", ".parquet", ".txt")
NO_TABLES = frozenset(("thumbs.db", "desktop.ini"))
BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)
PACK_AGAIN = "Pack the table again as an ordinary .zip or .gz, or choose the unpacked file."


@dataclass(frozen=True)
class Unpacked:
    """The bytes of a file that is not packed, and how it was packed (see `Dialect`)."""

    content: bytes
    packed: str = ""
    member: str = ""
    members: tuple[str, ...] = ()


def unpack(content: bytes, limits: Limits, choice: ReadOptions) -> Unpacked:
    """The one table file in these bytes; bytes that are no archive come back as they are.

    Raises:
        UserError: the archive is damaged, encrypted, empty, nested, of another kind, or unpacks to more than
            the limit; or the chosen member is not in it.
    """
    unpacked = _unpack(content, limits, choice)
    if unpacked.packed and _is_archive(unpacked.content):
        raise UserError(
            "a table in the archive",
            "another archive inside of it",
            "Unpack it and choose the table, or pack the table by itself.",
        )
    return unpacked


def list_members(content: bytes) -> tuple[str, ...]:
    """The files of a zip archive that may be chosen; empty for anything else.

    Raises:
        UserError: the archive is damaged or has too many files.
    """
    if not content.startswith((ZIP, ZIP_EMPTY)) or document_kind(content):
        return ()
    with _opened(content) as archive:
        return tuple(_members(archive))


def is_workbook(content: bytes) -> bool:
    """Whether the bytes are an Excel workbook (.xlsx), which is a zip file, too."""
    return document_kind(content) == "xlsx"


def document_kind(content: bytes) -> str:
    """Which document of an office program a zip file is: "xlsx", "xlsb", "ods" or "docx"; else empty."""
    if not content.startswith(ZIP) or content.count(ENTRY) > MOST_MEMBERS:
        return ""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = {name.casefold() for name in archive.namelist()}
    except BROKEN_ARCHIVE:
        return ""
    kinds = [kind for name, kind in DOCUMENTS if name in names]
    return kinds[0] if kinds else "ods" * (b"opendocument.spreadsheet" in content[:200])


def walk_members(content: bytes, limits: Limits) -> Iterator[tuple[str, bytes]]:
    """The name of every member of a zip file with each chunk of what is in it, up to the limit for all.

    Raises:
        UserError: all together they unpack to more, or one of them is damaged.
    """
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                _check_member(member)
                with archive.open(member) as stream:
                    while chunk := stream.read(CHUNK_BYTES):
                        total += len(chunk)
                        _check_size(total, limits)
                        yield member.filename, chunk
    except BROKEN_ARCHIVE as error:
        raise _damaged("workbook", error) from error


def _unpack(content: bytes, limits: Limits, choice: ReadOptions) -> Unpacked:
    if content.startswith(GZIP):
        return Unpacked(_gunzip(content, limits), "gzip")
    if content.startswith((ZIP, ZIP_EMPTY)) and not document_kind(content):
        return _unzip(content, limits, choice)
    _refuse_other_archives(content)
    return Unpacked(content)


def _is_archive(content: bytes) -> bool:
    others = tuple(magic for magic, _ in OTHER_ARCHIVES)
    packed = content.startswith((GZIP, ZIP, ZIP_EMPTY, *others)) or _is_tar(content)
    return packed and not document_kind(content)


def _is_tar(content: bytes) -> bool:
    return content[257:262] == b"ustar"


def _refuse_other_archives(content: bytes) -> None:
    kinds = [kind for magic, kind in OTHER_ARCHIVES if content.startswith(magic)]
    if _is_tar(content):
        kinds = ["a tar archive"]
    if kinds:
        raise UserError("a table, or one packed as .zip or .gz", kinds[0], PACK_AGAIN)


# gzip


def _gunzip(content: bytes, limits: Limits) -> bytes:
    if content.count(GZIP + b"\x08") > MOST_GZIP_MEMBERS:
        raise UserError(
            f"a gzip file of at most {count(MOST_GZIP_MEMBERS, 'part')}", "more than that", PACK_AGAIN
        )
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            return _read(stream, limits)
    except BROKEN_ARCHIVE as error:
        raise _damaged("gzip file", error) from error


# zip


def _unzip(content: bytes, limits: Limits, choice: ReadOptions) -> Unpacked:
    with _opened(content) as archive:
        members = _members(archive)
        name = _choose(members, choice)
        _check_member(members[name])
        with archive.open(members[name]) as stream:
            return Unpacked(_read(stream, limits), "zip", name, tuple(members))


@contextmanager
def _opened(content: bytes) -> Iterator[zipfile.ZipFile]:
    """A zip archive; what is damaged in it becomes an error for people."""
    if content.count(ENTRY) > MOST_MEMBERS:
        raise UserError(f"an archive of at most {count(MOST_MEMBERS, 'file')}", "more than that", PACK_AGAIN)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield archive
    except BROKEN_ARCHIVE as error:
        raise _damaged("zip archive", error) from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return _named(list(filter(_may_be_table, archive.infolist())))


def _may_be_table(member: zipfile.ZipInfo) -> bool:
    """Whether a person put this file there: no folder, nothing hidden, nothing of the system's own."""
    parts = re.split(r"[/\\]", member.filename)
    hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    system = "__MACOSX" in parts or parts[-1].casefold() in NO_TABLES
    return bool(parts[-1]) and not hidden and not system


def _named(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The members by the name that people see and choose; a name that comes again is counted."""
    named: dict[str, zipfile.ZipInfo] = {}
    again: Counter[str] = Counter()
    for member in members:
        wanted = shown = _printable(member.filename)[-NAME_CHARACTERS:]
        while shown in named:
            again[wanted] += 1
            shown = f"{wanted} ({again[wanted] + 1})"
        named[shown] = member
    return named


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in name)


def _choose(members: dict[str, zipfile.ZipInfo], choice: ReadOptions) -> str:
    """The chosen member, else the largest of those that are called like a table, else the largest."""
    if not members:
        raise UserError(
            "a table in the archive", "no file in it", "Put the table into it, or choose the table itself."
        )
    if choice.member is None:
        return max(members, key=lambda name: (_is_called_table(name), members[name].file_size))
    if choice.member not in members:
        shown = ", ".join(shorten(name, 60) for name in list(members)[:10])
        raise UserError(
            f"the file {shorten(choice.member, 60)!r} in the archive",
            f"{shown}{' …' if len(members) > 10 else ''}",
            "Choose one of them.",
        )
    return choice.member


def _is_called_table(name: str) -> bool:
    return PurePosixPath(name.casefold()).suffix in TABLE_SUFFIXES


def _check_member(member: zipfile.ZipInfo) -> None:
    if member.flag_bits & 0x1:
        raise UserError(
            "a file that is not encrypted",
            "one that asks for a password",
            "Unpack it with its password and choose the table inside.",
        )
    if member.compress_type not in METHODS:
        names: dict[int, str] = getattr(zipfile, "compressor_names", {})
        method = names.get(member.compress_type, str(member.compress_type))
        raise UserError(
            "an archive packed in the usual way (deflate)", f"one packed with {method}", PACK_AGAIN
        )


# Both


def _read(stream: IO[bytes] | io.BufferedIOBase, limits: Limits) -> bytes:
    """All of a stream, or an error once it is larger than the limit."""
    chunks, total = [], 0
    while chunk := stream.read(CHUNK_BYTES):
        total += len(chunk)
        _check_size(total, limits)
        chunks.append(chunk)
    return b"".join(chunks)


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.bytes:
        raise unpacks_to_more("more", limits)


def _damaged(kind: str, error: BaseException) -> UserError:
    return UserError(
        f"a whole {kind}",
        f"one that is damaged or cut off ({shorten(str(error) or type(error).__name__, 100)})",
        "Download or copy it again, or choose the unpacked file.",
    )
