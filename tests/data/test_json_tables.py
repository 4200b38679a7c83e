"""JSON of every shape becomes the same table, and a broken record costs itself alone."""

import json
import tracemalloc

import pytest

from core.base.errors import UserError
from core.data.reading import json_tables
from core.data.reading.files import read_table
from core.data.tables import Limits

RECORDS = [{"text": "a", "label": 1}, {"text": "b", "label": 2}]
EXPECTED = {"text": ["a", "b"], "label": ["1", "2"]}


def columns(table):
    return table.frame.to_dict("list")


def read(text, encoding="utf-8"):
    return read_table(text.encode(encoding))


def rejected(table):
    return [(row.line, row.reason) for row in table.rejected]


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("\n".join(map(json.dumps, RECORDS)), "jsonl"),
        ("\r\n\r\n".join(map(json.dumps, RECORDS)) + "\r\n", "jsonl"),
        (json.dumps(RECORDS), "json"),
        (json.dumps(RECORDS, indent=2), "json"),
        ("".join(json.dumps(record, indent=2) for record in RECORDS), "json"),
        (json.dumps({"version": 1, "data": RECORDS}), "json"),
        (json.dumps({"text": ["a", "b"], "label": [1, 2]}), "json"),
        (json.dumps({"text": {"0": "a", "1": "b"}, "label": {"0": 1, "1": 2}}), "json"),
        (json.dumps({"0": RECORDS[0], "1": RECORDS[1]}), "json"),
        (json.dumps({"columns": ["text", "label"], "index": [0, 1], "data": [["a", 1], ["b", 2]]}), "json"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_every_usual_shape_is_the_same_table(text, format, encoding):
    table = read(text, encoding)
    assert columns(table) == EXPECTED
    assert (table.dialect.format, table.dialect.has_header, table.rejected) == (format, True, [])


def test_values_are_the_characters_of_the_file():
    line = (
        '{"a": 1.0, "b": 1e5, "c": 12345678901234567890123, "d": "0123", "e": " NA ", "f": true, "g": null}'
    )
    expected = ["1.0", "1e5", "12345678901234567890123", "0123", " NA ", "true", ""]
    assert read(f"{line}\n{line}").frame.values.tolist() == [expected] * 2


def test_a_number_of_thousands_of_digits_and_those_that_are_none():
    table = read('{"a": ' + "9" * 10_000 + '}\n{"a": NaN}\n{"a": -Infinity}\n')
    assert columns(table)["a"] == ["9" * 10_000, "NaN", "-Infinity"]


def test_what_is_nested_is_kept_as_json():
    table = read('[{"a": {"b": [1.50, "x\\"é", null, true, {}]}}, {"a": []}]')
    assert columns(table)["a"] == ['{"b": [1.50, "x\\"é", null, true, {}]}', "[]"]


def test_missing_keys_are_empty_and_new_ones_begin_a_column():
    table = read('{"text": "a"}\n{"label": "x", "text": "b"}\n{}\n{"text": "c", "label": "y"}\n')
    assert columns(table) == {"text": ["a", "b", "", "c"], "label": ["", "x", "", "y"]}


def test_broken_lines_are_rejected_with_line_reason_and_raw_text():
    table = read('{"a": 1}\n{"a": 2\n\n[3]\n4\n{"a": 5} {"a": 6}\n' + '{"a": 7}\n' * 6)
    assert columns(table)["a"] == ["1", *["7"] * 6]
    assert table.lines.tolist() == [1, 7, 8, 9, 10, 11, 12]
    assert rejected(table) == [
        (2, "broken JSON at character 9 of the record: Expecting ',' delimiter"),
        (4, "expected an object, found an array"),
        (5, "expected an object, found a number"),
        (6, "broken JSON at character 10: more than one value"),
    ]
    assert [row.raw for row in table.rejected] == ['{"a": 2', "[3]", "4", '{"a": 5} {"a": 6}']
    counted = table.line_count
    assert (counted.total, counted.rows, counted.rejected, counted.blank) == (12, 7, 4, 1)
    assert table.dialect.unit == "line"


def test_a_broken_element_of_an_array_costs_itself_alone():
    table = read('[{"a": "x"},\n{"a": "y",\n"b":},\n{"a": "z"},\n7,\n{"a": "w"}]')
    assert columns(table)["a"] == ["x", "z", "w"]
    assert table.lines.tolist() == [1, 3, 5]
    assert rejected(table) == [
        (2, "broken JSON at character 16 of the record: Expecting value"),
        (4, "expected an object, found a number"),
    ]
    assert table.dialect.unit == "row"


@pytest.mark.parametrize(
    ("text", "kept", "reason"),
    [
        ('[{"a": 1}, {"a": 2}', 2, "the array is cut off: its closing bracket is missing"),
        ('[{"a": 1}, {"a": 2', 1, "broken JSON at character 8 of the record: Expecting ',' delimiter"),
        ('[{"a": 1}, {"a": 2}] x', 2, "more stands after the end of the array"),
        ('[{"a": 1}\n{"a": 2}]', 1, "a comma is missing after character 8"),
    ],
)
def test_an_array_that_is_not_whole_says_so(text, kept, reason):
    table = read(text)
    assert (len(table.frame), [row.reason for row in table.rejected]) == (kept, [reason])


def test_a_key_that_stands_twice_is_not_decided_by_us():
    table = read('{"a": 1}\n{"a": 1, "a": 2}\n{"b": {"a": 1, "a": 2}}\n')
    assert rejected(table) == [(2, "the key 'a' stands twice")]
    assert columns(table)["b"] == ["", '{"a": 1, "a": 2}']


def test_half_characters_are_rejected_and_whole_pairs_read():
    table = read('{"a": "\\ud800"}\n{"a": "\\ud83d\\ude00"}\n{"a": "x"}\n')
    assert columns(table)["a"] == ["😀", "x"]
    assert table.rejected[0].line == 1
    assert "a character that is not whole" in table.rejected[0].reason
    table = read_table('{"a": "naïve café"}\n'.encode() * 10 + b'{"a": "\xff"}\n')
    assert (len(table.frame), table.rejected[0].line) == (10, 11)


def test_a_field_over_the_limit_is_rejected():
    table = read_table(b'{"a": "long long"}\n{"a": "b"}\n', Limits(field_characters=5))
    assert rejected(table) == [(1, "a field of 9 characters; at most 5 are read")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", "JSON without any record"),
        ("{}", "no list of objects"),
        ("[1, 2]", "a JSON array of a number"),
        ('[["a", "b"]]', "a JSON array of an array"),
        ('{"a": [{"x": 1}], "b": [{"y": 1}]}', "several lists of objects: a, b"),
        ('{"a": {"x": 1}, "b": {"x": 2}}', "neither columns nor numbered records"),
        ('{"a": "b", "c"', "an object that is not whole"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ('[{"a": [[' + "]]}]", None),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_do(text, found):
    if found is None:
        assert columns(read(text)) == {"a": ["[[]]"]}
        return
    with pytest.raises(UserError, match=found) as error:
        read(text)
    assert error.value.remedy


def test_a_record_that_is_nested_too_deeply_costs_itself_alone():
    table = read('{"a": 1}\n{"a": ' + "[" * 100_000 + "]" * 100_000 + '}\n{"a": 2}\n')
    assert (columns(table)["a"], rejected(table)) == (["1", "2"], [(2, "nested too deeply")])


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1} and more,x\n{b},y\n',
        "[good] film,pos\n[bad] film,neg\n",
        "{a} b,x\n{c} d,y\n",
        "[a\n[b\n",
        "[" * 100_000 + "\nx\n",
    ],
)
def test_text_that_only_begins_like_json_is_delimited(text):
    table = read(text)
    assert (table.dialect.format, len(table.frame) + table.dialect.has_header) == ("csv", 2)


def test_limits_hold_while_records_are_read():
    with pytest.raises(UserError, match="at most 3 rows"):
        read_table(b'{"a": 1}\n' * 4, Limits(rows=3))
    with pytest.raises(UserError, match="at most 3 columns; found 4 different keys"):
        read_table(b'{"a": 1}\n{"b": 1}\n{"c": 1}\n{"d": 1}\n', Limits(columns=3))
    wide = json.dumps(dict.fromkeys(map(str, range(300)), 1)) + "\n" + "{}\n" * 1_000
    with pytest.raises(UserError, match="at most 20,000 cells"):
        read_table(wide.encode(), Limits(bytes=20_000))


@pytest.mark.parametrize("document", [{"a": [1] * 50_000}, {"columns": ["a"], "data": [[1]] * 50_000}])
def test_the_rows_of_columns_are_made_one_by_one_up_to_the_limit(document):
    with pytest.raises(UserError, match="at most 3 rows"):
        read_table(json.dumps(document).encode(), Limits(rows=3))
    tracemalloc.start()
    first = next(iter(json_tables._records(document)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert first == {"a": 1}
    # As dictionaries, all of them take 10 MB.
    assert peak < 1_000_000


def test_going_back_in_a_broken_array_comes_to_an_end():
    """Every line opens an array that goes on to the end: without a bound each is read to there."""
    lines = ['{"a":['] * 400 + ["1," * 100_000]
    with pytest.raises(UserError, match=r"found 1?\d that cannot; the first, record 1: broken JSON"):
        read("[" + "\n".join(lines))


def test_a_record_that_goes_on_for_too_long_costs_itself_alone(monkeypatch):
    monkeypatch.setattr(json_tables, "LONGEST_RECORD", json_tables.PIECE_CHARACTERS * 16)
    fits, too_long = "x" * 60_000, "x" * 70_000
    table = read(f'[{{"a": "{fits}"}},\n{{"a": "{too_long}"}},\n{{"a": "b"}}]')
    assert columns(table)["a"] == [fits, "b"]
    assert rejected(table) == [(2, "a record of more than 65,536 characters")]
    assert len(read(f'{{"data": [{{"a": "{too_long}"}}]}}').frame) == 1
