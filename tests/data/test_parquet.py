"""Parquet: values as text, and files whose sizes are a lie."""

import datetime
import decimal
import json
import struct
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.base.errors import UserError
from core.data.reading.files import read_table
from core.data.reading.parquet import pages, parquet_files, texts
from core.data.tables import Limits
from tests.data.packing import parquet

PLAIN = {"text": ["a", "0123", " NA ", None], "label": [1, 2, 3, None]}


def columns(table):
    return table.frame.to_dict("list")


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_file_becomes_a_table_whatever_its_packing(compression, version):
    table = read_table(parquet(PLAIN, compression=compression, data_page_version=version, row_group_size=3))
    assert columns(table) == {"text": ["a", "0123", " NA ", ""], "label": ["1", "2", "3", ""]}
    assert table.lines.tolist() == [1, 2, 3, 4]
    assert (table.dialect.format, table.dialect.unit, table.rejected) == ("parquet", "row", [])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([3.0]), "3"),
        (pa.array([0.1]), "0.1"),
        (pa.array([0.1], pa.float32()), "0.1"),
        (pa.array([2**63 - 1]), "9223372036854775807"),
        (pa.array([True]), "true"),
        (pa.array([decimal.Decimal("1.50")]), "1.50"),
        (pa.array([datetime.date(2024, 1, 2)]), "2024-01-02"),
        (pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5)]), "2024-01-02 03:04:05"),
        (pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5, 600)]), "2024-01-02 03:04:05.000600"),
        (pa.array([0], pa.timestamp("ms", "UTC")), "1970-01-01 00:00:00Z"),
        (pa.array([datetime.time(3, 4)]), "03:04:00"),
        (pa.array([[1, None, 2]]), "[1, null, 2]"),
        (pa.array([{"a": "é"}]), '{"a": "é"}'),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array(["x"], pa.large_string()), "x"),
        (pa.array([b"x"], pa.binary(1)), "x"),
        (pa.array([None], pa.null()), ""),
    ],
)
def test_values_of_every_kind_are_text(values, text):
    assert columns(read_table(parquet({"value": values}))) == {"value": [text]}


def test_names_are_made_distinct():
    content = parquet({"text": ["a"], " text": ["b"], "": ["c"]})
    assert list(read_table(content).frame.columns) == ["text", "text_2", "column_3"]


def test_bytes_that_are_no_text_and_values_over_the_limit_are_rejected():
    table = read_table(parquet({"text": [b"a", b"\xff", b"c", b"long long"]}), Limits(field_characters=5))
    assert (columns(table), table.lines.tolist()) == ({"text": ["a", "c"]}, [1, 3])
    assert [(row.line, row.reason) for row in table.rejected] == [
        (2, "bytes that are not utf-8"),
        (4, "a value of 9 characters; at most 5 are read"),
    ]


def test_a_text_with_the_mark_of_a_broken_one_is_whole():
    table = read_table(parquet({"text": [b"\xff", "\ufffd".encode()]}))
    assert (columns(table)["text"], [row.line for row in table.rejected]) == (["\ufffd"], [1])


def test_rows_are_numbered_across_batches(monkeypatch):
    monkeypatch.setattr(pages, "MOST_BATCH_ROWS", 2)
    values = [b"a", b"\xff", b"c", b"d", b"e"]
    table = read_table(parquet({"text": values}))
    assert (table.lines.tolist(), [row.line for row in table.rejected]) == ([1, 3, 4, 5], [2])


# Attacks


def test_counts_are_checked_before_anything_is_unpacked():
    with pytest.raises(UserError, match="at most 3 rows; found 4"):
        read_table(parquet(PLAIN), Limits(rows=3))
    with pytest.raises(UserError, match="at most 1 columns; found 2"):
        read_table(parquet(PLAIN), Limits(columns=1))
    with pytest.raises(UserError, match="at least one row; found none"):
        read_table(parquet({"text": pa.array([], pa.string())}))


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_bomb_is_not_unpacked(compression, monkeypatch):
    content = parquet({"text": ["x" * 4_000_000] * 2}, compression=compression, use_dictionary=False)
    assert len(content) < 100_000
    monkeypatch.setattr(parquet_files, "_table", None)
    with pytest.raises(
        UserError, match="unpacks to at most 1.0 MB; found one that unpacks to 7.6 MB or more"
    ):
        read_table(content, Limits(bytes=1_000_000))


def test_a_value_that_comes_back_from_the_dictionary_often_is_read_in_small_batches_up_to_the_cap():
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(90_000, np.int32)), pa.array(["x" * 100_000]))
    content = parquet({"text": values}, row_group_size=90_000)
    assert len(content) < 100_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(UserError, match="at most 1,000,000 cells"):
        read_table(content, Limits(bytes=1_000_000))
    assert pa.default_memory_pool().max_memory() < max(before, 100_000_000)


def many_times(text, times):
    """A list that holds a text so many times, in a file that holds it once."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(times + 2, np.int32)), pa.array([text]))
    return pa.ListArray.from_arrays(pa.array([0, times, times + 2]), texts)


@pytest.mark.parametrize("store_schema", [True, False])
def test_a_list_that_holds_a_long_text_often_costs_its_row_alone(store_schema):
    content = parquet({"text": many_times("x" * 100_000, 20_000)}, store_schema=store_schema)
    assert len(content) < 100_000
    before = pa.default_memory_pool().max_memory()
    tracemalloc.start()
    table = read_table(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(peak, pa.default_memory_pool().max_memory() - before) < 100_000_000
    assert [(row.line, row.reason) for row in table.rejected] == [
        (1, "a value of more than 500,000 characters")
    ]
    assert [len(text) for text in columns(table)["text"]] == [2 * 100_002 + 4]


def test_lists_are_stopped_at_the_cap_for_all_rows_together():
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), pa.array(["x" * 10_000]))
    content = parquet({"text": pa.ListArray.from_arrays(pa.array(range(0, 20_001, 100)), texts)})
    with pytest.raises(UserError, match="at most 1,000,000 characters together"):
        read_table(content, Limits(bytes=1_000_000))


NESTED = {
    "lists": pa.array([["a", "bb"], None, [], ["a", None], ["é"]]),
    "large lists": pa.array([["a"], ["bb"], None, ["é"], []], pa.large_list(pa.large_string())),
    "lists of lists": pa.array([[["a"], []], [["b", "c"]], None, [], [None]]),
    "pairs": pa.array([["a", "b"]] * 5, pa.list_(pa.string(), 2)),
    "maps": pa.array(
        [[("k", "v")], [], None, [("k", None)], [("é", "v")]], pa.map_(pa.string(), pa.string())
    ),
    "structs": pa.array([{"a": ["x"], "b": 1}, {"a": None, "b": None}, None, {"a": []}, {"a": ["é", "y"]}]),
}


@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("options", [{}, {"row_group_size": 2}, {"use_dictionary": False}])
def test_nested_values_are_text_across_groups_of_rows(kind, options, monkeypatch):
    monkeypatch.setattr(pages, "MOST_BATCH_ROWS", 2)
    values = NESTED[kind].to_pylist()
    table = read_table(parquet({"value": NESTED[kind], "row": list("abcde")}, **options))
    written = ["" if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    assert columns(table) == {"value": written, "row": list("abcde")}
    sizes = texts._sizes(NESTED[kind])
    assert len(sizes) == 5
    assert all(0 < size <= len(text.encode()) for size, text in zip(sizes, written, strict=True) if text)
    assert texts._sizes(NESTED[kind].slice(1, 3)).tolist() == sizes[1:4].tolist()


@pytest.mark.parametrize(
    ("limit", "found"), [("MOST_PAGES", "more than 1 pages"), ("LONGEST_HEADER", "out of ")]
)
def test_pages_without_number_and_headers_without_end_are_refused(limit, found, monkeypatch):
    monkeypatch.setattr(pages, limit, 1)
    with pytest.raises(UserError, match=found):
        read_table(parquet(PLAIN))


def test_a_page_that_claims_to_be_large_is_refused():
    """The size in the header of the first page is a varint after the kind of the page."""
    content = bytearray(parquet({"text": ["a" * 100]}, use_dictionary=False, compression="zstd"))
    # Field 1 (kind) and field 2 (unpacked size): 15 00 15 <size>.
    place = content.index(b"\x15\x00\x15", 4) + 3
    assert content[place] & 0x80
    content[place : place + 2] = b"\xfe\x7f"  # 8,191 bytes instead of 104 or so
    with pytest.raises(UserError, match="unpacks to at most"):
        read_table(bytes(content), Limits(bytes=5_000))


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**32 - 1, 9_000_000])
def test_a_footer_that_lies_about_its_length(length):
    content = parquet(PLAIN)
    with pytest.raises(UserError, match="a Parquet file that is whole"):
        read_table(content[:-8] + struct.pack("<I4s", length, b"PAR1"))


def test_a_footer_that_counts_other_rows_than_there_are():
    content = parquet({"text": ["one", "two", "three"], "label": ["a", "b", "a"]})
    # Field 3 of the footer, behind its schema, in Thrift's compact protocol: 6 stands for 3, 8 for 4.
    lie = content.replace(b"\x16\x06\x19", b"\x16\x08\x19", 1)
    assert pq.ParquetFile(pa.BufferReader(lie)).metadata.num_rows == 4
    with pytest.raises(UserError, match="3 rows where its footer counts 4"):
        read_table(lie)


@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: c[:-4] + b"PARE", lambda c: c[:100], lambda c: b"PAR1"]
)
def test_a_file_that_is_cut_off_or_encrypted(change):
    with pytest.raises(UserError, match="a Parquet file that is whole"):
        read_table(change(parquet(PLAIN)))


def test_a_schema_that_is_nested_without_end():
    kind = pa.int32()
    for _ in range(2_000):
        kind = pa.struct([("a", kind)])
    with pytest.raises(UserError, match="a Parquet file that is whole"):
        read_table(parquet({"text": pa.nulls(1, kind)}))


@pytest.mark.parametrize("header", [{}, {5: 7}, {5: {}}, {5: {1: None}}, {8: {1: -1}}])
def test_a_page_header_without_a_number_of_values_is_refused(header):
    """Header fields: 1 the kind of page, 2 and 3 its sizes, 5 and 8 what is said of a page of data."""
    with pytest.raises(UserError, match="a page without the number of its values"):
        pages._add_pages(iter([{1: 0, 2: 5, 3: 5, **header}]), 1, pages.Pages())


def test_a_footer_of_more_than_a_few_megabytes_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr(pages, "LONGEST_FOOTER", 100)
    with pytest.raises(UserError, match=r"a footer of [\d,]+ bytes in a file of"):
        read_table(parquet(PLAIN))
