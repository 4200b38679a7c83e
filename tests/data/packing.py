"""Small archives, workbooks and Parquet files for the tests."""

import io
import zipfile
from collections.abc import Callable

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

CSV = b"text,label\na,x\nb,y\n"


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def workbook(sheets: dict[str, list[list[object]]], hidden: tuple[str, ...] = ()) -> bytes:
    """An .xlsx workbook of sheets by name, each a list of rows."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def with_part(content: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """A workbook with one of its parts changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[part] = change(members.get(part, b""))
    return zipped(members)


def with_shared_strings(content: bytes, strings: list[str], cells: str) -> bytes:
    """A workbook whose first sheet holds these cells (XML), with a table of strings as Excel writes it."""
    part = '<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-'
    part += 'officedocument.spreadsheetml.sharedStrings+xml"/></Types>'
    content = with_part(content, "[Content_Types].xml", lambda xml: xml.replace(b"</Types>", part.encode()))
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    table = "".join(f"<si><t>{string}</t></si>" for string in strings)
    content = with_part(content, "xl/sharedStrings.xml", lambda _: f"<sst {space}>{table}</sst>".encode())
    sheet = f"<worksheet {space}><sheetData>{cells}</sheetData></worksheet>"
    return with_part(content, "xl/worksheets/sheet1.xml", lambda _: sheet.encode())


def parquet(columns: dict[str, object], **options: object) -> bytes:
    """A Parquet file of these columns."""
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()
