"""Bytes become a Table, whatever they are."""

from pathlib import Path

from core.data import delimited
from core.data.tables import Choice, Limits, Table
from core.errors import UserError

DEFAULT_LIMITS = Limits()
GUESS = Choice()


def read_table(source: bytes | Path, limits: Limits = DEFAULT_LIMITS, choice: Choice = GUESS) -> Table:
    """Read a table.

    Every record of the file becomes a row of the table or one of `rejected`. Blank lines are not records.

    Args:
        choice: how to read it where the guess is wrong.

    Raises:
        UserError: the file is not there, empty, too big, not text, without rows, or has too many rows or
            columns.
    """
    return delimited.read(_load(source, limits), limits, choice)


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
    if not content.strip(b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"):
        raise UserError(
            "a table with at least one row",
            f"an empty file ({len(content):,} bytes)",
            "Choose the file that holds your texts and labels.",
        )
    return content


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.bytes:
        raise UserError(
            f"a file of at most {_megabytes(limits.bytes)}",
            f"a file of {_megabytes(size)}",
            "Keep only the columns and rows that you need, or split the file, and choose the smaller one.",
        )


def _megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MB"
