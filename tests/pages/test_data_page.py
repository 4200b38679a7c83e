"""The Data page: how a file is read, what is found and mended, how it is split, saved and deleted."""

import gzip
import json
import time

import pytest

from core.data.labels import ColumnMapping
from core.data.quality.fixes import Fix
from core.data.storage.datasets import list_datasets, load_splits
from core.data.storage.uploads import find_upload, keep_fixes, kept_fixes
from core.runs.training.run import own_dataset
from tests.data.packing import parquet, workbook, zipped
from tests.pages.opening import (
    ATTACKS,
    DATA,
    button,
    button_like,
    clean,
    clean_up,
    confirm_deletion,
    labels,
    open_page,
    table_with,
    upload,
    words,
)
from tests.pages.seeding import make_dataset, make_run

WORDS = ("soup", "bread", "salad", "waiter", "music", "table", "garden", "window", "candle", "bill")
ROWS = [
    f'"The {word} at number {place} was {mood}, so we {end}",{label}'
    for word in WORDS
    for place, (mood, end, label) in enumerate(
        [
            ("wonderful", "shall come back", "good"),
            ("a delight", "told our friends", "good"),
            ("dreadful", "left early", "bad"),
            ("too cold", "sent it back", "bad"),
            ("rather late", "complained to the owner", "bad"),
            ("just right", "stayed until midnight", "good"),
        ]
    )
]
DIRT = [
    '"Never again, I say",Bad ',
    '"Never again, I think",bad ',
    '"<p>Lovely &amp; quiet</p>",good',
    '"Ask jane.doe@example.org about the lamp",bad',
    ROWS[3],
]
MAPPING = ColumnMapping(("text",), "label")


def table(*rows):
    return "\n".join(["text,label", *rows, ""])


def opened(content, **params):
    app = open_page(DATA, upload=upload(content), **params)
    clean(app)
    return app


def plain(app):
    return words(app).replace("\\", "").replace("\u2060", "")


def box_called(app, label):
    return next(box for box in app.selectbox if box.label == label)


def saved(app):
    button(app, "Save").click().run()
    clean(app)
    return list_datasets()[0]


# How a file is read


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"%PDF-1.7 rest", "PDF"),
        ("text\nhello\nworld\n", "one column"),
        ("text,label\n,a\n ,b\n", "the text is empty"),
    ],
)
def test_a_file_without_use_is_refused_with_a_reason_and_a_remedy(content, reason):
    app = opened(content)
    assert reason in app.error[0].value.replace("\\", "")
    assert "**What to do:**" in app.error[0].value
    assert "Save" not in labels(app)
    assert "Choose another file" in labels(app)


LINES = "Made by Zoë\n\ntext;label\n" + "".join(f"Schön, {i} mal;{'ab'[i % 2]}\n" for i in range(30))
LINES = LINES.encode("cp1252")


def test_how_a_file_was_read_is_shown_changed_stands_in_the_link_and_goes_back_with_a_click():
    app = opened(LINES)
    for part in ("30 rows", "cp1252", "delimiter: semicolon", "with header", "2 lines above the table"):
        assert part in plain(app)
    assert "33 lines in the file: 30 with rows, 1 with the header, 1 left out, 1 blank." in words(app)
    app.number_input[0].set_value(3).run()
    assert app.query_params["skipped_lines"] == "3"
    box_called(app, "The table begins with").set_value("no").run()
    assert box_called(app, "Label").options == ["column_1", "column_2"]
    assert app.query_params["has_header"] == "no"
    again = open_page(DATA, upload=app.query_params["upload"], has_header="no")
    assert box_called(again, "Label").options == ["column_1", "column_2"]
    button(again, "Back to the guess").click().run()
    clean(again)
    assert box_called(again, "Label").options == ["text", "label"]
    assert "has_header" not in again.query_params


def test_a_choice_that_cannot_be_is_told_and_can_be_taken_back():
    app = opened(LINES, encoding="ascii")
    assert "a file in ascii" in app.error[0].value
    button(app, "Back to the guess").click().run()
    assert box_called(app, "Label").options == ["text", "label"]


def test_a_link_with_nonsense_gives_a_table():
    app = opened(LINES, encoding="\0", delimiter="<script>", skipped_lines="9" * 400, has_header="<b>")
    assert app.error or box_called(app, "Label").options == ["text", "label"]


RECORDS = [{"text": row.split('"')[1], "label": row[-4:].strip(",")} for row in ROWS]
SHEETS = {
    "Notes": [["How this was made"], ["by hand"]],
    "Answers": [["Survey"], ["text", "label"], *([record["text"], record["label"]] for record in RECORDS)],
    "Old": [["text", "label"], ["gone", "good"], ["also gone", "bad"]],
}


@pytest.mark.parametrize(
    ("content", "kind", "choices"),
    [
        (json.dumps(RECORDS).encode(), "JSON", ["Encoding"]),
        (
            parquet({name: [record[name] for record in RECORDS] for name in ("text", "label")}),
            "Parquet",
            [],
        ),
        (
            gzip.compress(table(*ROWS).encode()),
            "CSV, packed (gzip)",
            ["Encoding", "Delimiter", "Quotation marks", "The table begins with"],
        ),
    ],
    ids=["json", "parquet", "gzip"],
)
def test_a_file_of_another_format_has_its_choices_and_can_be_saved(content, kind, choices):
    app = opened(content)
    assert kind in plain(app)
    assert f"{len(ROWS)} rows" in plain(app)
    assert [box.label for box in app.selectbox] == [*choices, "Label"]
    assert not button(app, "Save").disabled


def test_another_sheet_is_chosen_and_one_that_is_no_table_can_be_left_for_another():
    app = opened(workbook(SHEETS), sheet="no such sheet")
    assert "no such sheet" in app.error[0].value.replace("\\", "")
    box_called(app, "Sheet").select("Answers").run()
    assert "sheet: Answers" in plain(app)
    assert "1 row above the table" in plain(app)
    box_called(app, "Sheet").select("Old").run()
    assert app.query_params["sheet"] in ("Old", ["Old"])
    app.run()
    assert "sheet: Old" in plain(app)


def test_another_file_of_an_archive_is_chosen_and_what_was_said_of_the_first_is_forgotten():
    app = opened(zipped({"book.xlsx": workbook(SHEETS), "small.csv": b"text,label\na,x\nb,y\n"}), sheet="Old")
    assert "file: book.xlsx" in plain(app)
    assert "sheet: Old" in plain(app)
    box_called(app, "File in the archive").select("small.csv").run()
    clean(app)
    assert "file: small.csv" in plain(app)
    assert "sheet" not in app.query_params


# Columns, rows and the split


def test_an_error_in_the_data_blocks_saving():
    app = opened(table(*(f"text number {i},label {i}" for i in range(60))))
    assert app.error
    assert button(app, "Save").disabled


def test_every_row_left_out_is_counted_and_shown():
    app = opened(table(*(f"words {i},{'ab'[i % 2]}" for i in range(40)), ",a", "no label here,"))
    assert "**2 rows** left out" in words(app)
    assert list(table_with(app, "Why")["Line"]) == [42, 43]


def test_columns_can_be_chosen_and_joined():
    rows = "".join(f"head {i},body {i},{'ab'[i % 2]}\n" for i in range(40))
    app = opened(f"title,text,label\n{rows}")
    app.multiselect[0].set_value([]).run()
    assert "none chosen for the text" in app.error[0].value
    app.multiselect[0].set_value(["title", "text"]).run()
    assert saved(app).source["text"] == ["title", "text"]


def test_a_split_column_is_offered_and_used():
    parts = ("train",) * 6 + ("dev",) * 2 + ("test",) * 2
    rows = "".join(f"words {i},{'ab'[i % 2]},{parts[i % 10]}\n" for i in range(60))
    app = opened(f"text,label,split\n{rows}")
    assert app.segmented_control[0].value == "A split column"
    assert saved(app).counts == {"train": 36, "validation": 12, "test": 12}


def test_an_own_test_file_becomes_the_test_texts_and_training_texts_close_to_them_are_left_out():
    near = ROWS[0].replace("soup", "Soup!")
    other = '"Something quite different, and long enough to be compared",bad'
    test = upload(table(near, other, '"A stranger",odd'), "test.csv")
    app = opened(table(*ROWS), test=test)
    app.segmented_control[0].set_value("Own files").run()
    assert "**1 row** left out" in words(app)
    button(app, "Leave them out of training: 1 row").click().run()
    clean(app)
    assert "**1 fix applied**: 0 rows changed, 1 left out." in words(app)
    data = saved(app)
    assert ROWS[0].split('"')[1] not in load_splits(data.folder).train.texts
    assert data.counts["test"] == 2
    assert data.source["fixes"][0]["left_out"] == 1


# What is found and mended


@pytest.fixture
def dirty():
    return upload(table(*ROWS, *DIRT))


def titles(app):
    return [expander.label.replace("\\", "") for expander in app.expander]


def applied(app):
    return next((line for line in words(app).splitlines() if "applied" in line), None)


def test_clean_data_has_no_findings_and_no_fixes():
    app = opened(table(*ROWS))
    assert titles(app) == ["Texts per class and split"]
    assert applied(app) is None


def test_every_finding_says_how_many_and_offers_its_fix(dirty):
    app = open_page(DATA, upload=dirty)
    clean(app)
    assert "Labels that differ only in how they are written (3)" in titles(app)
    fixes = {"Write them alike: 2 rows", "Mask them: 1 row", "Keep the first of each: 1 row"}
    assert fixes < set(labels(app))
    assert "Ask ja•••rg about the lamp" in words(app)
    assert "jane.doe@example.org" not in words(app)


def test_fixes_survive_a_reload_are_undone_and_kept_with_the_data_set(dirty):
    before = time.time()
    app = open_page(DATA, upload=dirty)
    for label in ("Write them alike: 2 rows", "Mask them: 1 row", "Keep the first of each: 1 row"):
        button(app, label).click().run()
    for look in (app, open_page(DATA, upload=dirty)):
        clean(look)
        assert "**3 fixes applied**: 3 rows changed, 1 left out." in applied(look)
        assert "Labels written alike: 2 rows changed" in words(look)
        assert not any("how they are written" in title for title in titles(look))
        assert "in **2 classes**, **1 row** left out." in words(look)
    app.button(key="undo_mask_personal").click().run()
    assert "**2 fixes applied**: 2 rows changed, 1 left out." in applied(app)
    assert "Mask them: 1 row" in labels(app)
    data = saved(app)
    assert [(done["fix"], done["changed"], done["left_out"]) for done in data.source["fixes"]] == [
        ("Labels written alike", 2, 0),
        ("Repeated texts", 0, 1),
    ]
    assert all(before <= done["time"] <= time.time() for done in data.source["fixes"])
    (rejected,) = map(json.loads, (data.folder / "rejected.jsonl").read_text().splitlines())
    assert (rejected["line"], rejected["reason"]) == (len(ROWS) + 6, "repeats line 5")
    shown = table_with(app, "Rows left out")
    assert list(shown["Fix"]) == [done["fix"] for done in data.source["fixes"]]


def test_what_a_later_fix_brings_to_light_is_mended_by_the_same_fix_again_and_all_are_undone():
    in_html = ROWS[0].replace('"The', '"<p>The').replace('",', '</p>",')
    app = open_page(DATA, upload=(id := upload(table(*ROWS, ROWS[3], in_html))))
    app.button(key="fix_drop_repeated").click().run()
    button(app, "Take HTML out: 1 row").click().run()
    assert "Repeated texts (1)" in titles(app)
    app.button(key="fix_drop_repeated").click().run()
    clean(app)
    assert [fix.kind for fix in kept_fixes(find_upload(id), MAPPING)] == ["strip_html", "drop_repeated"]
    assert not any(title.startswith("Repeated texts") for title in titles(app))
    button(app, "Undo all").click().run()
    assert applied(app) is None
    assert "Repeated texts (1)" in titles(app)


def test_weighing_rare_classes_is_an_advice_to_the_training():
    rows = [*ROWS, *(f'"More of the same kind, number {word} {i}",good' for i in range(60) for word in WORDS)]
    app = opened(table(*rows))
    button(app, "Weigh rare classes more").click().run()
    assert not any(title.startswith("Very uneven") for title in titles(app))
    data = saved(app)
    assert data.source["advice"] == {"class_weights": True}
    assert data.source["fixes"][0]["fix"] == "Rare classes weigh more in training"


@pytest.mark.parametrize(
    ("rows", "kind", "error"),
    [
        ([f"{word},{'ab'[i % 2]}" for i, word in enumerate(WORDS)], "drop_one_word", "of one word left out"),
        (
            [*(row for row in ROWS if row.endswith("good")), *DIRT[2:]],
            "drop_rare_classes",
            "two or more classes",
        ),
    ],
)
def test_a_fix_that_leaves_nothing_or_one_class_can_be_undone(rows, kind, error):
    id = upload(table(*rows))
    keep_fixes(find_upload(id), MAPPING, [Fix(kind)])
    app = open_page(DATA, upload=id)
    clean(app)
    assert error in app.error[0].value
    assert "Save" not in labels(app)
    button(app, "Undo").click().run()
    assert "Save" in labels(app)


def test_findings_and_fixes_show_other_peoples_text_as_it_is():
    attacks = [f'"{attack}, and again",{label}' for attack in ATTACKS[:5] for label in ("good", '"**x**"')]
    app = opened(table(*ROWS, *attacks))
    button_like(app, "Leave them all").click().run()
    clean(app)
    kinds = ("markdown", "caption", "error", "warning", "info", "success", "subheader", "title")
    shown = "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))
    assert not [attack for attack in (*ATTACKS[:5], "**x**") if attack in shown]


# Saved data sets


def select_first_dataset(app, id):
    app.session_state[f"datasets_1_{id}"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()


def test_a_saved_data_set_is_deleted_after_a_question():
    data = make_dataset("Old letters")
    app = open_page(DATA)
    select_first_dataset(app, data.id)
    button(app, "Delete").click().run()
    assert list_datasets()[0].id == data.id
    assert "keep their own copy" in words(app)
    freed = button_like(app, "Delete it and free").label.removeprefix("Delete it and free ")
    confirm_deletion(app)
    clean(app)
    assert not list_datasets()
    assert app.success[0].value == f"1 data set deleted; {freed} freed."


def test_a_damaged_data_set_is_listed_with_its_reason_and_can_only_be_deleted():
    data = make_dataset("Old letters")
    (data.folder / "dataset.json").write_text("{ torn")
    app = open_page(DATA)
    assert list(app.dataframe[-1].value["Name"]) == ["(cannot be read)"]
    select_first_dataset(app, data.id)
    assert "dataset" in app.error[0].value
    assert "Train on the selected one" not in labels(app)
    button(app, "Delete").click().run()
    confirm_deletion(app)
    clean(app)
    assert not data.folder.exists()


def test_data_sets_are_cleaned_up_by_age_after_a_look_at_what_would_go(held):
    data = make_dataset("Letters")
    run = make_run("finished", data, held)
    app = clean_up(open_page(DATA), 1)
    assert "No data set was saved more than 1 day ago" in words(app)
    app = clean_up(app, 0)
    assert list(table_with(app, "Size")["Name"]) == ["Letters"]
    label = button_like(app, "Delete 1 data set and free").label
    assert data.folder.is_dir()
    app = clean_up(app, 0, delete=True)
    assert not data.folder.exists()
    freed = label.removeprefix("Delete 1 data set and free ")
    assert app.success[0].value == f"1 data set deleted; {freed} freed."
    assert own_dataset(run).counts == data.counts
