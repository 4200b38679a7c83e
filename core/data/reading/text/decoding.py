"""Bytes become lines of text: what kind of file it is, and in which encoding."""

import codecs
import io
import re
from itertools import islice

import numpy as np
from charset_normalizer import from_bytes

from core.base.errors import UserError
from core.data.reading.text.alphabets import latin_encoding

SAMPLE_BYTES = 64 * 1024
# White space, zeros and byte order marks: a file of nothing else is empty.
BLANK = b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"
BROKEN = re.compile("[\ud800-\udfff\ufffd]")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Control characters, but those that separate fields in some files (\x01, \x1c to \x1f).
CONTROL = re.compile(r"[\x00\x02-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufffd]")

SAVE_AS_CSV = "Open it in your spreadsheet program, save the sheet as CSV (UTF-8), and choose that file."
TEXTS_AS_CSV = "Put the texts into a table, one row per text, and save it as CSV (UTF-8)."
WRITE_AS_CSV = "Write the table out as CSV and choose that file."
UNPACK = "Unpack it and choose the CSV file inside."
MAGIC = (
    (b"%PDF", "a PDF document", TEXTS_AS_CSV),
    (b"{\\rtf", "a rich text document (.rtf)", TEXTS_AS_CSV),
    (b"\x89PNG", "a PNG picture", TEXTS_AS_CSV),
    (b"\xff\xd8\xff", "a JPEG picture", TEXTS_AS_CSV),
    (b"GIF8", "a GIF picture", TEXTS_AS_CSV),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file (.xls, .doc)", SAVE_AS_CSV),
    (b"SQLite format 3\x00", "an SQLite database", WRITE_AS_CSV),
)
# Codecs that decode bytes to text but are no encodings of files.
NOT_OF_FILES = frozenset(("idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined"))
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # UTF-32 before UTF-16: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Told by their marks and their bytes before.
UNICODE = [f"utf_{bits}" for bits in ("7", "8", "8_sig", "16", "16_le", "16_be", "32", "32_le", "32_be")]
MARKS_OF_ORDER = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


def find_encoding(content: bytes, chosen: str | None = None) -> str:
    """The encoding of a text file; a chosen one by the name that Python has for it.

    Raises:
        UserError: the bytes are a document, picture, archive or database, or the chosen encoding is unknown.
    """
    _refuse_binary(content)
    return _guess_encoding(content) if chosen is None else _known_encoding(chosen, content)


def decode_lines(content: bytes, encoding: str, *, is_chosen: bool = False) -> tuple[list[str], set[int]]:
    """The physical lines of a text file, and which of these (from 0) hold broken bytes.

    Line ends are kept; only CR, LF and CRLF end a line, and where CR alone does, it is given as LF. Bytes
    that are not in the encoding become lone surrogates.

    Raises:
        UserError: the text is HTML, XML or binary data, or a chosen encoding cannot be the right one.
    """
    lines = _physical_lines(content, encoding)
    if not is_chosen:
        _refuse_other_text(lines)
    whole = _decodes(content, encoding)
    broken = set() if whole else {i for i, line in enumerate(lines) if BROKEN.search(line)}
    if is_chosen:
        _check_chosen(lines, broken, encoding)
    return lines, broken


def first_lines(content: bytes, encoding: str, number: int) -> list[str]:
    """The first physical lines of a file that is whole in this encoding, without decoding the rest."""
    lines = list(islice(_text(content, encoding, "surrogateescape"), number))
    return [lines[0].removeprefix("\ufeff"), *lines[1:]] if lines else []


def needs_closer_look(lines: list[str]) -> bool:
    """Whether these first lines look like another format than a table, or like none."""
    start = _start(lines)
    return _is_binary(start) or start.lstrip().startswith(("<", "[", "{"))


def _known_encoding(name: str, content: bytes) -> str:
    """The name of the encoding as Python spells it, with the order of its bytes where no mark gives it."""
    try:
        codec = codecs.lookup(name)
        "".encode(name)  # A LookupError where it makes other bytes of bytes, as hex does.
    except (LookupError, ValueError):
        codec = None
    if codec is None or codec.name in NOT_OF_FILES:
        raise UserError(
            "an encoding that is known, such as utf-8, cp1252 or utf-16",
            repr(name[:40]),
            "Choose another encoding, or leave it to be guessed.",
        )
    if codec.name in MARKS_OF_ORDER and not content.startswith(MARKS_OF_ORDER[codec.name]):
        return f"{codec.name}-{'be' if content.startswith(bytes(1)) else 'le'}"
    return codec.name


def _check_chosen(lines: list[str], broken: set[int], chosen: str) -> None:
    """A few broken lines are set aside; a file full of them is in another encoding."""
    foreign = sum(not line.isascii() for line in lines)
    if broken and 10 * len(broken) > foreign:
        raise UserError(
            f"a file in {chosen}",
            f"bytes that it does not have in {len(broken):,} of {len(lines):,} lines, first in line "
            f"{min(broken) + 1:,}",
            "Choose another encoding, or leave it to be guessed.",
        )


def _refuse_binary(content: bytes) -> None:
    if content.startswith(b"PK\x03\x04"):
        raise _not_a_table(*_zip_kind(content))
    for magic, kind, remedy in MAGIC:
        if content.startswith(magic):
            raise _not_a_table(kind, remedy)


def _not_a_table(kind: str, remedy: str) -> UserError:
    return UserError("a table (CSV, TSV, JSON, Excel .xlsx or Parquet)", kind, remedy)


def _zip_kind(content: bytes) -> tuple[str, str]:
    if b"xl/" in content:
        return "an Excel workbook (.xlsx)", SAVE_AS_CSV
    if b"opendocument.spreadsheet" in content[:200]:
        return "an OpenDocument spreadsheet (.ods)", SAVE_AS_CSV
    if b"word/" in content:
        return "a Word document (.docx)", TEXTS_AS_CSV
    return "a zip archive", UNPACK


def _guess_encoding(content: bytes) -> str:
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return encoding
    if b"\x1b$" in content and _decodes(content, "iso2022_jp"):
        return "iso2022_jp"
    return _utf16_without_mark(content) or ("utf-8" if _is_utf8(content) else _legacy_encoding(content))


def _utf16_without_mark(content: bytes) -> str | None:
    sample = np.frombuffer(content[:SAMPLE_BYTES], dtype=np.uint8)
    if len(sample) < 2:
        return None
    even, odd = np.mean(sample[::2] == 0), np.mean(sample[1::2] == 0)
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.05 else None


def _is_utf8(content: bytes) -> bool:
    """Whether the bytes are UTF-8, a few broken ones among many good ones allowed."""
    if _decodes(content, "utf-8"):
        return True
    text = content.decode("utf-8", "surrogateescape")
    broken = len(LONE_SURROGATE.findall(text))
    good = len(re.findall("[^\x00-\x7f\ud800-\udfff]", text))
    return good > 10 * broken


def _decodes(content: bytes, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    view = memoryview(content)
    try:
        # In parts: the whole text beside its bytes takes up to four times their memory.
        for start in range(0, len(view), SAMPLE_BYTES):
            decoder.decode(view[start : start + SAMPLE_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _legacy_encoding(content: bytes) -> str:
    """The encoding of bytes that are not Unicode: cp1252 unless another one is clearly better.

    A few accents and dashes in Latin text look equally well in many encodings, and cp1252 is by far the most
    common of these. Other scripts are left to charset-normalizer.
    """
    lines = content.replace(b"\r", b"\n").split(b"\n")
    sample = b"\n".join(line for line in lines if not line.isascii())[:SAMPLE_BYTES]
    if latin := latin_encoding(sample):
        return latin
    best = next((match for match in from_bytes(sample) if match.encoding not in UNICODE), None)
    letters = len(re.findall(rb"[A-Za-z\x80-\xff]", sample))
    foreign = len(re.findall(rb"[\x80-\xff]", sample))
    if best is not None and foreign >= 30 and foreign > 0.3 * letters:
        return best.encoding.replace("_", "-")
    return "cp1252" if _decodes(content, "cp1252") else "latin-1"


def keep_broken(encoding: str) -> str:
    """Python's name for decoding broken bytes into lone surrogates."""
    return "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"


def _physical_lines(content: bytes, encoding: str) -> list[str]:
    try:
        lines = list(_text(content, encoding, keep_broken(encoding)))
    except UnicodeDecodeError:
        lines = list(_text(content, encoding, "replace"))
    if lines:
        lines[0] = lines[0].lstrip("\ufeff")
    if len(lines) > 1 and not any("\n" in line for line in lines):
        lines = [line.replace("\r", "\n") for line in lines]
    return lines


def _text(content: bytes, encoding: str, errors: str) -> io.TextIOWrapper:
    # str.splitlines() would also cut at U+0085, U+2028 and others, which stand inside of texts.
    return io.TextIOWrapper(io.BytesIO(content), encoding, errors, newline="")


def _refuse_other_text(lines: list[str]) -> None:
    start = _start(lines)
    if _is_binary(start):
        raise _not_a_table("binary data", "Choose a file that was saved as CSV or as plain text.")
    opening = start.lstrip()[:200].casefold()
    if opening.startswith(("<!doctype", "<html", "<?xml")):
        raise _not_a_table("a web page or an XML document", "Save the table itself as CSV (UTF-8).")


def _start(lines: list[str]) -> str:
    return "".join(lines[:1_000])[:SAMPLE_BYTES]


def _is_binary(text: str) -> bool:
    return len(CONTROL.findall(text)) > max(8, 0.05 * len(text))
