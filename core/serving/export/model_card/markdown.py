"""Pieces of Markdown in which other people's text shows as itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from core.base.formatting import escape_markdown, shorten
from core.learning.config import SETTINGS

_NAME_CHARACTERS = 200
_NUMBERS = re.compile(r"-?[0-9.,]+( to -?[0-9.,]+)?")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
"""Signs that nobody sees, and by which some would turn the order of the others."""


def bullets(lines: Iterable[str]) -> str:
    """A list of lines, which are Markdown."""
    return "\n".join(f"- {line}" for line in lines)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells show as they are, the first column among them."""
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    return head + "\n".join(f"| {' | '.join(_cells(row))} |" for row in rows)


def _cells(row: Sequence[str]) -> list[str]:
    # Names of settings have an underscore, which inside a word is none of Markdown's.
    return [
        cell if not cell or cell in SETTINGS or _NUMBERS.fullmatch(cell) else escaped(cell) for cell in row
    ]


def as_code(digest: str) -> str:
    """A digest as code; anything else as text that shows as itself."""
    return f"`{digest}`" if re.fullmatch(r"[0-9a-f]{1,128}", digest) else escaped(digest)


def plain(text: object) -> str:
    """Any text on one line, without what nobody would see."""
    return shorten(" ".join(_UNSEEN.sub(" ", str(text)).split()), _NAME_CHARACTERS) or "(no name)"


def bare_name(text: str) -> str:
    """A name of letters, digits and the plainest marks: who knows no metadata block takes it for Markdown."""
    return " ".join(re.sub(r"[^\w .,'-]+|(?<!\d)\.(?=\w)", " ", plain(text)).split()) or "(no name)"


def escaped(text: object) -> str:
    """Any text on one line as Markdown that shows as itself."""
    return escape_markdown(plain(text))
