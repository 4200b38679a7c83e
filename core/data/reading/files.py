"""Bytes become a Table, whatever they are."""

from dataclasses import replace
from pathlib import Path

from core.base.errors import UserError
from core.data.reading import json_tables
from core.data.reading.archives import is_workbook, list_members, unpack
from core.data.reading.excel import workbooks
from core.data.reading.parquet import pages, parquet_files
from core.data.reading.text import delimited
from core.data.reading.text.decoding import BLANK
from core.data.tables import GUESS, Limits, ReadOptions, Table

DEFAULT_LIMITS = Limits()


def read_table(source: bytes | Path, limits: Limits = DEFAULT_LIMITS, choice: ReadOptions = GUESS) -> Table:
    """Read a table: CSV, TSV and other delimited text, JSON, an Excel workbook or Parquet, packed or not.

    The format is told by what is in the file, not by its name. Every record becomes a row of the table or one
    of `rejected`. Blank lines are not records.

    Args:
        choice: how to read it where the guess is wrong.

    Raises:
        UserError: the file is not there, empty, too big (packed or unpacked), damaged, no table, without
            rows, or has too many rows or columns.
    """
    unpacked = unpack(_load(source, limits), limits, choice)
    _check_not_empty(unpacked.content)
    table = _read(unpacked.content, limits, choice)
    dialect = replace(table.dialect, packed=unpacked.packed, member=unpacked.member, members=unpacked.members)
    return replace(table, dialect=dialect)


def find_parts(
    source: bytes | Path, limits: Limits = DEFAULT_LIMITS, choice: ReadOptions = GUESS
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files of an archive and the sheets of a workbook that can be chosen, also where reading fails.

    Both are empty where there are none, or where the file is too damaged to say.
    """
    members: tuple[str, ...] = ()
    try:
        content = _load(source, limits)
        members = list_members(content)
        unpacked = unpack(content, limits, choice).content
        return members, workbooks.list_sheets(unpacked, limits) if is_workbook(unpacked) else ()
    except UserError:
        return members, ()


def _read(content: bytes, limits: Limits, choice: ReadOptions) -> Table:
    if is_workbook(content):
        return workbooks.read(content, limits, choice)
    if content.startswith(pages.MAGIC):
        return parquet_files.read(content, limits)
    table = json_tables.read(content, limits, choice) if json_tables.may_be_json(content) else None
    return table or delimited.read(content, limits, choice)


def _load(source: bytes | Path, limits: Limits) -> bytes:
    if isinstance(source, bytes):
        _check_size(len(source), limits)
        content = source
    else:
        try:
            _check_size(source.stat().st_size, limits)
            content = source.read_bytes()
        except OSError as error:
            found = f"{source} ({error.strerror})"
            raise UserError("a file that can be read", found, "Check its name and its folder.") from error
    return content


def _check_not_empty(content: bytes) -> None:
    if not content.strip(BLANK):
        raise UserError(
            "a table with at least one row",
            f"an empty file ({len(content):,} bytes)",
            "Choose the file that holds your texts and labels.",
        )


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.bytes:
        raise UserError(
            f"a file of at most {_megabytes(limits.bytes)}",
            f"a file of {_megabytes(size)}",
            "Keep only the columns and rows that you need, or split the file, and choose the smaller one.",
        )


def _megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MB"
