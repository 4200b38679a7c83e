"""Tables in batches: the rows that reading the file as a whole gives, whatever the file."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.base.errors import UserError
from core.data.reading.files import read_table
from core.data.reading.streaming import open_table, read_beginning
from core.data.tables import Limits

MESSY = Path(__file__).resolve().parents[2].parent / "shared" / "messy"


def gathered(path, batch_rows=3, **options):
    stream = open_table(path, batch_rows=batch_rows, whole_bytes=0, **options)
    batches = list(stream.batches())
    assert all(len(batch.frame) <= batch_rows for batch in batches)
    frame = pd.concat([batch.frame for batch in batches], ignore_index=True)
    rejected = [row for batch in batches for row in batch.rejected]
    return stream, frame, rejected, np.concatenate([batch.lines for batch in batches])


def check(path, batch_rows=3, **options):
    """The stream, compared with the whole."""
    whole = read_table(path, **options)
    stream, frame, rejected, lines = gathered(path, batch_rows, **options)
    assert list(stream.columns) == list(whole.frame.columns)
    pd.testing.assert_frame_equal(frame, whole.frame)
    assert sorted(rejected, key=lambda row: row.line) == whole.rejected
    assert lines.tolist() == whole.lines.tolist()
    assert stream.rows == len(whole.frame)
    assert stream.dialect == whole.dialect
    return stream


TABLES = {
    "plain.csv": "text,label\n" + "".join(f"the film number {i},good\n" for i in range(10)),
    "semicolons.csv": "text;label\r\n" + "".join(f"the film {i};bad\r\n" for i in range(10)),
    "quoted.csv": 'text,label\n"two\nlines",good\n"a ""mark""",bad\n' + "one more,good\n" * 5,
    "tabs.tsv": "text\tlabel\n" + "".join(f"the film {i}\tgood\n" for i in range(9)),
    "blank lines.csv": "\ufefftext,label\n\nfirst one,good\n\nsecond one,bad\n" + "third,bad\n" * 4,
    "misfits.csv": "text,label\n"
    + "fine,good\n" * 6
    + "too,many,fields\n"
    + "fine,bad\n" * 4
    + "few\nfine,bad\n",
    "header again.csv": "text,label\n" + "a film,good\n" * 5 + "text,label\n" + "a film,bad\n" * 5,
    "above.csv": "A report\n\ntext,label,n\n" + "a film,good,1\n" * 8,
    "lines.txt": "".join(f"A sentence, with number {i}.\n" for i in range(10)),
    "keys.jsonl": "".join(
        json.dumps({"text": f"film {i}", **({"late": i} if i > 5 else {})}) + "\n" for i in range(9)
    )
    + '{"text": \n\n{"text": "a", "text": "b"}\n[1]\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_batches_are_the_rows_of_the_whole(name, tmp_path):
    path = tmp_path / name
    path.write_text(TABLES[name], encoding="utf-8", newline="")
    assert check(path).is_streamed


def test_fields_that_are_too_long_are_set_aside(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("text,label\n" + "short,good\n" * 5 + f"{'long ' * 9},bad\n" + "short,bad\n" * 5)
    assert check(path, limits=Limits(field_characters=9)).is_streamed


UNSURE = {
    "never closed.csv": b'text,label\n"never closed,good\n' + b"fine,bad\n" * 9,
    "broken over lines.csv": b"n,text,label\n1,two\nlines,good\n2,two\nmore,bad\n" + b"3,a film,good\n" * 9,
    "cp1252.csv": b"text,label\n" + "caf\u00e9 \u2013 cr\u00e8me,good\n".encode("cp1252") * 9,
    "utf-16.csv": ("text,label\n" + "a film,good\n" * 9).encode("utf-16"),
    "late bytes.csv": b"text,label\n" + b"a film,good\n" * 9_000 + b"caf\xe9,good\n",
    "array.json": json.dumps([{"text": f"film {i}"} for i in range(9)]).encode(),
    "packed.csv.gz": gzip.compress(b"text,label\n" + b"a film,good\n" * 9),
    "carriage returns.csv": b"text,label\r" + b"a film,good\r" * 9,
}


@pytest.mark.parametrize("name", UNSURE)
def test_what_may_be_read_otherwise_is_read_as_a_whole(name, tmp_path):
    (tmp_path / name).write_bytes(UNSURE[name])
    assert not check(tmp_path / name, batch_rows=500).is_streamed


def test_parquet_streams_across_row_groups(tmp_path):
    frame = pd.DataFrame({"text": [f"film {i}" for i in range(20)], "n": range(20), "x": [None, 1.5] * 10})
    frame.to_parquet(tmp_path / "file.parquet", row_group_size=7)
    assert check(tmp_path / "file.parquet").is_streamed


def test_small_files_are_read_as_a_whole(tmp_path):
    (tmp_path / "file.csv").write_text(TABLES["plain.csv"])
    assert not open_table(tmp_path / "file.csv").is_streamed


def test_what_cannot_be_read_says_so(tmp_path):
    (tmp_path / "file.csv").write_text("text,label\n")
    for path in (tmp_path / "file.csv", tmp_path / "none.csv"):
        with pytest.raises(UserError):
            open_table(path, whole_bytes=0)


@pytest.mark.skipif(not MESSY.is_dir(), reason="shared/messy is not here")
def test_messy_files_of_other_projects():
    streamed = 0
    for path in sorted(path for path in MESSY.rglob("*") if path.is_file() and path.name != "README.md"):
        try:
            read_table(path)
        except UserError:
            with pytest.raises(UserError):
                open_table(path, whole_bytes=0)
        else:
            streamed += check(path, batch_rows=50).is_streamed
    assert streamed > 10


@pytest.mark.parametrize("name", [*TABLES, *UNSURE])
def test_the_beginning_is_that_of_the_whole(name, tmp_path):
    content = TABLES[name].encode() if name in TABLES else UNSURE[name]
    (tmp_path / name).write_bytes(content)
    whole = read_table(tmp_path / name)
    for whole_bytes in (0, 10**9):
        start = read_beginning(tmp_path / name, first_rows=4, whole_bytes=whole_bytes)
        assert start.columns == list(whole.frame.columns)
        assert start.rows in (None, len(whole.frame))
        if name in TABLES:
            pd.testing.assert_frame_equal(start.table.frame, whole.frame.head(4))
    assert start.rows == len(whole.frame)


def test_the_beginning_of_a_large_file_leaves_the_rest_unread(tmp_path, monkeypatch):
    path = tmp_path / "large.csv"
    path.write_text("text,label\n" + "a film,good\n" * 400_000)
    monkeypatch.setattr("core.data.reading.streaming.read_table", None)
    start = read_beginning(path)
    assert (start.columns, start.rows, len(start.table.frame)) == (["text", "label"], None, 2048)
