"""How a person says how to read a file: in words, in a link, and the encodings there are to choose from."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from core.base.formatting import count, shorten
from core.data.tables import Dialect, LineCount, ReadOptions

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


DELIMITERS = {
    ",": "comma",
    ";": "semicolon",
    "tab": "tab",
    "|": "vertical bar",
    "  ": "spaces, aligned",
    "none": "none",
}
MARKS = {'"': 'double (")', "'": "single (')", "none": "none"}
FORMATS = {
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON Lines",
    "json": "JSON",
    "xlsx": "Excel",
    "parquet": "Parquet",
}
WITH_HEADER = ("csv", "tsv", "xlsx")


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


def dialect_in_words(dialect: Dialect) -> list[tuple[str, str]]:
    """How a file is written, part by part, each with what that means."""
    written = words_of(ReadOptions(delimiter=dialect.delimiter, quotechar=dialect.quotechar))
    packed = f", packed ({dialect.packed})" if dialect.packed else ""
    parts = [(f"{FORMATS[dialect.format]}{packed}", "The kind of file, told by what is in it.")]
    if len(dialect.members) > 1:
        parts.append((f"file: {shorten(dialect.member, 40)}", "Which file of the archive is shown."))
    if len(dialect.sheets) > 1:
        parts.append((f"sheet: {shorten(dialect.sheet, 40)}", "Which sheet of the workbook is shown."))
    parts.append((dialect.encoding, "How the letters are coded in the file."))
    if dialect.format in ("csv", "tsv"):
        delimiter = DELIMITERS.get(written["delimiter"], repr(dialect.delimiter))
        parts.append((f"delimiter: {delimiter}", "The sign that separates the columns."))
        if dialect.quotechar != '"':
            parts.append((f"quotes: {MARKS[written['quotechar']]}", "The marks that wrap a text."))
    if dialect.format in WITH_HEADER:
        header = "with header" if dialect.has_header else "no header"
        parts.append((header, "Whether the first row holds the names of the columns."))
    if dialect.skipped_lines:
        above = f"{count(dialect.skipped_lines, dialect.unit)} above the table"
        parts.append((above, "They are no rows; those with text are among the rows left out."))
    return [part for part in parts if part[0]]


def lines_in_words(lines: LineCount) -> str:
    """Where the lines of a file went, in one sentence."""
    parts = [
        f"{lines.rows:,} with rows",
        f"{lines.header:,} with the header" if lines.header else None,
        f"{lines.rejected:,} left out" if lines.rejected else None,
        f"{lines.blank:,} blank" if lines.blank else None,
    ]
    return f"{count(lines.total, 'line')} in the file: {', '.join(filter(None, parts))}."


def fields_to_choose(
    dialect: Dialect | None, members: Sequence[str], sheets: Sequence[str]
) -> list[tuple[str, str, Mapping[str, str]]]:
    """What a person can choose about reading this file: field, what it is called, options with their meaning.

    Args:
        dialect: how the file was read; None where it could not be read.
        members: files of the archive; none where it is no archive.
        sheets: sheets of the workbook; none where it is no workbook.
    """
    of_text: list[tuple[str, str, Mapping[str, str]]] = [
        ("encoding", "Encoding", ENCODINGS),
        ("delimiter", "Delimiter", DELIMITERS),
        ("quotechar", "Quotation marks", MARKS),
    ]
    return [
        *([("member", "File in the archive", {name: name for name in members})] if len(members) > 1 else []),
        *([("sheet", "Sheet", {name: name for name in sheets})] if len(sheets) > 1 else []),
        *(of_text if (dialect.format in ("csv", "tsv") if dialect else not sheets) else ()),
        *(of_text[:1] if dialect and dialect.format in ("json", "jsonl") else ()),
    ]
