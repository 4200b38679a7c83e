import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.base.errors import UserError
from core.learning.config import TrainingConfig
from core.runs.results.comparison import compare_runs
from core.runs.results.comparison_tables import (
    all_scores,
    score_rows,
    settings_rows,
    shared_in_words,
    why_left_out,
)
from core.runs.training import store

LABELS = ["bad", "good"]


@pytest.fixture
def make(dataset, monkeypatch):
    """Writes a run with answers to test texts, given as (text, label, predicted)."""

    def written(answers, **settings):
        run = store.create_run(TrainingConfig(**settings), dataset)
        table = pd.DataFrame(answers, columns=["text", "label", "predicted"])
        table = table.assign(split="test", confidence=np.linspace(0.6, 0.9, len(table)))
        other = table.head(1).assign(split="validation", text="another")
        pd.concat([other, table]).to_parquet(run.folder / "predictions.parquet", index=False)
        return run

    return written


def rows(number, wrong=()):
    return [(f"text {i}", LABELS[i % 2], LABELS[(i + (i in wrong)) % 2]) for i in range(number)]


def test_two_runs_are_compared_on_the_same_rows_in_any_order(make):
    found = compare_runs([make(rows(100, range(30)), seed=1), make(rows(100, range(25, 32))[::-1], seed=2)])
    assert (found.matched, found.unmatched, found.labels) == (100, [0, 0], LABELS)
    assert [scores["accuracy"] for scores in found.scores] == pytest.approx([0.7, 0.93])
    low, high = found.scores[0]["intervals"]["accuracy"]
    assert 0.55 < low < 0.7 < high < 0.85
    (difference,) = found.differences
    assert (difference.only_first, difference.only_second, difference.clear) == (2, 25, True)
    assert found.verdicts[0].startswith(f"{found.titles[1]} is better than {found.titles[0]} by 23.0 points")
    assert found.settings == {"seed": [1, 2]}


def test_texts_that_changed_sides_come_with_the_surest_mistake_first(make):
    found = compare_runs([make(rows(10, [1, 2, 3])), make(rows(10, [3, 4, 6]))])
    lost, won = found.changed(0, 1)
    assert lost["text"].tolist() == ["text 6", "text 4"]
    assert won["text"].tolist() == ["text 2", "text 1"]
    assert lost["confidence"].is_monotonic_decreasing
    assert (lost["first"] == lost["label"]).all()
    assert (lost["second"] != lost["label"]).all()
    assert (won["second"] == won["label"]).all()


def test_rows_that_not_all_have_are_counted_and_left_out(make):
    relabelled = [("text 0", "good", "good"), *rows(12)[1:]]
    found = compare_runs([make(rows(10)), make(relabelled), make(rows(11))])
    assert (found.matched, found.unmatched) == (9, [1, 3, 2])
    assert [(d.first, d.second) for d in found.differences] == [(0, 1), (0, 2), (1, 2)]
    assert all(difference.texts == 9 for difference in found.differences)


def test_a_text_that_comes_several_times_goes_with_its_own_occurrence(make):
    twice = [("same", "bad", "bad"), ("same", "bad", "good"), ("same", "bad", "bad")]
    found = compare_runs([make(twice), make(twice[:2])])
    assert (found.matched, found.unmatched) == (2, [1, 0])
    assert found.table["predicted_0"].tolist() == found.table["predicted_1"].tolist() == ["bad", "good"]


def test_a_class_that_only_one_run_knows_is_a_class(make):
    found = compare_runs([make(rows(10)), make([(text, label, "<b>other") for text, label, _ in rows(10)])])
    assert found.labels == [*LABELS, "<b>other"]
    assert [scores["accuracy"] for scores in found.scores] == [1.0, 0.0]


def test_runs_without_a_text_in_common_are_not_compared(make):
    with pytest.raises(UserError, match="no text with the same label"):
        compare_runs([make(rows(3)), make([("elsewhere", "bad", "bad")])])


def test_what_cannot_be_compared_is_refused_with_the_reason(make, dataset):
    run = make(rows(3))
    with pytest.raises(UserError, match="2 to 8 runs; found 1"):
        compare_runs([run])
    with pytest.raises(UserError, match="2 to 8 runs; found 9"):
        compare_runs([run] * 9)
    with pytest.raises(UserError, match="same one twice"):
        compare_runs([run, run])
    without = store.create_run(TrainingConfig(), dataset)
    with pytest.raises(UserError, match=f"run {without.number} .*, which has none"):
        compare_runs([run, without])


def test_settings_that_were_not_recorded_are_not_known(make):
    first, second = make(rows(3), epochs=5), make(rows(3), epochs=6)
    second = replace(second, unrecorded=("schedule",))
    found = compare_runs([first, second])
    assert found.settings == {"epochs": [5, 6], "schedule": [first.config.schedule, None]}


def test_runs_beside_each_other_are_rows_and_sentences(make, monkeypatch):
    first, second = make(rows(12), epochs=5), make(rows(10, range(4)), epochs=6)
    found = compare_runs([first, replace(second, unrecorded=("schedule",))])
    assert settings_rows(found) == [
        ["Epochs", "5", "6"],
        ["Schedule", "linear", "not recorded"],
    ]
    words, left_out = shared_in_words(found)
    assert words == "Compared on 10 test texts that all of them have."
    assert left_out == "Test texts that not all have are left out – run 1\u2060\\: 2."
    assert shared_in_words(compare_runs([second, make(rows(10))]))[1] == ""
    table = score_rows(found, "accuracy")
    assert table[["run", "value"]].to_numpy().tolist() == [["run 1", 1.0], ["run 2", 0.6]]
    (one, other) = all_scores(found)
    assert (one["Run"], other["Accuracy"][:7]) == ("run 1", "60.0% (")
    assert len(one) == 6


def test_why_a_run_of_a_link_is_left_out_is_said_of_the_first_ones(make, dataset):
    without = store.create_run(TrainingConfig(), dataset)
    said = why_left_out([without.id, "<b>", *(f"{i:022}" for i in range(300))])
    assert said[0] == f"Run {without.number} is left out: it is queued and has no test scores."
    assert "<b>" not in said[1] and "A run of this link is left out. Expected" in said[1]
    assert (len(said), said[-1]) == (9, "294 more of this link are left out.")


def test_runs_on_another_data_set_of_the_same_name_are_told_apart(make):
    first, second = make(rows(3)), make(rows(3))
    found = compare_runs([first, replace(second, dataset_id="another-id")])
    assert list(found.settings) == ["dataset"]


def test_a_damaged_data_set_costs_the_order_of_the_classes_alone(make):
    first, second = make(rows(4)), make(rows(4))
    (first.folder / "dataset" / "dataset.json").write_text("{")
    assert compare_runs([first, second]).labels == LABELS


def test_all_but_the_texts_is_plain_json(make):
    facts = compare_runs([make(rows(10, [1])), make(rows(10, [2]))]).facts()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["differences"][0]["verdict"]
    assert facts["runs"][0]["intervals"]["macro_f1"]


def test_the_same_runs_are_compared_once_until_their_answers_change(make, monkeypatch):
    from core.runs.results import comparison

    asked, original = [], comparison.compare
    monkeypatch.setattr(comparison, "compare", lambda *given: asked.append(1) or original(*given))
    runs = [make(rows(10, [1])), make(rows(10, [3]))]
    assert compare_runs(runs) is compare_runs(runs)
    assert len(asked) == 1
    file = runs[1].folder / "predictions.parquet"
    pd.read_parquet(file).head(6).to_parquet(file, index=False)
    assert compare_runs(runs).matched == 5
    assert len(asked) == 2
