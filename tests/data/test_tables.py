import csv
import io
import random

import pandas as pd
import pytest

from core.base.errors import UserError
from core.data.reading.files import read_table
from core.data.tables import Limits, RejectedRow


def rows(table):
    return table.frame.values.tolist()


def lines_and_reasons(table):
    return [(row.line, row.reason) for row in table.rejected]


def test_every_field_is_kept_exactly_as_it_stands_in_the_file():
    table = read_table(b'text,label\nNA,0123\n"  lead ",null\n,""\n1.0,TRUE\nNaN,\t\n')
    assert rows(table) == [["NA", "0123"], ["  lead ", "null"], ["", ""], ["1.0", "TRUE"], ["NaN", "\t"]]
    assert all(pd.api.types.is_string_dtype(kind) for kind in table.frame.dtypes)
    assert not table.frame.isna().any().any()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_recognised(delimiter, end):
    text = end.join(
        delimiter.join(row) for row in (("text", "label"), ("good, I say", "a"), ("bad; no", "b"))
    )
    text = text.replace("good, I say", '"good, I say"').replace("bad; no", '"bad; no"')
    table = read_table((text + end).encode())
    assert table.dialect.delimiter == delimiter
    assert rows(table) == [["good, I say", "a"], ["bad; no", "b"]]
    assert table.lines.tolist() == [2, 3]


def test_quoted_fields_may_hold_delimiters_doubled_marks_and_line_ends_of_any_kind():
    table = read_table(b'text,label\r\n"a, ""b""\r\nc\rd\ne",x\r\nf,y\r\n')
    assert rows(table) == [['a, "b"\r\nc\rd\ne', "x"], ["f", "y"]]
    assert table.lines.tolist() == [2, 6]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_are_recognised_with_and_without_a_mark(encoding, name):
    table = read_table("text,label\ncafé – “so-so”…,x\nplain,y\n".encode(encoding))
    assert table.dialect.encoding == name
    assert rows(table) == [["café – “so-so”…", "x"], ["plain", "y"]]


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_only_cr_and_lf_end_a_line(character):
    table = read_table(f"text,label\none{character}line,x\nnext,y\n".encode())
    assert rows(table) == [[f"one{character}line", "x"], ["next", "y"]]
    assert table.lines.tolist() == [2, 3]


def test_a_nul_is_a_character_like_others():
    assert rows(read_table(b"text,label\na\x00b,x\nc,y\n")) == [["a\x00b", "x"], ["c", "y"]]


def test_records_of_another_width_are_rejected_with_line_reason_and_raw_text():
    table = read_table(b"text,label,note\na,x,1\nb,y\n\nc, d,x,2\ne,y,3\n")
    assert rows(table) == [["a", "x", "1"], ["e", "y", "3"]]
    assert table.rejected == [
        RejectedRow(3, "expected 3 fields, found 2", "b,y"),
        RejectedRow(5, "expected 3 fields, found 4", "c, d,x,2"),
    ]
    assert table.lines.tolist() == [2, 6]


@pytest.mark.parametrize("after", ["ok,y\n" * 300, 'ok,y\n"well, quoted",y\n' * 200, '"a ""b"" c",y\n' * 200])
def test_a_quotation_mark_that_is_never_closed_costs_its_own_line_alone(after):
    table = read_table(f'text,label\nfine,x\n"open,x\n{after}'.encode())
    assert lines_and_reasons(table) == [(3, "a quotation mark opens a field and is never closed")]
    assert table.rejected[0].raw == '"open,x'
    assert len(table.frame) == 1 + after.count("\n")


def test_a_quotation_mark_closed_by_another_rows_mark_does_not_join_the_rows():
    table = read_table(b'text,label\nzero,pos\n"open,pos\none,neg\ntwo,pos\nthe end",neg\nthree,neg\n')
    assert [row[0] for row in rows(table)] == ["zero", "one", "two", 'the end"', "three"]
    assert [row.line for row in table.rejected] == [3]


def test_a_text_of_several_lines_with_a_delimiter_in_each_stays_one_text():
    table = read_table(b'text,label\nzero,pos\n"well, yes\nbut, no\nso, there",neg\nthree,neg\n')
    assert [row[0] for row in rows(table)] == ["zero", "well, yes\nbut, no\nso, there", "three"]


def test_a_record_of_the_wrong_width_made_by_another_rows_mark_costs_one_line_each():
    table = read_table(b'text,label\nfine,x\n"open,x\nok,y\nthe end"\nmore,y\n')
    assert [row[0] for row in rows(table)] == ["fine", "ok", "more"]
    assert lines_and_reasons(table) == [
        (3, "a quotation mark opens a field and is never closed"),
        (5, "expected 2 fields, found 1"),
    ]


def test_a_quotation_mark_that_is_open_on_the_last_line_is_never_closed():
    table = read_table(b'text,label\na,x\n"open,y')
    assert lines_and_reasons(table) == [(3, "a quotation mark opens a field and is never closed")]


def test_an_undoubled_quotation_mark_is_named_as_such():
    table = read_table(b'text,label\n"he said "no" twice",x\nok,y\n')
    assert lines_and_reasons(table) == [(2, "a quotation mark inside a quoted field is not doubled")]


def test_quotation_marks_are_plain_text_in_a_tab_separated_file_that_does_not_quote():
    lines = ['x\t"Never," she said', 'y\t"Wow"', "x\tplain", 'y\t"half', 'x\t12" wide'] * 5
    table = read_table("\n".join(lines).encode())
    assert rows(table) == [line.split("\t") for line in lines]
    assert table.dialect.quotechar == ""


def test_quotation_marks_stay_marks_in_a_tab_separated_file_that_quotes():
    quoted = read_table(b'"a"\t"x"\n' * 10 + b'"open\t"y"\n')
    assert (quoted.dialect.quotechar, len(quoted.frame), quoted.rejected[0].line) == ('"', 10, 11)
    doubled = read_table(b"plain\tx\n" * 10 + b'"so ""so"""\tx\n' * 3 + b'"open\tx\n')
    assert (doubled.dialect.quotechar, rows(doubled)[-1]) == ('"', ['so "so"', "x"])


def test_where_two_delimiters_fit_the_one_that_is_rarer_in_prose_is_meant():
    table = read_table(b"well, yes;x\nno, thanks;y\nhm, perhaps;x\n")
    assert rows(table) == [["well, yes", "x"], ["no, thanks", "y"], ["hm, perhaps", "x"]]


def test_rejected_rows_are_in_the_order_of_the_file():
    content = f"text,label\n{'long ' * 30},x\nok,y\nragged\n".encode()
    assert [row.line for row in read_table(content, Limits(field_characters=100)).rejected] == [2, 4]


def test_single_quotation_marks_are_recognised_and_apostrophes_are_left_alone():
    quoted = read_table(b"text,label\n'a, b',x\n'c',y\n'd, e',x\n")
    assert (quoted.dialect.quotechar, rows(quoted)[0]) == ("'", ["a, b", "x"])
    assert rows(read_table(b"text,label\n'tis late,x\ndon't go,y\n"))[0] == ["'tis late", "x"]
    both = read_table(b"label,text\n" + b"'yes',\"a, b\"\n" * 3)
    assert rows(both)[0] == ["'yes'", "a, b"]


def test_a_field_over_the_limit_is_rejected_and_the_rest_is_read():
    content = f"text,label\nshort,x\n{'long ' * 30},y\n".encode()
    table = read_table(content, Limits(field_characters=100))
    assert rows(table) == [["short", "x"]]
    assert lines_and_reasons(table) == [(3, "a field of 150 characters; at most 100 are read")]


def test_a_field_of_several_lines_over_the_limit_is_rejected_too():
    content = 'text,label\n"{}",y\nshort,x\n'.format("long\n" * 30).encode()
    table = read_table(content, Limits(field_characters=100))
    assert rows(table) == [["short", "x"]]
    assert [row.line for row in table.rejected] == [2]


def test_lines_with_bytes_that_are_not_utf8_are_rejected_in_a_file_that_is():
    good = "text,label\n" + "naïve café,x\n" * 20
    table = read_table(good.encode() + b"bro\xffken,y\n" + b"ok,y\n")
    assert table.dialect.encoding == "utf-8"
    assert lines_and_reasons(table) == [(22, "bytes that are not utf-8")]
    assert table.rejected[0].raw == "bro\ufffdken,y"
    assert len(table.frame) == 21


def test_raw_text_of_a_rejected_row_is_cut():
    table = read_table(f"text,label\na,b\n{'x' * 2000}\n".encode())
    assert len(table.rejected[0].raw) == 500


@pytest.mark.parametrize(
    ("text", "has_header"),
    [
        ("text,label\na,x\nb,y\n", True),
        ("Kommentar,Note\nSehr gut,1\nSchlecht,5\n", True),
        ("What did you like?,Course\nThe food.,Maths\nNothing.,Art\nAll of it.,Maths\n", True),
        ("Tell us in one sentence how it was.,Points\nGood.,3\nAll right.,4\n", True),
        ("remark,verdict\nlate again.,bad\non time.,good\n", True),
        ("it was late.,bad\non time.,good\nso late.,bad\n", False),
        ("3,first title,a body\n4,second title,more\n3,third,less\n", False),
        ("I came. I saw. I left.,x\nNobody was there.,y\n", False),
    ],
)
def test_a_header_is_told_from_a_row(text, has_header):
    table = read_table(text.encode())
    assert table.dialect.has_header is has_header
    assert len(table.frame) == text.count("\n") - has_header
    if not has_header:
        assert list(table.frame.columns) == [f"column_{i + 1}" for i in range(len(table.frame.columns))]


def test_column_names_are_made_distinct_and_blank_ones_are_numbered():
    table = read_table(b"text,text,, label ,text_2,start\t of\n1,2,3,4,5,6\n")
    assert list(table.frame.columns) == ["text", "text_3", "column_3", "label", "text_2", "start of"]
    assert rows(table) == [["1", "2", "3", "4", "5", "6"]]


def test_lines_of_prose_are_one_column_and_none_is_lost():
    prose = 'first, a comma .\nthen , two , commas .\nno comma here .\nhe said "so" .\n"never closed .\n'
    table = read_table((prose * 3).encode())
    assert [row[0] for row in rows(table)] == prose.splitlines() * 3
    assert table.dialect.delimiter == ""


def test_one_quoted_column_is_read_as_csv():
    table = read_table(b'text\n"a, b"\nc\n"d, ""e"""\n')
    assert rows(table) == [["a, b"], ["c"], ['d, "e"']]


def test_blank_lines_are_no_rows():
    table = read_table(b"\n\r\n\ntext,label\n\na,x\n\n\nb,y\n\n")
    assert rows(table) == [["a", "x"], ["b", "y"]]
    assert table.lines.tolist() == [6, 9]
    assert table.rejected == []


def test_take_keeps_the_lines_of_the_rows():
    taken = read_table(b"text,label\na,x\nb,y\nc,z\n").take([2, 0])
    assert rows(taken) == [["c", "z"], ["a", "x"]]
    assert taken.lines.tolist() == [4, 2]
    assert taken.frame.index.tolist() == [0, 1]


def test_whatever_a_csv_writer_writes_is_read_back():
    letters = [*"abc de ,;|\t\"'\n", "\r\n", "\r", "é", "\x85", "\u2028", "😀", "NA", '""']
    source = random.Random(0)
    for _ in range(300):
        written = [
            ["".join(source.choices(letters, k=source.randint(0, 15))), source.choice(["good", "bad", "x y"])]
            for _ in range(source.randint(5, 40))
        ]
        file = io.StringIO(newline="")
        delimiter = source.choice(",;\t|")
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerows([["text", "label"], *written])
        table = read_table(file.getvalue().encode(source.choice(["utf-8", "utf-8-sig", "utf-16"])))
        assert rows(table) == written, file.getvalue()


def test_every_line_of_any_text_lands_in_one_place():
    pieces = ["a", "b", " ", ",", '"', '""', ',"', '",', "\n", "\r\n", "x,pos\n", "y,neg\n", "\t", "é"]
    source = random.Random(0)
    read = 0
    for _ in range(3000):
        text = "".join(source.choices(pieces, k=source.randint(1, 60)))
        try:
            table = read_table(text.encode())
        except UserError:
            continue
        if table.dialect.has_header:
            continue
        read += 1
        kept = "".join(value for row in rows(table) for value in row)
        both = kept + "".join(row.raw for row in table.rejected)
        assert sum(map(str.isalpha, both)) == sum(map(str.isalpha, text)), text
        starts = [*table.lines.tolist(), *(row.line for row in table.rejected)]
        assert len(starts) == len(set(starts)), text
    assert read > 200


def test_too_many_rows_or_columns_are_refused_with_both_numbers():
    with pytest.raises(UserError, match=r"at most 3 rows; found 4"):
        read_table(b"text,label\n" + b"a,b\n" * 4, Limits(rows=3))
    with pytest.raises(UserError, match=r"at most 3 columns; found 4 columns"):
        read_table(b"a,b,c,d\n1,2,3,4\n", Limits(columns=3))
    assert len(read_table(b"text,label\n" + b"a,b\n" * 3, Limits(rows=3)).frame) == 3
