"""A file that is read by Arrow gives the table that reading it line by line gives."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.data.reading.text import clean_lines, delimited
from core.data.tables import Limits, ReadOptions
from tests.examples import examples

GUESS = ReadOptions()
FIELDS = st.text(st.sampled_from("ab ,;\t|\"'é😀\\#\x85"), max_size=8)
LINES = st.lists(
    st.sampled_from(
        ["a,x", 'b,"y"', '"c, d",x', '"say ""so""",y', "text,label", "", '"', 'e"f,x', "g", "h,,i"]
    ),
    min_size=1,
    max_size=12,
)


def clean_table(content, choice=GUESS):
    """The table that Arrow reads, None where the file is not clean."""
    encoding = delimited.find_encoding(content)
    found = clean_lines.read_clean(content, encoding, Limits(), choice)
    return found and delimited._table_of_clean(*found, encoding, Limits())


def slow_table(content, choice=GUESS):
    return delimited._read_lines(content, delimited.find_encoding(content), Limits(), choice)


def assert_alike(fast, slow):
    assert fast.frame.equals(slow.frame)
    assert (fast.frame.dtypes == slow.frame.dtypes).all()
    assert (fast.dialect, fast.line_count, fast.rejected) == (slow.dialect, slow.line_count, slow.rejected)
    assert (fast.lines == slow.lines).all()


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(clean_lines, "SMALLEST_BYTES", 0)
    # Blocks of a few lines, so that their seams are tried too.
    monkeypatch.setattr(clean_lines, "BLOCK_BYTES", 40)


def written(rows, delimiter, end, quoting):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    return file.getvalue()


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(st.tuples(FIELDS, FIELDS, st.sampled_from(["pos", "neg"])), min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.booleans(),
)
def test_what_a_writer_wrote_is_read_alike(rows, delimiter, end, quoting, encoding, named):
    header = [("title", "text", "label")] if named else []
    content = written([*header, *rows], delimiter, end, quoting).encode(encoding)
    try:
        fast = clean_table(content)
    except UserError:
        fast = None
    if fast is not None:
        assert_alike(fast, slow_table(content))


@settings(max_examples=examples(300), deadline=None)
@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_what_is_broken_is_read_alike_or_not_at_all(lines, end, ended):
    content = (end.join(lines) + (end if ended else "")).encode()
    fast = clean_table(content)
    if fast is not None:
        assert_alike(fast, slow_table(content))


@pytest.mark.parametrize(
    "text",
    [
        "text,label\na,x\nb,y\n",
        'text,label\n"a, ""b""",x\n"""c""","y"\n"",z',
        "text,label\r\na,x\r\nb,y\r\n",
        "1,some text\n2,more text\n",
        "\ufefftext\tlabel\nwell, yes\tx\nb\ty\n",
        "\ufeff1,some text\n2,more text\n",
    ],
)
def test_clean_files_are_seen_to_be_clean(text):
    assert_alike(clean_table(text.encode()), slow_table(text.encode()))


@pytest.mark.parametrize(
    "content",
    [
        b"text,label\na,x\n\nb,y\n",
        b"text,label\na,x\nb\n",
        b"text,label\na,x\nb,y,z\nc\n",
        b'text,label\n"a\nb",x\n',
        b'text,label\n"a" b,x\n',
        b'text,label\na "b" c,x\n',
        b"text,label\na,x\rb,y\n",
        b"text,label\na,x\ntext,label\nb,y\n",
        b"text,label\na\0,x\n",
        b"text,label\n\xe9,x\n" + "äöü,y\n".encode() * 20,
        b"a title\ntext,label\na,x\nb,y\n",
    ],
)
def test_files_that_are_not_clean_are_left_to_the_other_reader(content):
    assert clean_table(content) is None


def test_a_line_longer_than_a_field_may_be_is_left_to_the_other_reader():
    content = f"text,label\n{'long ' * 30},x\nb,y\n".encode()
    assert clean_lines.read_clean(content, "utf-8", Limits(field_characters=100), ReadOptions()) is None


@pytest.mark.parametrize(
    "choice",
    [
        ReadOptions(has_header=False),
        ReadOptions(delimiter=";"),
        ReadOptions(quotechar=""),
        ReadOptions(quotechar="'"),
    ],
)
def test_choices_are_honoured_alike(choice):
    content = b'"text";"label"\n"a, b";"x"\n\'c\';d\n'
    fast = clean_table(content, choice)
    assert fast is not None
    assert_alike(fast, slow_table(content, choice))


def test_real_files_are_read_alike(shared, monkeypatch):
    monkeypatch.setattr(clean_lines, "BLOCK_BYTES", 64 * 1024)
    read = 0
    for name in (
        "sst2/train.csv",
        "trec6/train.csv",
        "raw/ag_news/test.csv",
        "raw/sms_spam/SMSSpamCollection",
    ):
        content = shared(f"data/{name}").read_bytes()
        fast = clean_table(content)
        if fast is not None:
            read += 1
            assert_alike(fast, slow_table(content))
    assert read >= 3


def test_of_several_byte_order_marks_none_is_text():
    content = b"\xef\xbb\xbf\xef\xbb\xbfa|x\nb|y\n"
    assert clean_table(content) is None
    assert list(slow_table(content).frame.columns) == ["a", "x"]


def test_a_header_with_broken_bytes_is_not_clean():
    assert clean_table(b"\xef\xbb\xbf\xc1,B,C\nX,Y,Z\n") is None
