"""The parts of a workbook (a zip of XML files) are checked before the library sees them."""

import re
from collections import Counter

from core.base.errors import UserError
from core.data.reading.archives import CHUNK_BYTES, walk_members
from core.data.tables import Limits

MOST_SHEETS = 1_000
# Elements of the parts that are kept in memory as objects (styles, names); Excel has at most 65,490 styles.
MOST_ELEMENTS = 1_000_000
STREAMED_PARTS = re.compile(r"xl/(worksheets/[^/]*|sharedStrings)\.xml", re.IGNORECASE)
SHEET_TAG = re.compile(rb"<(?:\w+:)?sheet[\s/>]")
# A run is a piece of a text with a style of its own: all of a text's are in memory at once.
RUN_TAG = re.compile(rb"<(?:\w+:)?r[\s/>]")
XML_PARTS = (".xml", ".rels")
# In UTF-16 there is a zero beside each letter.
ENTITIES = re.compile(
    b"<\0?!\0?(?:%b|%b)" % tuple(b"\0?".join(bytes([c]) for c in word) for word in (b"DOCTYPE", b"ENTITY")),
    re.IGNORECASE,
)
LONGEST_MARK = 2 * len("<!DOCTYPE")
MAIN_PART = re.compile(rb"<[^<>]*main\+xml[^<>]*>")
SAVE_AS_CSV = "Open it in your spreadsheet program, save it anew as .xlsx or CSV, and choose that file."


def check_parts(content: bytes, limits: Limits) -> None:
    """Check the unpacked size, and that nothing in the parts takes the library much memory or elsewhere.

    Raises:
        UserError: damaged, too large when unpacked, or not as Excel writes it.
    """
    found: Counter[str] = Counter()
    before, edge = "", b""
    for name, chunk in walk_members(content, limits):
        # What two chunks share out between them counts, too.
        if ENTITIES.search((edge if name == before else b"") + chunk):
            raise UserError("a workbook as Excel writes it", "XML entities in it", SAVE_AS_CSV)
        before, edge = name, chunk[-LONGEST_MARK:]
        if name.casefold().endswith(XML_PARTS) and b"\0" in chunk:
            raise UserError("a workbook as Excel writes it", "XML that is not in UTF-8", SAVE_AS_CSV)
        if name == "[Content_Types].xml" and _is_misleading(chunk):
            raise UserError("a workbook as Excel writes it", "its parts in other places", SAVE_AS_CSV)
        if name == "xl/workbook.xml":
            found["sheets"] += len(SHEET_TAG.findall(chunk))
        if STREAMED_PARTS.fullmatch(name):
            found["runs"] += len(RUN_TAG.findall(chunk))
        else:
            found["elements"] += chunk.count(b"<")
        if found["sheets"] > MOST_SHEETS:
            raise UserError(f"at most {MOST_SHEETS:,} sheets", "more than that", SAVE_AS_CSV)
        if max(found["runs"], found["elements"]) > MOST_ELEMENTS:
            raise UserError("a workbook with a usual number of styles", "very many", SAVE_AS_CSV)


def _is_misleading(content_types: bytes) -> bool:
    """Whether the list of sheets is not where it was looked for, or may be."""
    main = MAIN_PART.findall(content_types)
    hidden = b"&" in content_types or len(content_types) >= CHUNK_BYTES
    return hidden or not all(b"/xl/workbook.xml" in part for part in main)
