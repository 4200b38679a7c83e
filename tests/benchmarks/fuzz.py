"""Mutated files, tens of thousands of them: none ends in a stack trace, and none loses a row.

    python -m tests.benchmarks.fuzz [--inputs 100000] [--seed 1] [--processes 2] [--from I] [--to J]

Every input is a file of `../shared/messy` or the beginning of one of `../shared/data/raw` (where they are
there), or a small file of any format made here, mutated: bytes flipped, inserted and deleted, two files
spliced, quotation marks, delimiters, line ends, NULs and byte order marks repeated, cut off, packed as .gz or
.zip; now and then it is read with settings of a person's own. It goes through what `core check` runs. A seed
and an index give the same input again: `--from I --to I+1` shows its traceback.

A failure is any exception but UserError, any row that is not accounted for, an input that takes longer than
TIME_CAP, and two ways of reading clean lines that differ. Accounted for means:

- delimited text: every physical line is part of one row, one rejected record or the header, or blank (the
  reader's counts add up to the lines counted here), no two records begin on the same line, and every row has
  the letters and digits of its lines;
- JSON Lines: every line that is not blank is a row or rejected; JSON arrays: every element;
- Excel: every row with a cell that is not blank, but the header; Parquet: the rows that its footer counts.

Mutations from a seed are used rather than atheris or hypothesis: the readers are loops over bytes in C or in
libraries, so that coverage of Python lines says little, and an index that gives its input again is all the
bookkeeping that is needed.
"""

import argparse
import gzip
import io
import json
import random
import re
import signal
import sys
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import Array
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from core.data.checking import check_file
from core.data.reading.archives import unpack
from core.data.reading.files import read_table
from core.data.reading.text import clean_lines
from core.data.tables import Limits, ReadOptions, Table

SHARED = Path(__file__).resolve().parents[3] / "shared"
LIMITS = Limits(bytes=20 * 1024 * 1024)
TIME_CAP = 20
"""Seconds for one input."""
SLOW = 2.0
"""Seconds from which on an input is reported."""
SHARE_WITH_CHOICE = 0.15
LONGEST_INPUT = 40_000
PIECES = (
    *(b'"', b"'", b'""', b",", b";", b"\t", b"|", b"\r", b"\n", b"\r\n", b"\x00", b"\\", b'\\"', b" ", b"#"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff", b"\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\x1f"),
    *(b"{", b"}", b"[", b"]", b":", b"null", b"NaN", b"1e999", b"\\ud800", b"<", b"&", b"<!DOCTYPE x>"),
    *(b'"a":1,', b"PK\x03\x04", b"PAR1", b"\x1f\x8b\x08", b'r="XFD1048576"', b"99999999999999999999", b"-1"),
)
CHOICES: dict[str, tuple[Any, ...]] = {
    "encoding": ("utf-8", "cp1252", "utf-16", "utf-16-le", "latin-1", "shift_jis", "no such"),
    "delimiter": (",", ";", "\t", "|", "", "::", '"', "  "),
    "quotechar": ('"', "'", "", "x"),
    "has_header": (True, False),
    "skipped_lines": (0, 1, 3, 1000, -1),
    "sheet": ("Data", "Notes", "no such"),
    "member": ("a.csv", "../b.csv", "no such"),
}


# Files to begin with


def seeds() -> dict[str, bytes]:
    """Small files by name."""
    files = {path.name: path.read_bytes() for path in _real_files()}
    return {**files, **_made_text(), **_made_json(), "made.xlsx": _made_excel(), **_made_parquet()}


def _real_files() -> list[Path]:
    folders = (SHARED / "messy", SHARED / "data" / "raw")
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


ROWS = [
    (f"Text {i}: where, or when, is “it”? é {'long ' * (i % 7)}", ("good", "bad", "NA")[i % 3], f"{i:04}")
    for i in range(12)
]
NAMES = ("text", "label", "id")


def _made_text() -> dict[str, bytes]:
    quoted = "".join(",".join(f'"{cell}"' for cell in row) + "\r\n" for row in (NAMES, *ROWS))
    plain = "".join("\t".join(row) + "\n" for row in ROWS)
    broken = 'text;label\n"two\nlines";a\n"open;b\nfine;c\n"he said ""so""";a\nx;y;z\n\n"end";b'
    titled = "# a title\n\nsource: here\n\ntext,label,id\n" + "".join(
        ",".join(row[1:]) + ",x\n" for row in ROWS
    )
    return {
        "made.csv": quoted.encode(),
        "made.tsv": plain.encode("cp1252"),
        "made-16.csv": quoted.encode("utf-16"),
        "made-broken.csv": broken.encode(),
        "made-titled.csv": titled.encode("utf-8-sig"),
        "made-escaped.csv": b'text,label\n"a \\" b, \\\\",x\n"c",y\n"d \\"e\\"",x\n',
        "made-aligned.txt": b"text          label\nfirst one     good\nsecond one    bad\nthird  one   bad\n",
    }


def _made_json() -> dict[str, bytes]:
    records = [{**dict(zip(NAMES, row, strict=True)), "n": i / 4} for i, row in enumerate(ROWS)]
    records[3] = {"text": None, "more": {"a": [1, 2.50, True, None, "😀"]}}
    lines = "".join(json.dumps(record, ensure_ascii=i % 2 == 0) + "\n" for i, record in enumerate(records))
    columns = {name: [row[i] for row in ROWS] for i, name in enumerate(NAMES)}
    return {
        "made.jsonl": lines.encode(),
        "made.json": json.dumps(records, indent=1).encode(),
        "made-flat.json": json.dumps(records).encode("utf-16-le"),
        "made-data.json": json.dumps({"data": records, "version": 1}).encode(),
        "made-columns.json": json.dumps(columns).encode(),
    }


def _made_excel() -> bytes:
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["How these were made"])
    sheet = book.create_sheet("Data")
    sheet.append(["A title"])
    sheet.append([])
    sheet.append([*NAMES, "n", "day", "yes"])
    for i, row in enumerate(ROWS):
        sheet.append([*row, i / 4, None, i % 2 == 0])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _made_parquet() -> dict[str, bytes]:
    columns = {name: [row[i] for row in ROWS] for i, name in enumerate(NAMES)}
    more = {"n": [i / 4 for i in range(len(ROWS))], "list": [[i] * (i % 3) for i in range(len(ROWS))]}
    files = {}
    for codec in ("snappy", "gzip", "zstd", "none"):
        file = io.BytesIO()
        pq.write_table(pa.table({**columns, **more}), file, compression=codec, row_group_size=5)
        files[f"made-{codec}.parquet"] = file.getvalue()
    return files


# Mutations


def mutated(index: int, seed: int) -> tuple[bytes, ReadOptions]:
    """The input with this index, and how to read it."""
    source = random.Random(f"{seed}:{index}")
    files = _seeds()
    content = _beginning(files[source.choice(list(files))], source)
    outer = source.random()
    for _ in range(source.choice((0, 1, 1, 2, 3, 5, 10))):
        content = source.choice(MUTATIONS)(content, source)[:LONGEST_INPUT]
    if outer < 0.15:
        content = source.choice((_gzipped, _zipped, _zipped_with_others))(content, source)
        if outer < 0.05:
            content = source.choice(MUTATIONS)(content, source)
    elif outer < 0.2:
        content = _rezipped(content, source)
    return content, _some_choice(source)


@cache
def _seeds() -> dict[str, bytes]:
    return seeds()


def _beginning(content: bytes, source: random.Random) -> bytes:
    if len(content) <= 20_000 or content.startswith((b"PK", b"PAR1")):
        return content
    return content[: source.randint(2_000, 20_000)]


def _flip(content: bytes, source: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 8, 32))):
        if changed:
            changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def _insert(content: bytes, source: random.Random) -> bytes:
    position = source.randint(0, len(content))
    piece = source.choice(PIECES) if source.random() < 0.7 else source.randbytes(source.randint(1, 20))
    return content[:position] + piece * source.choice((1, 1, 1, 2, 3, 50, 1000)) + content[position:]


def _delete(content: bytes, source: random.Random) -> bytes:
    start = source.randint(0, len(content))
    return content[:start] + content[start + source.choice((1, 1, 2, 5, 50, 500)) :]


def _repeat(content: bytes, source: random.Random) -> bytes:
    start = source.randint(0, len(content))
    end = min(len(content), start + source.choice((1, 5, 50, 500)))
    return content[:end] + content[start:end] * source.choice((1, 2, 20)) + content[end:]


def _splice(content: bytes, source: random.Random) -> bytes:
    other = source.choice(list(_seeds().values()))[:20_000]
    return content[: source.randint(0, len(content))] + other[source.randint(0, len(other)) :]


def _truncate(content: bytes, source: random.Random) -> bytes:
    return content[: source.randint(0, len(content))]


def _replace(content: bytes, source: random.Random) -> bytes:
    return content.replace(source.choice(PIECES), source.choice(PIECES), source.choice((1, 3, -1)))


def _prefix(content: bytes, source: random.Random) -> bytes:
    return source.choice(PIECES) * source.choice((1, 1, 2, 100)) + content


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _insert, _insert, _delete, _repeat, _splice, _truncate, _replace, _prefix),
)


def _gzipped(content: bytes, source: random.Random) -> bytes:
    return gzip.compress(content, source.randint(0, 9), mtime=0)


def _zipped(content: bytes, source: random.Random) -> bytes:
    return _zip({source.choice(("a.csv", "../b.csv", "/c.txt", "d")): content}, source)


def _zipped_with_others(content: bytes, source: random.Random) -> bytes:
    other = source.choice(list(_seeds().values()))[:2_000]
    return _zip({"__MACOSX/._a": b"x", "a.csv": content, "é/b.tsv": other, "folder/": b""}, source)


def _zip(members: dict[str, bytes], source: random.Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", source.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _rezipped(content: bytes, source: random.Random) -> bytes:
    """A workbook with one of its parts mutated: what a flipped bit in the zip would not get through to."""
    try:
        with zipfile.ZipFile(
            io.BytesIO(_seeds()["made.xlsx"] if content[:2] != b"PK" else content)
        ) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError, OSError, RuntimeError):
        return content
    if members:
        name = source.choice([*members, *(name for name in members if "sheet" in name or "shared" in name)])
        members[name] = source.choice(MUTATIONS)(members[name], source)
    return _zip(members, source)


def _some_choice(source: random.Random) -> ReadOptions:
    if source.random() >= SHARE_WITH_CHOICE:
        return ReadOptions()
    names = source.sample(list(CHOICES), source.randint(1, 3))
    return ReadOptions(**{name: source.choice(CHOICES[name]) for name in names})


# One input


@dataclass
class Outcome:
    """What became of some inputs."""

    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    slow: list[tuple[int, float]] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        self.kinds += other.kinds
        self.failures += other.failures
        self.slow += other.slow


def try_one(index: int, seed: int, outcome: Outcome) -> None:
    """Check one input and note what became of it."""
    content, choice = mutated(index, seed)
    started = time.perf_counter()
    signal.alarm(TIME_CAP)
    try:
        outcome.kinds[check(content, choice)] += 1
    except Exception:  # noqa: BLE001 - any way to end but UserError is what is looked for
        outcome.failures.append((index, traceback.format_exc()))
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - started
    if seconds > SLOW:
        outcome.slow.append((index, seconds))


def check(content: bytes, choice: ReadOptions) -> str:
    """Run what `core check` runs and account for every row; returns what kind of input it was."""
    report = check_file(content, LIMITS, choice)
    json.dumps(report.facts())
    if report.table is None:
        assert report.reason
        assert report.remedy
        return "refused"
    account(report.table, content, choice)
    return f"{report.table.dialect.format}{', trainable' if report.trainable else ''}"


def account(table: Table, content: bytes, choice: ReadOptions) -> None:
    """Check that every row of the file is in the table or among the rejected ones."""
    assert len(table.frame) == len(table.lines)
    starts = [*table.lines.tolist(), *(row.line for row in table.rejected)]
    assert len(starts) == len(set(starts)), "two records begin in the same place"
    assert min(starts) >= 1
    assert not table.frame.isna().any().any()
    inner = unpack(content, LIMITS, choice).content
    ACCOUNTS[table.dialect.format](table, inner, choice)


def account_for_text(table: Table, content: bytes, choice: ReadOptions) -> None:
    lines, counted = physical_lines(content, table.dialect.encoding), table.line_count
    parts = (counted.header, counted.rows, counted.rejected, counted.blank)
    assert counted.total == len(lines), f"{counted.total} lines counted, there are {len(lines)}"
    assert sum(parts) == len(lines), f"{parts} do not add up to {len(lines)} lines"
    account_for_letters(table, lines)
    same_by_both_ways(table, content, choice)


def physical_lines(content: bytes, encoding: str) -> list[str]:
    """The lines of a text file, counted independently of the reader."""
    errors = "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    try:
        text = content.decode(encoding, errors)
    except UnicodeDecodeError:
        text = content.decode(encoding, "replace")
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", text)


def account_for_letters(table: Table, lines: list[str]) -> None:
    """Every row holds the letters and digits of its lines, from its first to before the next record's."""
    if table.dialect.escapechar or any(character.isalnum() for character in table.dialect.delimiter):
        return
    starts = sorted([*table.lines.tolist(), *(row.line for row in table.rejected)])
    ends = dict(zip(starts, [*starts[1:], len(lines) + 1], strict=True))
    cells = zip(*(table.frame[name].tolist() for name in table.frame.columns), strict=True)
    missing = 0
    for line, row in zip(table.lines.tolist(), cells, strict=True):
        there = sum(map(letters, lines[line - 1 : ends[line] - 1]))
        missing += there - sum(map(letters, row))
        assert there >= sum(map(letters, row)), f"line {line} gave more letters than it has"
    # A header that stands again within the table is none of the rows.
    repeated = table.line_count.header > 1
    assert missing == 0 or repeated, f"{missing} letters of the rows are lost"


def letters(text: str) -> int:
    """The number of letters and digits."""
    return sum(map(str.isalnum, text))


def same_by_both_ways(table: Table, content: bytes, choice: ReadOptions) -> None:
    """Whole clean files are read in another way where they are large; here each is read in both."""
    usual = clean_lines.SMALLEST_BYTES
    clean_lines.SMALLEST_BYTES = 0
    try:
        if clean_lines.read_clean(content, table.dialect.encoding, LIMITS, choice) is None:
            return
        other = read_table(content, LIMITS, choice)
    finally:
        clean_lines.SMALLEST_BYTES = usual
    assert other.frame.equals(table.frame), "clean lines are read differently"
    assert other.lines.tolist() == table.lines.tolist()
    assert (other.line_count, len(other.rejected)) == (table.line_count, len(table.rejected))


def account_for_json_lines(table: Table, content: bytes, choice: ReadOptions) -> None:
    lines = physical_lines(content, table.dialect.encoding)
    filled = [number for number, line in enumerate(lines, 1) if not line.isspace()]
    starts = sorted([*table.lines.tolist(), *(row.line for row in table.rejected)])
    assert starts == filled, "a line is neither a row nor rejected"
    counted = table.line_count
    assert counted.total == len(lines) == counted.rows + counted.rejected + counted.blank


def account_for_json(table: Table, content: bytes, choice: ReadOptions) -> None:
    rows = len(table.frame) + len(table.rejected)
    numbers = sorted([*table.lines.tolist(), *(row.line for row in table.rejected)])
    assert numbers == list(range(1, rows + 1)), "records are not numbered one by one"
    try:
        document = json.loads("".join(physical_lines(content, table.dialect.encoding)).strip("\ufeff"))
    except (ValueError, RecursionError):
        return
    if isinstance(document, list):
        assert rows == len(document), f"{rows} of {len(document)} elements"


def account_for_excel(table: Table, content: bytes, choice: ReadOptions) -> None:
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    with book[table.dialect.sheet]._get_source() as source:
        filled = sum(_is_filled(row) for _, row in ElementTree.iterparse(source) if row.tag.endswith("}row"))
    rows = len(table.frame) + len(table.rejected) + table.dialect.has_header
    assert rows == filled, f"{rows} rows of {filled}"


def _is_filled(row: ElementTree.Element) -> bool:
    """Whether one of the cells of a row holds a value or a text of its own."""
    values = [element.text or "" for element in row.iter() if element.tag.rpartition("}")[2] in ("v", "t")]
    return any(map(str.strip, values))


def account_for_parquet(table: Table, content: bytes, choice: ReadOptions) -> None:
    rows = pq.ParquetFile(io.BytesIO(content)).metadata.num_rows
    assert len(table.frame) + len(table.rejected) == rows


ACCOUNTS: dict[str, Callable[[Table, bytes, ReadOptions], None]] = {
    "csv": account_for_text,
    "tsv": account_for_text,
    "jsonl": account_for_json_lines,
    "json": account_for_json,
    "xlsx": account_for_excel,
    "parquet": account_for_parquet,
}


# All of them

AT_WORK = Array("q", 64)
"""The index that each process is at: should one be killed, its last one is known."""


def try_some(first: int, last: int, seed: int, place: int) -> Outcome:
    """Check the inputs from `first` to before `last`."""
    signal.signal(signal.SIGALRM, _too_long)
    outcome = Outcome()
    for index in range(first, last):
        AT_WORK[place] = index
        try_one(index, seed, outcome)
    return outcome


def _too_long(*_: object) -> None:
    raise TimeoutError(f"longer than {TIME_CAP} s")


def main() -> int:
    options = _options()
    first, last = options.first, options.inputs if options.last is None else options.last
    started, total = time.perf_counter(), Outcome()
    step = 200
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = [
            pool.submit(try_some, start, min(start + step, last), options.seed, number % len(AT_WORK))
            for number, start in enumerate(range(first, last, step))
        ]
        try:
            for job in jobs:
                total.add(job.result())
        except BrokenProcessPool:
            print(f"a process was killed; at work were {sorted(set(AT_WORK))}")
            return 1
    _print(total, last - first, time.perf_counter() - started)
    return 1 if total.failures else 0


def _print(total: Outcome, inputs: int, seconds: float) -> None:
    print(f"{inputs:,} inputs in {seconds:,.0f} s; failures: {len(total.failures)}")
    for kind, number in sorted(total.kinds.items()):
        print(f"  {kind}: {number:,}")
    for index, took in total.slow:
        print(f"  slow: {index} took {took:.1f} s")
    by_place: dict[str, list[int]] = {}
    for index, trace in total.failures:
        by_place.setdefault("\n".join(trace.strip().splitlines()[-5:]), []).append(index)
    for trace, indexes in sorted(by_place.items(), key=lambda item: -len(item[1])):
        print(f"--- {len(indexes)} times, at {indexes[:5]}\n{trace}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first index")
    parser.add_argument("--to", type=int, dest="last", help="the index after the last")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
