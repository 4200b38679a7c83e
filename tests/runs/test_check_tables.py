"""What data checks found, as tables and sentences."""

import pytest

from core.runs.tasks import check_tables
from tests.pages.data_checks import baselines_found, make_rows
from tests.pages.seeding import LABELS, make_dataset


@pytest.fixture
def rows():
    return make_rows(make_dataset())


def test_baselines_are_a_table_and_sentences():
    found = baselines_found()
    table = check_tables.baselines_table(found)
    assert table["Accuracy (%)"].tolist() == [40.0, 81.0, 84.0, 88.0]
    assert table["Classifier"][0] == "Always the most common class"
    first, unknown = check_tables.about_baselines(found)
    assert "in 5 folds" in first
    assert unknown == "1 text could not be judged: no other text has the same label."
    drawn = check_tables.about_baselines(found | {"texts": 90_000, "unknown": 0})
    assert drawn[1:] == ["Of 90,000 texts, 60 were drawn at random for this."]


@pytest.mark.parametrize(("suspects", "shown"), [(0, 20), (20, 20), (33, 33), (500, 40)])
def test_of_the_suspects_the_likely_ones_are_shown_and_always_some(suspects, shown, rows):
    assert len(check_tables.shown_suspects({"suspects": suspects}, rows)) == shown


def test_suggestions_are_filled_in_where_the_label_is_likely_to_be_wrong(rows):
    plain = check_tables.suspects_table(rows, fill=False)
    assert (plain["new"] == plain["label"]).all()
    assert plain["doubt"].is_monotonic_decreasing
    assert set(plain["split"]) <= {"training", "validation", "test"}
    filled = check_tables.suspects_table(rows, fill=True)
    changed = filled["new"] != filled["label"]
    assert changed.tolist() == [True, False] * 20
    assert (filled["new"] == filled["suggested"])[changed].all()


def test_what_was_changed_is_told_by_the_place_of_the_text(rows):
    table = check_tables.suspects_table(rows, fill=False)
    assert check_tables.changes(rows, table) == ({}, [])
    new = next(label for label in LABELS if label != rows["label"][1])
    table.loc[1, "new"] = new
    table.loc[2, ["new", "drop"]] = [LABELS[0], True]
    assert check_tables.changes(rows, table) == ({("train", 1): new}, [("train", 2)])
