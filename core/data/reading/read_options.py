"""How a person says how to read a file: in words, in a link, and the encodings there are to choose from."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from core.data.tables import ReadOptions

MOST_CHARACTERS = 500
SIGNS = {"tab": "\t", "none": ""}
"""The signs that are written as a word, where a sign is asked for."""

ENCODINGS = {
    "utf-8": "Unicode",
    "utf-16": "Unicode, two bytes a letter",
    "cp1252": "Western European, Windows",
    "iso8859-1": "Western European, Latin-1",
    "iso8859-15": "Western European, with €",
    "mac-roman": "Western European, Mac",
    "cp850": "Western European, DOS",
    "cp1250": "Central European, Windows",
    "iso8859-2": "Central European, Latin-2",
    "cp1251": "Cyrillic, Windows",
    "koi8-r": "Cyrillic, KOI8-R",
    "mac-cyrillic": "Cyrillic, Mac",
    "cp1253": "Greek",
    "cp1254": "Turkish",
    "cp1255": "Hebrew",
    "cp1256": "Arabic",
    "cp1257": "Baltic",
    "cp1258": "Vietnamese",
    "cp874": "Thai",
    "gb18030": "Chinese, simplified",
    "big5": "Chinese, traditional",
    "shift_jis": "Japanese, Shift JIS",
    "euc_jp": "Japanese, EUC",
    "iso2022_jp": "Japanese, ISO-2022",
    "cp949": "Korean",
}
"""The encodings of tables that people have, and what is written in them."""


def choice_of(words: Mapping[str, str | int | bool | None]) -> ReadOptions:
    """The choice that these words say; a field that is left out or makes no sense is guessed.

    Args:
        words: by field of `ReadOptions`, as `words_of` gives them, or as a stranger wrote them into a link.
    """
    given = {field.name: words.get(field.name) for field in fields(ReadOptions)}
    found: dict[str, Any] = {name: _value(name, value) for name, value in given.items() if value is not None}
    return ReadOptions(**found)


def words_of(choice: ReadOptions) -> dict[str, str]:
    """What was chosen, in words that fit into a link."""
    given = {field.name: getattr(choice, field.name) for field in fields(ReadOptions)}
    return {name: _word(value) for name, value in given.items() if value is not None}


def _value(name: str, word: str | int | bool) -> str | int | bool | None:
    if not isinstance(word, str):
        return word
    if name == "has_header":
        return {"yes": True, "no": False}.get(word)
    if name == "skipped_lines":
        is_number = word.isascii() and word.isdecimal() and len(word) < 10
        return int(word) if is_number else None
    if name in ("delimiter", "quotechar"):
        word = SIGNS.get(word, word)
    return word if len(word) <= MOST_CHARACTERS else None


def _word(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return next((word for word, sign in SIGNS.items() if sign == value), str(value))
