"""Other people's text shows as itself, numbers have units, and a run is shared by the address of the app."""

import pytest

from core.base.errors import UserError
from core.base.formatting import WORD_JOINER, count, duration, escape_markdown, explain, shorten, size
from pages.ui.navigation import run_link


@pytest.mark.parametrize(
    "text", ["[x](javascript:1)", "<b>", "$x$", ":red[x]", "![](http://x)", "# a", "`c`", "*a*"]
)
def test_every_mark_of_markdown_is_escaped(text):
    escaped = escape_markdown(text)
    for i, sign in enumerate(escaped):
        if not sign.isalnum() and sign not in f" \\{WORD_JOINER}":
            assert escaped[i - 1] == "\\"
    assert escaped.replace("\\", "").replace(WORD_JOINER, "") == text


@pytest.mark.parametrize("text", [":smile:", "a -> b", "http://a.example", "www.a.example", "me@a.example"])
def test_what_a_renderer_would_replace_is_broken_up(text):
    assert WORD_JOINER in escape_markdown(text)


def test_escaped_text_is_one_line():
    assert escape_markdown("a\n\n    b\t c") == "a b c"


def test_an_error_is_explained_with_its_remedy():
    error = UserError("a *table*", "<b>", "Choose another file.")
    assert explain(error) == (
        "Expected a \\*table\\*\\; found \\<b\\>\\.\n\n**What to do:** Choose another file\\."
    )


def test_numbers_have_units():
    assert [count(1, "row"), count(1234, "row"), count(2, "class", "classes")] == [
        "1 row",
        "1,234 rows",
        "2 classes",
    ]
    assert [duration(7.6), duration(200), duration(7500)] == ["8 s", "3 min 20 s", "2 h 5 min"]
    assert [size(512), size(4100), size(92_300_000), size(5 * 10**12)] == [
        "512 bytes",
        "4.1 kB",
        "92.3 MB",
        "5000.0 GB",
    ]
    assert shorten("x" * 90, 80) == "x" * 79 + "…"


@pytest.mark.parametrize(
    "address", ["http://h:1/base/Train", "http://h:1/base/", "http://h:1/base/Runs?run=x", "http://h:1/base"]
)
def test_a_run_is_shared_by_the_address_of_the_app(address):
    assert run_link(address, "ID") == "http://h:1/base/?run=ID"
    assert run_link(None, "ID") == "/?run=ID"
