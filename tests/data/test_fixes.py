import dataclasses
import json

import numpy as np
import pytest

from core.base.errors import UserError
from core.base.json_forms import WrongForm, parse_as
from core.data.labels import ColumnMapping
from core.data.preparing import Parts, parts_of_table, prepare
from core.data.quality.checks import find_problems
from core.data.quality.findings import Finding, Offer, applied_in_words, is_answered
from core.data.quality.fixes import (
    KINDS,
    OTHER,
    AppliedFix,
    Fix,
    apply,
    apply_to_other,
    apply_to_splits,
    done_to,
)
from core.data.splits import SplitPlan, Splits
from core.data.storage.uploads import keep_fixes, keep_upload, kept_fixes

VALUES = {"drop_other_languages": "en"}


def fix(kind):
    return Fix(kind, VALUES.get(kind, ""))


@pytest.fixture
def lined(labeled):
    """LabeledTexts of (text, label) pairs from a file with a header and one line for each."""

    def make(pairs):
        return dataclasses.replace(labeled(pairs), lines=np.arange(2, len(pairs) + 2))

    return make


def rows(texts):
    return list(zip(texts.texts, [texts.id2label[number] for number in texts.labels], strict=True))


GOOD = [
    (f"The {word} in the {place} was very good this time", label)
    for label, words in (("pos", "soup bread salad"), ("neg", "waiter table music"))
    for word in words.split()
    for place in ("garden", "kitchen", "cellar", "old town")
]
REPEAT = (GOOD[0][0].upper() + " ", GOOD[0][1])
DIRTY = {
    "write_labels_alike": [("Another fine day", "Pos "), ("A third fine day", "pos")],
    "drop_rare_classes": [("so rare", "a"), ("so rare too", "b"), ("as rare", "b")],
    "join_rare_classes": [("so rare", "a"), ("so rare too", "b"), ("as rare", "b")],
    "drop_conflicting": [("so so", "pos"), ("So  so", "neg")],
    "keep_majority": [("so so", "pos"), ("So  so", "neg"), ("so so", "neg")],
    "drop_repeated": [REPEAT],
    "drop_near_repeated": [(GOOD[0][0] + "!!", GOOD[0][1])],
    "drop_one_word": [("Yes!", "pos")],
    "drop_only_links": [("https://a.example/x  www.b.example/y", "pos")],
    "drop_other_languages": [("Das Essen war leider kalt und die Bedienung sehr unfreundlich", "neg")],
    "strip_html": [("Fine <br/>food &amp; <b>wine</b>, <3 it", "pos")],
    "strip_markdown": [("A **very** good [place](https://a.example/)", "pos")],
    "mask_personal": [("Write to jane.doe@example.org today", "pos")],
}
OFFERED = [kind for kind in KINDS if kind not in ("drop_leaks", "weigh_classes")]


@pytest.mark.parametrize("kind", OFFERED)
def test_a_finding_offers_the_fix_with_the_number_of_rows_it_has_and_is_gone_after_it(kind, lined):
    texts = lined([*GOOD, *DIRTY[kind]])
    offers = [offer for finding in find_problems(texts, []) for offer in finding.offers]
    (offer,) = [offer for offer in offers if offer.fix == fix(kind)]
    fixed = apply(texts, [offer.fix])
    (done,) = fixed.done
    assert done.changed + done.left_out == offer.rows > 0
    assert done.left_out == len(fixed.rejected)
    after = [offer.fix for finding in find_problems(fixed.labeled, []) for offer in finding.offers]
    assert offer.fix not in after
    assert find_problems(apply(lined(GOOD), [offer.fix]).labeled, [])[0].title == "Few texts"


@pytest.mark.parametrize("kind", OFFERED)
def test_no_row_is_lost_and_the_originals_stay_as_they_are(kind, lined):
    texts = lined([*GOOD, *DIRTY[kind]])
    before = (list(texts.texts), list(texts.labels), dict(texts.label2id))
    fixed = apply(texts, [fix(kind)])
    lines = sorted([*fixed.labeled.lines.tolist(), *(row.line for row in fixed.rejected)])
    assert lines == texts.lines.tolist()
    assert before == (texts.texts, texts.labels, texts.label2id)
    assert set(fixed.labeled.labels) == set(fixed.labeled.label2id.values())
    untouched = [row for row in rows(fixed.labeled) if row in GOOD]
    assert untouched == [row for row in GOOD if kind != "drop_conflicting" or row in untouched]


EXPECTED = {
    "write_labels_alike": [("Another fine day", "pos"), ("A third fine day", "pos")],
    "drop_rare_classes": [],
    "join_rare_classes": [(text, OTHER) for text, _ in DIRTY["join_rare_classes"]],
    "drop_conflicting": [],
    "keep_majority": [("So  so", "neg"), ("so so", "neg")],
    "drop_repeated": [],
    "drop_near_repeated": [],
    "drop_one_word": [],
    "drop_only_links": [],
    "drop_other_languages": [],
    "strip_html": [("Fine food & wine, <3 it", "pos")],
    "strip_markdown": [("A very good place", "pos")],
    "mask_personal": [("Write to [e-mail address] today", "pos")],
}


@pytest.mark.parametrize("kind", OFFERED)
def test_every_fix_does_what_it_says(kind, lined):
    fixed = apply(lined([*GOOD, *DIRTY[kind]]), [fix(kind)])
    assert rows(fixed.labeled) == [*GOOD, *EXPECTED[kind]]


def test_fixes_work_on_what_those_before_them_left(lined):
    texts = lined([*GOOD, ("<b>so so</b>", "pos"), ("so so", "pos")])
    one_way = apply(texts, [fix("strip_html"), fix("drop_repeated")])
    other_way = apply(texts, [fix("drop_repeated"), fix("strip_html")])
    assert [(done.changed, done.left_out) for done in one_way.done] == [(1, 0), (0, 1)]
    assert one_way.rejected[0].line == texts.lines[-1]
    assert one_way.rejected[0].reason == f"repeats line {texts.lines[-2]}"
    assert [(done.changed, done.left_out) for done in other_way.done] == [(0, 0), (1, 0)]


def test_undoing_is_to_apply_the_list_without_it(lined):
    texts = lined([*GOOD, *DIRTY["strip_html"], *DIRTY["mask_personal"]])
    fixes = [fix("strip_html"), fix("mask_personal")]
    assert rows(apply(texts, fixes).labeled) == [*GOOD, *EXPECTED["strip_html"], *EXPECTED["mask_personal"]]
    undone = apply(texts, fixes[1:]).labeled
    assert rows(undone) == [*GOOD, *DIRTY["strip_html"], *EXPECTED["mask_personal"]]
    assert apply(texts, []).labeled == texts


def test_a_tie_of_labels_leaves_none(lined):
    texts = lined(
        [*GOOD, ("so so", "pos"), ("so so", "neg"), ("well", "pos"), ("well", "pos"), ("Well", "neg")]
    )
    fixed = apply(texts, [fix("keep_majority")])
    assert rows(fixed.labeled) == [*GOOD, ("well", "pos"), ("well", "pos")]


def test_a_text_that_was_nothing_but_marks_is_left_out(lined):
    fixed = apply(lined([*GOOD, ("<br><br/>", "pos")]), [fix("strip_html")])
    assert rows(fixed.labeled) == GOOD
    assert (fixed.done[0].changed, fixed.done[0].left_out) == (0, 1)


def test_a_fix_that_leaves_nothing_is_an_error_that_says_which(lined):
    with pytest.raises(UserError, match="Texts of one word left out"):
        apply(lined([("one", "a"), ("two", "b")]), [fix("drop_one_word")])


def test_near_repeats_with_different_labels_are_kept(lined):
    texts = lined([*GOOD, (GOOD[0][0] + "!!", "neg")])
    assert apply(texts, [fix("drop_near_repeated")]).rejected == []


# As plain values


@pytest.mark.parametrize("kind", KINDS)
def test_a_fix_goes_through_json_and_is_the_same_whenever_it_was_made(kind):
    made = Fix(kind, VALUES.get(kind, ""), time=1234.5)
    back = parse_as(json.loads(json.dumps(made.facts())), Fix)
    assert (back, back.time) == (made, 1234.5)
    assert hash(back) == hash(fix(kind))
    assert "{" not in made.words


NO_FIXES = [
    {"kind": "drop_everything"},
    {"kind": "drop_repeated", "value": "x"},
    {"kind": "drop_other_languages"},
    {"kind": "drop_other_languages", "value": "<b>"},
    {"kind": "drop_other_languages", "value": "{0.__class__}"},
]
WRONG_FORMS = [
    None,
    [],
    "drop_repeated",
    {},
    {"kind": ["drop_repeated"]},
    {"kind": "drop_repeated", "value": None},
    {"kind": "drop_repeated", "time": "now"},
    {"kind": "drop_repeated", "time": float("nan")},
    {"kind": "drop_repeated", "time": -1},
    {"kind": "drop_repeated", "file": "/etc/passwd"},
]


@pytest.mark.parametrize("facts", NO_FIXES, ids=str)
def test_what_is_no_fix_is_refused_with_words(facts):
    with pytest.raises(UserError, match="a fix"):
        parse_as(facts, Fix)


@pytest.mark.parametrize("facts", WRONG_FORMS, ids=str)
def test_what_has_not_the_form_of_a_fix_is_refused(facts):
    with pytest.raises(WrongForm, match="Fix"):
        parse_as(facts, Fix)


def test_what_was_done_is_read_back_from_the_facts_of_a_data_set():
    done = AppliedFix("Repeated texts left out", 0, 3, 12.0)
    broken = [None, {}, done.facts() | {"changed": "1"}, done.facts() | {"time": -1}, done.facts() | {"x": 1}]
    assert done_to({"fixes": [*broken, done.facts()]}) == [done]
    assert done_to({}) == done_to({"fixes": 7}) == []


def test_what_was_done_is_said_in_words():
    assert AppliedFix("Labels written alike", 1, 0, 0).words == "Labels written alike: 1 row changed"
    assert (
        AppliedFix("HTML taken out", 1200, 2, 0).words
        == "HTML taken out: 1,200 rows changed, 2 rows left out"
    )
    assert (
        AppliedFix("Rare classes weigh more in training", 0, 0, 0).words
        == "Rare classes weigh more in training"
    )


HTML, REPEATED = Fix("strip_html"), Fix("drop_repeated")
ADVICE = Offer("Weigh them", Fix("weigh_classes"))


@pytest.mark.parametrize(
    ("fixes", "offer", "answered"),
    [
        ((HTML,), Offer("Take it out", HTML, 1), True),
        ((), Offer("Take it out", HTML, 1), False),
        # What is found again came to light by a later fix.
        ((HTML, REPEATED), Offer("Take it out", HTML, 1), False),
        ((ADVICE.fix, REPEATED), ADVICE, True),
    ],
)
def test_a_finding_is_answered_by_its_fix_until_a_later_one_brings_more_to_light(fixes, offer, answered):
    finding = Finding("warning", "HTML", "a", "b", "c", 1, offers=(offer,))
    assert is_answered(finding, fixes) == answered


def test_what_all_fixes_did_is_said():
    done = [AppliedFix("a", 1, 0, 0), AppliedFix("b", 1200, 3, 0)]
    assert applied_in_words([HTML, REPEATED], done) == "**2 fixes applied**: 1,201 rows changed, 3 left out."
    assert applied_in_words([HTML], []) == "**1 fix applied**."


def test_fixes_belong_to_the_columns_they_were_chosen_for():
    found, columns = keep_upload("table.csv", b"text,label\n"), ColumnMapping(("text",), "label")
    fixes = (Fix("drop_repeated", time=1.0), Fix("drop_other_languages", "en", time=2.0))
    keep_fixes(found, columns, fixes)
    assert kept_fixes(found, columns) == fixes
    assert [fix.time for fix in kept_fixes(found, columns)] == [1.0, 2.0]
    assert kept_fixes(found, ColumnMapping(("text",), "text")) == ()


@pytest.mark.parametrize("content", [b"{ torn", b"[7]", b'[{"kind": "x"}]', b"7", b"\xff", b"[" * 100_000])
def test_damaged_fixes_are_no_fixes(content):
    found, columns = keep_upload("table.csv", b"text,label\n"), ColumnMapping(("text",), "label")
    keep_fixes(found, columns, [Fix("drop_repeated")])
    (note,) = [path for path in found.path.parent.glob("*.json") if path.name != "upload.json"]
    note.write_bytes(content)
    assert kept_fixes(found, columns) == ()


# With parts of their own


def test_files_for_validation_and_test_are_written_alike_but_keep_their_rows(labeled):
    train = labeled([*GOOD, ("A fine <b>day</b>", "Pos"), ("once", "rare"), ("just once", "rarer")])
    test = labeled([("Such <i>joy</i>", "POS"), ("Yes", "rare"), ("What", "Neg "), ("<br>", "neg")])
    fixes = [fix(kind) for kind in ("write_labels_alike", "strip_html", "join_rare_classes", "drop_one_word")]
    written = apply_to_other(test, fixes, train)
    assert rows(written) == [("Such joy", "pos"), ("Yes", OTHER), ("What", "neg"), ("<br>", "neg")]
    assert rows(apply_to_other(test, [], train)) == rows(test)


def test_labels_of_a_test_file_that_no_training_text_has_are_rejected_after_the_fixes(labeled):
    train, test = labeled([*GOOD, ("hm", "rare")]), labeled([("x", "rare"), ("y", "POS"), ("z", "neg")])
    fixes = [fix("write_labels_alike"), fix("drop_rare_classes")]
    prepared = prepare(Parts(train, test=test), fixes, SplitPlan())
    assert rows(prepared.splits.test) == [("y", "pos"), ("z", "neg")]
    assert [row.reason for row in prepared.rejected] == [
        "a class with fewer than 5 texts",
        "the label 'rare' is not among the labels to learn",
    ]


def test_a_split_column_is_followed_after_the_fixes(table):
    lines = [f"{text},{label},train" for text, label in GOOD]
    lines += [f"{GOOD[0][0]},pos,train", "A <b>new</b> one,Pos,test", "Another new one,neg,test", "x,,train"]
    mapping = ColumnMapping(("text",), "label", "split")
    parts = parts_of_table(table("\n".join(["text,label,split", *lines])), mapping)
    fixes = [fix("drop_repeated"), fix("strip_html"), fix("write_labels_alike")]
    prepared = prepare(parts, fixes, SplitPlan(0, 0))
    assert rows(prepared.splits.train) == GOOD
    assert rows(prepared.splits.test) == [("A new one", "pos"), ("Another new one", "neg")]
    assert prepared.splits.how == "As the column split says."
    assert [row.line for row in prepared.rejected] == [29, 26]


def test_training_texts_close_to_the_test_are_left_out_of_training_alone(labeled):
    whole = labeled([*GOOD, (GOOD[0][0] + "!!", "pos"), (GOOD[3][0].replace(" the ", " our "), "pos")])
    train, test = whole.take(range(len(GOOD))), whole.take(range(len(GOOD), len(whole)))
    splits = Splits(train, test.take([]), test, "")
    fixed, (done,), rejected = apply_to_splits(splits, [fix("strip_html"), fix("drop_leaks")])
    assert rows(fixed.train) == GOOD[1:]
    assert (fixed.test, done.left_out, len(rejected)) == (test, 1, 1)
    assert apply(whole, [fix("drop_leaks")]).done == ()


def test_a_training_without_two_classes_left_is_refused(labeled):
    parts = Parts(
        labeled(GOOD), None, labeled([(f"{text}!", label) for text, label in GOOD if label == "neg"])
    )
    with pytest.raises(UserError, match="12 texts after “Training texts close .* left out”.*Undo this fix"):
        prepare(parts, [fix("drop_leaks")], SplitPlan(0, 0))


def test_preparing_counts_every_row_once(labeled):
    pairs = [*GOOD, REPEAT, *DIRTY["strip_html"], ("Yes", "pos"), (GOOD[5][0] + "!!", GOOD[5][1])]
    fixes = [fix(kind) for kind in ("drop_repeated", "strip_html", "drop_one_word", "drop_leaks")]
    prepared = prepare(Parts(labeled(pairs)), fixes, SplitPlan(20, 20))
    splits = prepared.splits
    assert len(splits.train) + len(splits.validation) + len(splits.test) + len(prepared.rejected) == len(
        pairs
    )
    assert [done.fix for done in prepared.done] == [one.topic for one in fixes]
