"""Files that commands read, and what is said of rows that cannot be used."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from core.base.formatting import count
from core.data.reading.files import read_table
from core.data.reading.read_options import choice_of
from core.data.tables import Limits, ReadOptions, RejectedRow, Table

FILE_LIMITS = Limits(bytes=2 * 1024**3, rows=10_000_000)
"""Files named on the command line are the owner's own: larger ones than an upload are read."""

SHOWN_ROWS = 3


def read(path: Path, choice: ReadOptions) -> Table:
    """The table in a file; rows that could not be read are told on standard error.

    Raises:
        UserError: the file cannot be read.
    """
    table = read_table(path, FILE_LIMITS, choice)
    tell_rejected(table.rejected, path.name)
    return table


def read_options(options: argparse.Namespace) -> ReadOptions:
    """How to read the file, where the options say so."""
    return choice_of(vars(options))


def one_line(text: str) -> str:
    """Text on one line without control characters: other people's text may hold commands to a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))


def tell_rejected(rejected: Sequence[RejectedRow], where: str = "the files") -> None:
    """Say on standard error how many rows are left out, and why the first of them."""
    if rejected:
        shown = "; ".join(f"line {row.line}: {row.reason}" for row in rejected[:SHOWN_ROWS])
        more = " …" if len(rejected) > SHOWN_ROWS else ""
        print(
            f"warning: {count(len(rejected), 'row')} of {where} cannot be used: {shown}{more}",
            file=sys.stderr,
        )
