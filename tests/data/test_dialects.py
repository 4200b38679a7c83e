"""How records are written is found out from the file alone, or taken as a person chose it."""

import pytest

from core.base.errors import UserError
from core.data.reading.files import read_table
from core.data.tables import ReadOptions

AB = [["a b", "x"], ["c d", "y"]]
MANY = "".join(f"{i},text number {i},{'pn'[i % 2]}\n" for i in range(30))


def read(text, **choice):
    return read_table(text.encode(), choice=ReadOptions(**choice))


def rows(table):
    return table.frame.values.tolist()


def reasons(table):
    return [(row.line, row.reason) for row in table.rejected]


@pytest.mark.parametrize(
    ("above", "skipped", "rejected"),
    [
        ("", 0, []),
        ("\n\n", 2, []),
        ("Feedback of March\n\n", 2, [1]),
        ("# made by us\n# on a day, or two\n\n", 3, [1, 2]),
        ("Title,\n", 1, [1]),
        ('He said "so\nand, more, than, that\n', 2, [1, 2]),
        (" \n\t\nTitle\n", 3, [3]),
    ],
)
def test_what_stands_above_the_table_is_skipped_counted_and_shown(above, skipped, rejected):
    table = read(f"{above}text,label\na b,x\nc d,y\n")
    assert (list(table.frame.columns), rows(table)) == (["text", "label"], AB)
    assert table.dialect.skipped_lines == skipped
    assert reasons(table) == [(line, "above the table") for line in rejected]
    assert table.lines.tolist() == [skipped + 2, skipped + 3]


def test_titles_as_wide_as_the_table_are_no_header():
    table = read("Report,,\nMarch,,\ntext,label,date\na b,x,1\nc d,y,2\n")
    assert list(table.frame.columns) == ["text", "label", "date"]
    assert [row.line for row in table.rejected] == [1, 2]


def test_a_header_behind_a_hash_is_a_header():
    assert list(read("#id\ttext\tlabel\n1\ta b\tx\n2\tc d\ty\n").frame.columns) == ["#id", "text", "label"]


@pytest.mark.parametrize(
    "text", ["first, so .\nthen , two , more .\nnone here .\n" * 3, "well, this is, as it were, prose\n"]
)
def test_prose_is_no_table(text):
    table = read(text)
    assert [row[0] for row in rows(table)] == text.splitlines()


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("well, a^x\nno, b^y\nhm, c^x\n", "^"),
        ("well, a~x\nno, b~y\nhm, c~x\n", "~"),
        ("well, a\x01x\nno, b\x01y\nhm, c\x01z\n", "\x01"),
        ("well, a\x1fx\nno, b\x1fy\nhm, c\x1fz\n", "\x1f"),
        ("x: a, b\ny: c\nx: d, e, f\n", ":"),
        ("1::one: two::x\n2::b::y\n3::c::x\n", "::"),
        ('text||label\n"a|b"||x\nb||y\nc||y\n', "||"),
        ("text          label\ngood film     x\nbad film      y\nso so         x\n", "  "),
        ("well, a¦x\nno, b¦y\nhm, c¦x\n", "¦"),
    ],
)
def test_rare_delimiters_are_found_where_the_evidence_is_strong(text, delimiter):
    table = read(text)
    assert table.dialect.delimiter == delimiter
    assert table.rejected == []
    assert len(table.frame) == text.count("\n") - table.dialect.has_header


@pytest.mark.parametrize("text", ["so: it goes\nno colon\nhere: two: colons\n" * 3, "a ^ b\nc d\n" * 5])
def test_rare_delimiters_are_no_delimiters_in_prose(text):
    assert [row[0] for row in rows(read(text))] == text.splitlines()


def test_a_delimiter_of_two_signs_inside_of_quotation_marks_is_text():
    assert rows(read('text||label\n"a || b"||x\n"c"||y\nd||y\n'))[0] == ["a || b", "x"]


def test_escaped_quotation_marks_are_marks_and_other_backslashes_stay():
    table = read('text,label\n"he said \\"so\\", twice",x\n"C:\\\\new \\n, \\"q\\"",y\nplain\\t,y\n')
    assert [row[0] for row in rows(table)] == ['he said "so", twice', 'C:\\new \\n, "q"', "plain\\t"]
    assert table.dialect.escapechar == "\\"


def test_backslashes_are_text_where_marks_are_doubled():
    table = read('text,label\n"a\\b, ""c""",x\n"d\\",y\n')
    assert [row[0] for row in rows(table)] == ['a\\b, "c"', "d\\"]
    assert table.dialect.escapechar == ""


def test_an_escaped_mark_far_down_the_file_is_found():
    table = read("text,label\n" + "a b,x\n" * 3000 + '"so \\"it\\" goes, on",y\n')
    assert rows(table)[-1] == ['so "it" goes, on', "y"]


def test_spaces_between_delimiter_and_mark_are_no_part_of_the_field():
    table = read('label, text\nx, "a, b"\ny, "c"\n')
    assert rows(table) == [["x", "a, b"], ["y", "c"]]
    assert table.dialect.skipinitialspace


def test_spaces_stay_where_no_mark_needs_them_gone():
    assert rows(read("text,label\n a b, x\n")) == [[" a b", " x"]]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"text","label"\n"1","a b","x"\n"2","c d","y"\n', ["column_1", "text", "label"]),
        ("text,label\na b,x,\nc d,y,\n", ["text", "label", "column_3"]),
        ("text,label,,\na b,x\nc d,y\n", ["text", "label"]),
        ("text,label,more\na b,x\nc d,y\n", ["text", "label", "more"]),
        (",\na b,x\nc d,y\n", ["column_1", "column_2"]),
    ],
)
def test_headers_with_more_or_fewer_names_than_fields(text, names):
    table = read(text)
    assert (table.dialect.has_header, list(table.frame.columns)) == (True, names)
    assert (len(table.frame), table.rejected) == (2, [])
    assert "a b" in rows(table)[0]


def test_rows_with_a_field_too_many_are_no_reason_to_move_the_names():
    with pytest.raises(UserError, match="expected 2 fields, found 3"):
        read("text,label\na,b,x\nc,d,y\n")


def test_the_header_again_is_no_row():
    table = read("text,label\ntext,label\na b,x\ntext,label\nc d,y\n")
    assert rows(table) == AB
    assert reasons(table) == [(2, "the header again"), (4, "the header again")]


def test_one_column_may_hold_its_own_name():
    assert rows(read("text\na\ntext\nb\n")) == [["a"], ["text"], ["b"]]


def test_a_number_column_names_itself_even_where_another_name_is_a_value():
    assert read("score,label\n1,label\n2,other\n3,label\n").dialect.has_header


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_broken_over_lines_is_put_together(end):
    text = f"id,text,label\n{MANY}31,first part\nsecond part\nthird,p\n32,whole,n\n".replace("\n", end)
    table = read(text)
    assert rows(table)[-2:] == [["31", f"first part{end}second part{end}third", "p"], ["32", "whole", "n"]]
    assert (table.rejected, table.lines.tolist()[-2:]) == ([], [32, 35])
    assert table.line_count.rows == 34


@pytest.mark.parametrize(
    "broken",
    [
        "31,no label\n32,no label\n",  # Each begins like a record.
        "31,first part\nsecond,q\n",  # "q" is no label.
        "31,first part\nsecond\n",  # Too few fields together.
        "31,first part\n\nsecond,p\n",  # Not neighbours.
    ],
)
def test_rows_that_may_be_something_else_are_not_put_together(broken):
    table = read(f"id,text,label\n{MANY}{broken}")
    assert len(table.frame) == 30
    assert len(table.rejected) == 2


def test_the_line_ends_of_an_old_mac_are_line_ends():
    assert rows(read('text,label\r"a\rb",x\rc,y\r')) == [["a\nb", "x"], ["c", "y"]]


# What a person chose


@pytest.mark.parametrize(
    ("text", "choice", "columns", "found"),
    [
        ("a;b,c\nd;e,f\n", {"delimiter": ";"}, ["a", "b,c"], [["d", "e,f"]]),
        ("a,b\nd,e\n", {"delimiter": ""}, ["a,b"], [["d,e"]]),
        ("a--b\nd--e\n", {"delimiter": "--"}, ["a", "b"], [["d", "e"]]),
        ("1,2\n3,4\n", {"has_header": True}, ["1", "2"], [["3", "4"]]),
        (
            "text,label\na,b\n",
            {"has_header": False},
            ["column_1", "column_2"],
            [["text", "label"], ["a", "b"]],
        ),
        ("'a','b'\n'c,d',e\n", {"quotechar": "'"}, ["a", "b"], [["c,d", "e"]]),
        ('"a",b\n"c",e\n', {"quotechar": ""}, ['"a"', "b"], [['"c"', "e"]]),
        ("x,y\n1,2\ntext,label\na,b\n", {"skipped_lines": 2}, ["text", "label"], [["a", "b"]]),
        ("a title\ntext\na, b\n", {"skipped_lines": 0}, ["a title"], [["text"], ["a, b"]]),
    ],
)
def test_a_choice_is_honoured_exactly(text, choice, columns, found):
    table = read(text, **choice)
    assert (list(table.frame.columns), rows(table)) == (columns, found)
    assert all(getattr(table.dialect, name) == value for name, value in choice.items())


def test_a_chosen_encoding_is_used():
    content = "text,label\nЖ,x\n".encode("koi8-r")
    assert rows(read_table(content, choice=ReadOptions(encoding="koi8_r"))) == [["Ж", "x"]]
    marked = "text,label\né,x\n".encode("utf-8-sig")
    assert list(read_table(marked, choice=ReadOptions(encoding="utf8")).frame.columns) == ["text", "label"]
    unmarked = "text,label\né,x\n".encode("utf-16-be")
    assert rows(read_table(unmarked, choice=ReadOptions(encoding="utf-16"))) == [["é", "x"]]


def test_a_few_broken_lines_do_not_make_a_chosen_encoding_wrong():
    content = b"text,label\n" + "äöü,x\n".encode() * 30 + b"\xff,y\n"
    table = read_table(content, choice=ReadOptions(encoding="utf-8"))
    assert (len(table.frame), reasons(table)) == (30, [(32, "bytes that are not utf-8")])


@pytest.mark.parametrize(
    ("choice", "expected", "found"),
    [
        ({"encoding": "utf-99"}, "an encoding that is known", "'utf-99'"),
        ({"encoding": "base64"}, "an encoding that is known", "'base64'"),
        ({"encoding": "idna"}, "an encoding that is known", "'idna'"),
        ({"encoding": "a\0b"}, "an encoding that is known", "'a\\x00b'"),
        (
            {"encoding": "ascii"},
            "a file in ascii",
            "bytes that it does not have in 1 of 2 lines, first in line 2",
        ),
        ({"delimiter": "\n"}, "a delimiter", "'\\n'"),
        ({"delimiter": "123456789"}, "a delimiter of at most 8 characters", "'123456789'"),
        ({"quotechar": "a"}, "a double or a single quotation mark", "'a'"),
        ({"skipped_lines": 2}, "from 0 to 1 lines above the table", "2"),
        ({"skipped_lines": -1}, "from 0 to 1 lines above the table", "-1"),
    ],
)
def test_a_choice_that_cannot_be_honoured_is_refused(choice, expected, found):
    with pytest.raises(UserError) as error:
        read("text,label\né,x\n", **choice)
    assert error.value.expected.startswith(expected)
    assert error.value.found == found
    assert error.value.remedy
