"""The Data page with files of every format: what was read, and which sheet or packed file is shown."""

import gzip
import json

import pytest

from core.data.storage.uploads import keep_upload
from tests.data.packing import parquet, workbook, zipped
from tests.pages.test_pages import DATA, clean, open_page, words

ROWS = [(f"The {noun} is {state}", "good" if state == "fine" else "bad")
        for noun in ("soup", "bread", "music", "garden", "candle", "bill")
        for state in ("fine", "late", "cold")]  # fmt: skip
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
RECORDS = [{"text": text, "label": label} for text, label in ROWS]
SHEETS = {
    "Notes": [["How this was made"], ["by hand"]],
    "Answers": [["Survey"], ["text", "label"], *map(list, ROWS)],
    "Old": [["text", "label"], ["gone", "good"], ["also gone", "bad"]],
}


def opened(content, **params):
    return open_page(DATA, upload=keep_upload("file", content).id, **params)


def badges(app):
    clean(app)
    return words(app).replace("\\", "").replace("\u2060", "")


def choice_called(app, label):
    return next(box for box in app.selectbox if box.label == label)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (CSV.encode(), "CSV"),
        (CSV.replace(",", "\t").encode(), "TSV"),
        (json.dumps(RECORDS).encode(), "JSON"),
        ("\n".join(map(json.dumps, RECORDS)).encode(), "JSON Lines"),
        (workbook({"A": SHEETS["Answers"]}), "Excel"),
        (parquet({"text": [r[0] for r in ROWS], "label": [r[1] for r in ROWS]}), "Parquet"),
        (gzip.compress(CSV.encode()), "CSV, packed (gzip)"),
        (zipped({"a.csv": CSV.encode()}), "CSV, packed (zip)"),
    ],
)
def test_every_format_is_named_and_can_be_saved(content, kind):
    app = opened(content)
    assert kind in badges(app)
    assert f"{len(ROWS)} rows" in badges(app)
    assert not next(button for button in app.button if button.label == "Save").disabled


def test_another_sheet_is_chosen_and_stands_in_the_link():
    app = opened(workbook(SHEETS))
    assert "sheet: Answers" in badges(app)
    assert "1 row above the table" in badges(app)
    choice_called(app, "Sheet").select("Old").run()
    assert "sheet: Old" in badges(app)
    assert app.query_params["sheet"] in ("Old", ["Old"])
    app.run()
    assert "sheet: Old" in badges(app)
    next(button for button in app.button if button.label == "Back to the guess").click().run()
    assert "sheet: Answers" in badges(app)


def test_a_sheet_that_is_no_table_can_be_left_for_another():
    app = opened(workbook(SHEETS), sheet="no such sheet")
    assert "no such sheet" in app.error[0].value.replace("\\", "")
    choice_called(app, "Sheet").select("Answers").run()
    assert "sheet: Answers" in badges(app)


def test_another_file_of_an_archive_is_chosen_and_what_was_said_of_the_first_is_forgotten():
    content = zipped({"book.xlsx": workbook(SHEETS), "small.csv": b"text,label\na,x\nb,y\n"})
    app = opened(content, sheet="Old")
    assert "file: book.xlsx" in badges(app)
    assert "sheet: Old" in badges(app)
    choice_called(app, "File in the archive").select("small.csv").run()
    assert "file: small.csv" in badges(app)
    assert "sheet" not in app.query_params


def test_a_file_without_a_choice_has_no_control_that_does_nothing():
    app = opened(parquet({"text": [r[0] for r in ROWS], "label": [r[1] for r in ROWS]}))
    assert [box.label for box in app.selectbox] == ["Label"]
    app = opened(json.dumps(RECORDS).encode())
    assert [box.label for box in app.selectbox] == ["Encoding", "Label"]
