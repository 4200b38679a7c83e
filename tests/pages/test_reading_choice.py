"""How a file was read is shown on the Data page and can be changed there; the link keeps what was chosen."""

import pytest
from streamlit.testing.v1 import AppTest

from core.data.storage.uploads import keep_upload
from tests.pages.test_pages import DATA, PROJECT

TEXT = "Made by Zoë\n\ntext;label\n" + "".join(f"Schön, {i} mal;{'ab'[i % 2]}\n" for i in range(30))


@pytest.fixture
def upload():
    return keep_upload("table.csv", TEXT.encode("cp1252"))


def opened(upload, **params):
    page = AppTest.from_file(str(PROJECT / DATA), default_timeout=180)
    page.query_params["upload"] = upload.id
    for name, value in params.items():
        page.query_params[name] = value
    return page.run()


def names(page):
    return next(box.options for box in page.selectbox if box.label == "Label")


def captions(page):
    return " ".join(caption.value for caption in page.caption)


def choose(page, label, word):
    next(box for box in page.selectbox if box.label == label).set_value(word)
    return page.run()


def test_how_it_was_read_is_shown_and_every_line_is_counted(upload):
    page = opened(upload)
    badges = " ".join(markdown.value for markdown in page.markdown)
    assert not page.exception
    for words in ("cp1252", "semicolon", "with header", "2 lines above the table"):
        assert words in badges
    assert "33 lines in the file: 30 with rows, 1 with the header, 1 left out, 1 blank." in captions(page)


def test_a_choice_changes_the_table_stands_in_the_link_and_goes_back_with_a_click(upload):
    page = choose(opened(upload), "The table begins with", "no")
    assert names(page) == ["column_1", "column_2"]
    assert page.query_params["has_header"] == "no"
    page = choose(page, "Delimiter", ",")
    assert page.query_params["delimiter"] == ","
    assert not page.exception
    again = opened(upload, has_header="no")
    assert names(again) == ["column_1", "column_2"]
    next(button for button in again.button if button.label == "Back to the guess").click()
    again.run()
    assert names(again) == ["text", "label"]
    assert "has_header" not in again.query_params
    assert again.query_params["upload"] == upload.id


def test_lines_above_the_table_are_chosen(upload):
    page = opened(upload)
    page.number_input[0].set_value(4).run()
    assert page.query_params["skipped_lines"] == "4"
    assert not page.exception


def test_a_choice_that_cannot_be_is_told_and_can_be_taken_back(upload):
    page = opened(upload, encoding="ascii")
    assert "a file in ascii" in page.error[0].value
    next(button for button in page.button if button.label == "Back to the guess").click()
    assert names(page.run()) == ["text", "label"]


@pytest.mark.parametrize(
    "params",
    [
        {"encoding": "../../etc/passwd"},
        {"encoding": "\0", "delimiter": "<script>alert(1)</script>"},
        {"delimiter": "x" * 10_000, "quotechar": "\n"},
        {"skipped_lines": "-1"},
        {"skipped_lines": "9" * 400},
        {"skipped_lines": "999999999"},
        {"has_header": "<b>"},
    ],
)
def test_a_link_with_nonsense_gives_a_table_or_a_reason(upload, params):
    page = opened(upload, **params)
    assert not page.exception
    assert page.error or names(page) == ["text", "label"]
