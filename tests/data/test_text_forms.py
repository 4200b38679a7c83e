"""What is looked for in single texts: mark-up, personal data, languages."""

import time
from collections.abc import Callable

import pytest

from core.data.quality import languages, markup, personal_data
from core.data.quality.fixes import is_one_word


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>One</p><p>Two</p>", "One Two"),
        ("bo<b>l</b>d", "bold"),
        ("a<br>b<br/>c<BR >d", "a b c d"),
        ("Tom &amp; Jerry&#39;s &lt;3", "Tom & Jerry's <3"),
        ("&amp;lt;br&amp;gt;twice packed", "twice packed"),
        ("<script>alert('x')</script>seen<style>p {}</style>", "seen"),
        ("<!-- hidden <b>x</b> -->seen<!---->", "seen"),
        ("seen <!-- never <!-- closed", "seen never closed"),
        ('<a href="https://a.example/?x=1&y=2">link</a>', "link"),
        ("<user> said <3 & left <b>at once</b>", "<user> said <3 & left at once"),
        ("never closed <b", "never closed <b"),
        ("<div>never closed", "never closed"),
    ],
)
def test_html_is_taken_out_and_nothing_else(text, plain):
    assert markup.strip_html(text) == plain
    assert markup.has_html(text) == (text != plain)
    assert not markup.has_html(plain)


@pytest.mark.parametrize(
    "text", ["a < b and b > c", "I <3 you", "AT&T", "R&D; fine", "<user>", "x &notanentity; y", "2<3>1"]
)
def test_what_only_looks_like_html_is_left(text):
    assert not markup.has_html(text)


@pytest.mark.parametrize(
    "torn", ["<![", "<![if x]>", "<![CDATA[", "<!", "<?", "</", "&#xD800;", "&#99999999;", "\ud800"]
)
def test_torn_html_is_taken_out_without_an_error(torn):
    assert markup.strip_html(f"<b>seen</b> {torn} <br>").startswith("seen")
    assert markup.strip_html(f"{torn}<br>") is not None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("**Very** good", "Very good"),
        ("see [here](https://a.example/x) now", "see here now"),
        ("![a cat](/cat.png)", "a cat"),
        ("# Title\ntext", "Title\ntext"),
        ("```python\ncode\n```", "code"),
        ("__Note__ this", "Note this"),
    ],
)
def test_markdown_is_taken_out(text, plain):
    assert markup.has_markdown(text)
    assert markup.strip_markdown(text) == plain
    assert not markup.has_markdown(plain)


@pytest.mark.parametrize(
    "text", ["2 ** 3 ** 4", "#hashtag", "@__name__", "a [note](see below)", "snake__case__x", "f**k this **"]
)
def test_what_only_looks_like_markdown_is_left(text):
    assert not markup.has_markdown(text)


@pytest.mark.parametrize(
    "text", ["https://a.example/x?y=1", " www.a.example  HTTP://b.example/. ", "(https://a.example)"]
)
def test_texts_of_nothing_but_links_are_known(text):
    assert markup.is_only_links(text)
    assert not markup.is_only_links(text + " look")
    assert not markup.is_only_links("look " + text)


FOUND = {
    "jane.doe+x@mail.example.org": "e-mail address",
    "+44 20 7946 0958": "phone number",
    "(030) 901820-12": "phone number",
    "0049 (0)170 / 12 34 567": "phone number",
    "555-123-4567": "phone number",
    "(212) 555-0134": "phone number",
    "DE89 3704 0044 0532 0130 00": "IBAN",
    "GB82WEST12345698765432": "IBAN",
    "GB83WEST12345698765432": None,
    "4111 1111 1111 1111": "card number",
    "4111 1111 1111 1112": None,
    "2024-05-01 12:30": None,
    "01.05.2024": None,
    "1,000,000 people": None,
    "0.12345678901": None,
    "12345678": None,
    "00000000000": None,
    "@name": None,
    "https://a.example/status/0123456789012": None,
}


@pytest.mark.parametrize("value", FOUND)
def test_personal_data_are_known_by_their_form_and_check_digits(value):
    text = f"Reach me: {value} (evenings)."
    found = personal_data.find(text)
    assert [datum.kind for datum in found] == ([FOUND[value]] if FOUND[value] else [])
    assert personal_data.mask(text) == (text.replace(value, f"[{FOUND[value]}]") if FOUND[value] else text)


def test_masked_texts_hold_nothing_more_and_hints_hide_the_middle():
    text = "a.b@c.example, +44 20 7946 0958 and 4111-1111-1111-1111"
    assert personal_data.mask(text) == "[e-mail address], [phone number] and [card number]"
    assert personal_data.find(personal_data.mask(text)) == []
    assert personal_data.hint(text) == "a.•••le, +4•••58 and 41•••11"


def processor_seconds(work: Callable[[], object]) -> float:
    """Time on the processor: what else the machine does is not counted."""
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize("torn", ["<a ", "<a b='", "</", "<?", "<!", "<!--", "<script>", "</script"])
def test_torn_html_takes_time_that_grows_with_its_length(torn):
    # To try every "<a " as a tag takes hours for a text as long as this.
    text = "seen<br>" + torn * (400_000 // len(torn))
    assert processor_seconds(lambda: markup.strip_html(text)) < 8


def test_many_finds_in_one_text_take_time_that_grows_with_their_number():
    # Compared with one another, so many would take ten seconds.
    text = "ab@cd.ee, +44 20 7946 0958; " * 10_000
    assert processor_seconds(lambda: personal_data.mask(text)) < 4
    assert personal_data.mask(text) == "[e-mail address], [phone number]; " * 10_000


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The service was slow and the food arrived cold", "en"),
        ("Das Essen war leider kalt und die Bedienung unfreundlich", "de"),
        ("La comida estaba muy fría y el servicio fue muy lento", "es"),
        ("この本はとても面白かったです。", "ja"),
        ("Очень плохое обслуживание, больше сюда не приду", "ru"),
        ("Yes please", None),
        ("https://a.example/der-die-das @von #und 123 456 789 000", None),
        ("", None),
        ("\ud800\x00\n", None),
    ],
)
def test_a_language_is_told_where_it_is_sure(text, code):
    assert languages.detect([text]) == [code]


def test_the_main_language_is_that_of_most_texts_if_there_is_one():
    assert languages.main_language(["en"] * 19) is None
    assert languages.main_language(["en"] * 20 + [None] * 100) == "en"
    assert languages.main_language(["en"] * 70 + ["de"] * 30) == "en"
    assert languages.main_language(["en"] * 69 + ["de"] * 31) is None


@pytest.mark.parametrize(
    ("text", "one"),
    [("Yes!", True), ("  ok ", True), ("two words", False), ("这家餐厅很好", False), ("好", True)],
)
def test_a_single_word_is_known(text, one):
    assert is_one_word(text) == one
