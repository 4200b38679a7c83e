"""`core check`: of a file that can be trained on, of one that cannot, and of one that is none."""

import json

import pytest

from core.cli.main import main
from core.data.checking import check_file, column_type
from core.data.tables import ReadOptions
from tests.data.packing import CSV, workbook, zipped

GOOD = "text,label,day,sure,note\n" + "".join(
    f"The {thing} is {state},{label},2024-01-{day:02},{'yes' if day % 2 else 'no'},\n"
    for thing, day in (("soup", 1), ("bread", 2), ("music", 3), ("garden", 4))
    for state, label in (("fine", "good"), ("late", "bad"), ("cold", "bad"))
)
KEYS = {
    *("rows_read", "rows_rejected", "format", "encoding", "delimiter", "has_header", "columns", "mapping"),
    *("findings", "trainable", "reason", "remedy", "rejected", "sheets", "members", "lines"),
}


@pytest.fixture
def check(tmp_path, capsys):
    """Run `core check` on these bytes; returns (exit code, standard output, standard error)."""

    def run(content, *options):
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        code = main(["check", str(path), *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def facts(out):
    (line,) = out.splitlines()
    found = json.loads(line)
    assert set(found) >= KEYS
    return found


def test_a_file_that_can_be_trained_on(check):
    code, out, err = check(GOOD + "broken\n", "--json")
    found = facts(out)
    assert (code, err) == (0, "")
    assert (found["trainable"], found["reason"], found["rows_read"], found["rows_rejected"]) == (
        True,
        None,
        12,
        1,
    )
    assert (found["format"], found["encoding"], found["delimiter"], found["has_header"]) == (
        "csv",
        "utf-8",
        ",",
        True,
    )
    assert found["mapping"] == {"text": ["text"], "label": "label", "split": None}
    assert found["rejected"] == [{"line": 14, "reason": "expected 5 fields, found 1", "raw": "broken"}]
    assert found["rejected_by_reason"] == {"expected 5 fields, found 1": 1}
    assert found["lines"] == {"total": 14, "header": 1, "rows": 12, "rejected": 1, "blank": 0}
    assert [(column["name"], column["type"], column["filled"]) for column in found["columns"]] == [
        ("text", "text", 1.0),
        ("label", "text", 1.0),
        ("day", "date", 1.0),
        ("sure", "yes-no", 1.0),
        ("note", "empty", 0.0),
    ]
    assert found["classes"] == {"bad": 8, "good": 4}
    assert {finding["title"] for finding in found["findings"]} >= {"Few texts"}


def test_a_file_that_cannot_be_trained_on_is_described_all_the_same(check):
    code, out, err = check(GOOD.replace("bad", "good"), "--json", "--text", "text", "--label", "label")
    found = facts(out)
    assert (code, found["trainable"], found["rows_read"]) == (2, False, 12)
    assert found["mapping"] == {"text": ["text"], "label": "label", "split": None}
    assert "labels of two or more classes" in found["reason"]
    assert found["reason"] in err
    assert [finding["severity"] for finding in found["findings"]][:1] == ["error"]


def test_a_file_without_columns_to_train_on(check):
    code, out, err = check("a,b\n1,2\n3,4\n", "--json")
    found = facts(out)
    assert (code, found["mapping"], found["rows_read"]) == (2, None, 2)
    assert [column["type"] for column in found["columns"]] == ["number", "number"]
    assert "--text" in err


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"PK\x03\x04 broken", b"\x1f\x8b broken", b"PAR1"])
def test_a_file_that_cannot_be_read_gives_the_same_object(check, content):
    code, out, err = check(content, "--json")
    found = facts(out)
    assert (code, found["rows_read"], found["format"], found["columns"], found["findings"]) == (
        2,
        None,
        None,
        [],
        [],
    )
    assert found["reason"]
    assert found["remedy"] in err


def test_no_file_at_all(tmp_path, capsys):
    assert main(["check", str(tmp_path / "missing.csv"), "--json"]) == 2
    assert "No such file" in facts(capsys.readouterr().out)["reason"]


def test_the_columns_that_a_person_names_go_before_the_guess(check):
    found = facts(check(GOOD, "--json", "--label", "sure")[1])
    assert found["mapping"] == {"text": ["text"], "label": "sure", "split": None}
    found = facts(check(GOOD, "--json", "--text", "day", "--text", "text", "--label", "label")[1])
    assert found["mapping"]["text"] == ["day", "text"]
    code, _, err = check(GOOD, "--label", "no such")
    assert (code, "the column 'no such'" in err) == (2, True)


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (b"text;label\na;x\nb;y\n", ["--delimiter", ","], {"rows_read": 2, "delimiter": ","}),
        (b"text\tlabel\na\tx\n", ["--delimiter", "tab"], {"delimiter": "\t", "format": "tsv"}),
        (b"a,x\nb,y\n", ["--no-header"], {"rows_read": 2, "has_header": False}),
        (b"a,x\nb,y\n", ["--header"], {"rows_read": 1, "has_header": True}),
        (b"t\n\ntext,label\na,x\n", ["--skip-lines", "2"], {"rows_read": 1, "skipped_lines": 2}),
        (b"text,label\n\xe9,x\n", ["--encoding", "cp1252"], {"encoding": "cp1252"}),
        (
            zipped({"a.csv": CSV, "b.csv": CSV * 2}),
            ["--member", "a.csv"],
            {"member": "a.csv", "rows_read": 2},
        ),
        (
            workbook({"A": [["text", "label"], ["a", "x"]], "B": [["text", "label"], ["c", "z"]]}),
            ["--sheet", "B"],
            {"sheet": "B", "sheets": ["A", "B"], "counted_in": "rows"},
        ),
    ],
)
def test_how_to_read_can_be_said(check, content, options, expected):
    found = facts(check(content, "--json", *options)[1])
    assert {name: found[name] for name in expected} == expected


def test_for_people_it_is_said_in_lines_without_anything_that_moves_a_terminal(check):
    code, out, _ = check(GOOD.replace("note", "no\x1b[2Jte") + "bro\x1bken\n")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "csv, utf-8, delimiter ',', header, 12 rows read, 1 rejected"
    assert lines[1] == "  line 14: expected 5 fields, found 1"
    assert "text: text, label: label" in lines
    assert "\x1b" not in out


def test_json_holds_any_text():
    report = check_file('text,label\n"\ud83d",x\n'.encode("utf-8", "surrogatepass") + b"\x00,y\nz,x\n")
    json.dumps(report.facts()).encode("ascii")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2.5", "-3", "1,000", "1e5", "12 %", "$3"], "number"),
        (["2024-01-02", "1.2.2024", "01/02/24", "2024-01-02T03:04:05Z", "2024-01-02 03:04"], "date"),
        (["Yes", "no", "NO "], "yes-no"),
        (["ja", "nein"], "yes-no"),
        (["", "  "], "empty"),
        (["1", "two", "3"], "text"),
        (["1"] * 99 + ["?"], "number"),
        (["-", "."], "text"),
        (["1" * 50], "text"),
    ],
)
def test_the_type_of_a_column_is_that_of_nearly_all_values(table, values, expected):
    rows = "".join(f'"{value}",x\n' for value in values)
    assert column_type(table(f"a,label\n{rows}", ReadOptions(has_header=True)).frame.iloc[:, 0]) == expected


@pytest.fixture
def table():
    from core.data.reading.files import read_table

    return lambda text, choice: read_table(text.encode(), choice=choice)
