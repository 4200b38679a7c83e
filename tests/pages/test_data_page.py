"""What the Data page finds, mends, takes back and remembers."""

import json
import time

import pytest

from core.data.labels import ColumnMapping
from core.data.quality.fixes import Fix
from core.data.storage.datasets import list_datasets, load_splits
from core.data.storage.uploads import find_upload, keep_fixes, kept_fixes
from core.serving.export.model_card.card import model_card
from tests.pages.test_pages import ATTACKS, DATA, button, button_like, clean, labels, open_page, upload, words

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


@pytest.fixture
def dirty():
    return upload(table(*ROWS, *DIRT))


def titles(app):
    return [expander.label.replace("\\", "") for expander in app.expander]


def applied(app):
    return next((line for line in words(app).splitlines() if "applied" in line), None)


def test_clean_data_has_no_findings_and_no_fixes():
    app = open_page(DATA, upload=upload(table(*ROWS)))
    clean(app)
    assert titles(app) == ["Texts per class and split"]
    assert applied(app) is None


def test_every_finding_says_how_many_and_offers_its_fix(dirty):
    app = open_page(DATA, upload=dirty)
    clean(app)
    assert titles(app)[:-1] == [
        "Labels that differ only in how they are written (3)",
        "Classes with few texts (2)",
        "Very uneven classes (2)",
        "Possible personal data (1)",
        "Repeated texts (1)",
        "HTML in the texts (1)",
    ]
    assert {
        "Write them alike: 2 rows",
        "Mask them: 1 row",
        "Keep the first of each: 1 row",
        "Take HTML out: 1 row",
    } < set(labels(app))
    assert "Ask ja•••rg about the lamp" in words(app)
    assert "jane.doe@example.org" not in words(app)


def test_a_fix_is_applied_by_a_click_survives_a_reload_and_is_undone(dirty):
    app = open_page(DATA, upload=dirty)
    button(app, "Write them alike: 2 rows").click().run()
    button(app, "Keep the first of each: 1 row").click().run()
    for look in (app, open_page(DATA, upload=dirty)):
        clean(look)
        assert "**2 fixes applied**: 2 rows changed, 1 left out." in applied(look)
        assert "Labels written alike: 2 rows changed" in words(look)
        assert "Repeated texts: 1 row left out" in words(look)
        assert not any("how they are written" in title for title in titles(look))
        assert "in **2 classes**, **1 row** left out." in words(look)
    app.button(key="undo_drop_repeated").click().run()
    assert "**1 fix applied**: 2 rows changed, 0 left out." in applied(app)
    assert "no row left out" in words(app)
    assert any(title.startswith("Repeated texts") for title in titles(app))
    button(app, "Take HTML out: 1 row").click().run()
    button(app, "Undo all").click().run()
    assert applied(app) is None
    assert any("how they are written" in title for title in titles(app))


def test_what_a_later_fix_brings_to_light_is_found_and_mended_by_the_same_fix_again():
    in_html = ROWS[0].replace('"The', '"<p>The').replace('",', '</p>",')
    app = open_page(DATA, upload=(id := upload(table(*ROWS, ROWS[3], in_html))))
    app.button(key="fix_drop_repeated").click().run()
    assert not any(title.startswith("Repeated texts") for title in titles(app))
    button(app, "Take HTML out: 1 row").click().run()
    assert "Repeated texts (1)" in titles(app)
    app.button(key="fix_drop_repeated").click().run()
    clean(app)
    assert [fix.kind for fix in kept_fixes(find_upload(id), MAPPING)] == ["strip_html", "drop_repeated"]
    assert "**2 fixes applied**: 1 row changed, 2 left out." in applied(app)
    assert not any(title.startswith("Repeated texts") for title in titles(app))


def test_what_was_done_is_kept_with_the_data_set_and_shown(dirty):
    before = time.time()
    app = open_page(DATA, upload=dirty)
    for label in ("Write them alike: 2 rows", "Mask them: 1 row", "Keep the first of each: 1 row"):
        button(app, label).click().run()
    button(app, "Save").click().run()
    clean(app)
    (saved,) = list_datasets()
    assert [(done["fix"], done["changed"], done["left_out"]) for done in saved.source["fixes"]] == [
        ("Labels written alike", 2, 0),
        ("Personal data masked", 1, 0),
        ("Repeated texts", 0, 1),
    ]
    assert all(before <= done["time"] <= time.time() for done in saved.source["fixes"])
    splits = load_splits(saved.folder)
    texts = [*splits.train.texts, *splits.validation.texts, *splits.test.texts]
    assert "Ask [e-mail address] about the lamp" in texts
    assert len(texts) == len(ROWS) + 4
    assert list(splits.train.label2id) == ["bad", "good"]
    (rejected,) = map(json.loads, (saved.folder / "rejected.jsonl").read_text().splitlines())
    assert rejected["line"] == len(ROWS) + 6
    assert rejected["reason"] == "repeats line 5"
    shown = next(frame.value for frame in app.dataframe if "Rows left out" in frame.value)
    assert list(shown["Fix"]) == [done["fix"] for done in saved.source["fixes"]]
    card = model_card("MiniLM", saved, {}, None)
    assert "Mended: Labels written alike: 2 rows changed." in card.replace("\\", "").replace("\u2060", "")


def test_weighing_rare_classes_is_an_advice_to_the_training():
    rows = [*ROWS, *(f'"More of the same kind, number {word} {i}",good' for i in range(60) for word in WORDS)]
    app = open_page(DATA, upload=upload(table(*rows)))
    button(app, "Weigh rare classes more").click().run()
    assert not any(title.startswith("Very uneven") for title in titles(app))
    button(app, "Save").click().run()
    (saved,) = list_datasets()
    assert saved.source["advice"] == {"class_weights": True}
    assert saved.source["fixes"][0]["fix"] == "Rare classes weigh more in training"


def test_fixes_belong_to_the_columns_they_were_chosen_for(dirty):
    fixes = (Fix("drop_repeated", time=1.0), Fix("drop_other_languages", "en", time=2.0))
    keep_fixes(find_upload(dirty), MAPPING, fixes)
    assert kept_fixes(find_upload(dirty), MAPPING) == fixes
    assert [fix.time for fix in kept_fixes(find_upload(dirty), MAPPING)] == [1.0, 2.0]
    assert kept_fixes(find_upload(dirty), ColumnMapping(("text",), "text")) == ()


@pytest.mark.parametrize("content", [b"{ torn", b"[7]", b'[{"kind": "x"}]', b"7", b"\xff", b"[" * 100_000])
def test_damaged_fixes_are_no_fixes(dirty, content):
    found = find_upload(dirty)
    keep_fixes(found, MAPPING, [Fix("drop_repeated")])
    (note,) = [path for path in found.path.parent.glob("*.json") if path.name != "upload.json"]
    note.write_bytes(content)
    app = open_page(DATA, upload=dirty)
    clean(app)
    assert applied(app) is None


def test_a_fix_that_leaves_nothing_can_be_undone():
    rows = [f"{word},{'ab'[i % 2]}" for i, word in enumerate(WORDS)]
    id = upload(table(*rows))
    keep_fixes(find_upload(id), MAPPING, [Fix("drop_one_word")])
    app = open_page(DATA, upload=id)
    clean(app)
    assert "Texts of one word left out" in app.error[0].value
    assert "Save" not in labels(app)
    button(app, "Undo").click().run()
    assert "Save" in labels(app)


def test_a_fix_that_leaves_one_class_can_be_undone():
    id = upload(table(*(row for row in ROWS if row.endswith("good")), *DIRT[2:]))
    keep_fixes(find_upload(id), MAPPING, [Fix("drop_rare_classes")])
    app = open_page(DATA, upload=id)
    clean(app)
    assert "two or more classes" in app.error[0].value
    button(app, "Undo").click().run()
    assert "Save" in labels(app)


def test_training_texts_close_to_the_test_texts_are_shown_and_left_out():
    near = ROWS[0].replace("soup", "Soup!")
    test = upload(table(near, '"Something quite different, and long enough to be compared",bad'), "test.csv")
    app = open_page(DATA, upload=upload(table(*ROWS)), test=test)
    app.segmented_control[0].set_value("Own files").run()
    clean(app)
    button(app, "Leave them out of training: 1 row").click().run()
    clean(app)
    assert "**1 fix applied**: 0 rows changed, 1 left out." in applied(app)
    button(app, "Save").click().run()
    (saved,) = list_datasets()
    assert ROWS[0].split('"')[1] not in load_splits(saved.folder).train.texts
    assert saved.counts["test"] == 2
    assert saved.source["fixes"][0]["left_out"] == 1


def test_findings_and_fixes_show_other_peoples_text_as_it_is():
    attacks = [f'"{attack}, and again",{label}' for attack in ATTACKS[:5] for label in ("good", '"**x**"')]
    app = open_page(DATA, upload=upload(table(*ROWS, *attacks)))
    clean(app)
    button_like(
        app, "Leave these classes out" if "Leave these" in str(labels(app)) else "Leave them all"
    ).click().run()
    clean(app)
    kinds = ("markdown", "caption", "error", "warning", "info", "success", "subheader", "title")
    shown = "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))
    for attack in (*ATTACKS[:5], "**x**"):
        assert attack not in shown
