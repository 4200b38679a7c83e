"""What pages show of runs, as rows and sentences; and a run's answers, text by text."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from core.base.errors import UserError
from core.learning.config import TrainingConfig
from core.learning.evaluation.calibration import Calibration, write_calibration
from core.runs.results import facts, outputs
from core.runs.results.evaluated_texts import AFTER, BEFORE, answers_of
from core.runs.results.models import usable_models
from core.runs.tasks import labellings
from core.runs.tasks.labellings import LabellingState
from core.runs.training import engines, progress, queue, run_events, states, store
from tests.pages.seeding import STATUSES, make_dataset, make_run, training_events, write_result


@pytest.fixture(autouse=True)
def no_worker(monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)


@pytest.fixture
def run(held):
    return make_run("finished", make_dataset(), held)


def change_settings(run, **changes):
    """Write other settings into the run; None takes one out."""
    path = run.folder / "config.json"
    content = json.loads(path.read_text())
    settings = content["settings"] | changes
    content["settings"] = {name: value for name, value in settings.items() if value is not None}
    path.write_text(json.dumps(content))
    return store.find_run(run.id)


# Rows and sentences


def test_a_run_is_a_row_with_what_is_known_of_it(run, held):
    row, scores = facts.row_of(run), outputs.report_of(run)["test"]
    assert (row["Status"], row["Data set"], row["Model"]) == ("finished", "Messages", "MiniLM-L6 (embedded)")
    assert (row["Accuracy (%)"], row["Macro F1 (%)"]) == (100 * scores["accuracy"], 100 * scores["macro_f1"])
    assert (row["Epochs"], row["Batch size"], row["Learning rate"]) == (3, 16, "0.0001")
    damaged = facts.row_of(make_run("damaged", make_dataset(), held))
    assert (damaged["Status"], damaged["Accuracy (%)"], "Model" in damaged) == ("damaged", None, False)


def test_what_an_earlier_version_did_not_write_down_is_said_nowhere(run):
    assert facts.summary_of(run).endswith("3 epochs · batches of 16 · learning rate 0.0001")
    old = change_settings(run, learning_rate=None, warmup=None)
    assert facts.summary_of(old).endswith("3 epochs · batches of 16")
    assert (facts.row_of(old)["Learning rate"], facts.row_of(old)["Epochs"]) == (None, 3)
    said = facts.settings_of(old)
    assert (said["Learning rate"], said["Warm-up (share of steps)"]) == ("not recorded", "not recorded")


@pytest.mark.parametrize("status", ["finished", "queued", "interrupted"])
def test_a_run_with_settings_of_another_version_is_not_trained_by_this_one(status, held):
    run = change_settings(make_run(status, make_dataset(), held), quantum=True)
    assert run.unknown == ("quantum",)
    assert (states.state(run).status == "finished") == (status == "finished")
    assert [model.id for model in usable_models()] == [run.id] * (status == "finished")
    assert store.waiting_runs() == []
    assert not states.can_resume(run)
    with pytest.raises(UserError, match="quantum"):
        queue.submit_again(run)


EVENTS = training_events(60)
CUT = EVENTS[0] | {"truncated": 4, "padding": 0.1, "padding_to_longest": 0.42}


@pytest.mark.parametrize(
    ("events", "share", "words"),
    [
        ([], 0, "Loading the model"),
        (EVENTS[:1], 0, "Step 0 of 60"),
        (training_events(30), 0.5, "Step 30 of 60 · epoch 1.5 of 3 · 39 s left · 84 texts per second"),
        (EVENTS, 1, "Scoring the model on the validation and test texts"),
    ],
)
def test_how_far_a_training_is_is_said_in_words(events, share, words):
    assert progress.progress_of(events) == (share, words)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([], []),
        ([CUT | {"truncated": 0, "padding": None}], []),
        ([CUT | {"padding": None}], ["4 training texts of 320 are longer than the max length and were cut."]),
        (
            [CUT | {"truncated": 0}],
            [
                "Texts of like length share a batch: 10% of what is computed is padding, instead of 42% with "
                "all texts padded to the longest."
            ],
        ),
    ],
)
def test_cut_texts_and_padding_are_said(events, said):
    assert progress.about_texts(events) == said


def test_events_of_the_last_moment_wait_until_it_is_over(monkeypatch):
    events = [{"type": "step", "time": 1000 + i / 2} for i in range(8)]
    known = {}
    for now in (1001.9, 1002.0, 1003.9, 1004.1):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        known[now] = len(progress.settled(events))
    assert list(known.values()) == [8, 4, 4, 8]


STOPPED = LabellingState("stopped", done=1200, rows=5000, resumable=True)
FAILED = replace(STOPPED, status="failed", reason="![x](http://e)", remedy="Again.")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (LabellingState("running"), "Reading the file and loading the model"),
        (LabellingState("running", 1200, 5000), "1,200 of 5,000 rows"),
        (
            LabellingState("running", 1200, 5000, rate=20.0),
            "1,200 of 5,000 rows, 20 per second, about 3 min 10 s left",
        ),
        (
            LabellingState("stopping", 1200, 5000),
            "1,200 of 5,000 rows; stopping when the rows at hand are done",
        ),
        (STOPPED, "It was stopped. 1,200 of 5,000 rows are labelled and kept. "),
        (
            replace(STOPPED, status="interrupted", rows=0),
            "It was interrupted: its process ended without a word. ",
        ),
        (FAILED, "\\!\\[x\\]\\(http\u2060\\:\\/\\/e\\) Again\\. 1,200 of 5,000 rows are labelled and kept. "),
        (replace(FAILED, reason="No.", resumable=False), "No\\. Again\\. "),
    ],
)
def test_how_far_a_labelling_is_and_how_it_ended_is_said(state, words):
    say = labellings.progress_in_words if state.live else labellings.end_in_words
    assert say(state) == words


# Which run, which model


@pytest.mark.parametrize(
    ("statuses", "shown"), [(["finished", "failed"], None), (["running", "queued"], 0), (["queued"] * 2, 0)]
)
def test_the_run_at_work_or_else_the_next_is_the_one_to_show(statuses, shown, held):
    data = make_dataset()
    runs = [make_run(status, data, held) for status in statuses]
    found = queue.run_at_work()
    assert (found and found.id) == (None if shown is None else runs[shown].id)


def test_the_wait_is_told_from_the_run_at_work(held):
    data = make_dataset()
    running = make_run("running", data, held)
    waiting = make_run("queued", data, held)
    left = run_events.last_event(running, "step")["seconds_left"]
    assert queue.expected_wait(waiting) == left
    # Of the second one nothing is known: no such run has ended yet.
    behind = make_run("queued", data, held)
    assert queue.expected_wait(behind) is None
    # Twice the epochs, twice the time.
    finished = make_run("finished", data, held, TrainingConfig(epochs=2))
    assert queue.expected_wait(behind) == left + outputs.report_of(finished)["total_seconds"] * 3 / 2


def test_runs_that_ended_with_a_model_can_be_used_and_are_told_apart(held):
    data = make_dataset()
    runs = {status: make_run(status, data, held) for status in STATUSES}
    for status in ("running", "failed"):
        write_result(runs[status])
    models = usable_models()
    assert {model.id for model in models} == {runs[status].id for status in ("finished", "stopped", "failed")}
    assert [model.id for model in models if model.title.endswith("failed: best weights before that")] == [
        runs["failed"].id
    ]


# Answers


def test_mistakes_have_the_true_labels_probability(run):
    answers = answers_of(run, "test")
    wrong = answers.probabilities.argmax(axis=1) != answers.labels
    expected = answers.calibrated[np.arange(90), answers.labels][wrong]
    assert sorted(answers.mistakes()["true_probability"]) == pytest.approx(sorted(expected))


def test_all_bins_hold_all_texts(run):
    answers = answers_of(run, "test")
    for when in (BEFORE, AFTER):
        starts = answers.reliability().query("when == @when")["from"]
        assert sum(len(answers.in_bin(start, when)) for start in starts) == 90


def test_answers_are_read_again_only_when_they_are_others(run, monkeypatch):
    read, original = [], outputs.predictions_of
    monkeypatch.setattr(outputs, "predictions_of", lambda run: read.append(run) or original(run))
    assert answers_of(run, "test") is answers_of(run, "test")
    assert len(read) == 1
    write_calibration(outputs.model_folder(run), Calibration(2.0))
    assert answers_of(run, "test").temperature == 2.0
    assert len(read) == 2


@pytest.mark.parametrize("column", ["text", "label", "predicted", "confidence"])
def test_answers_with_gaps_are_none(column, run):
    file = run.folder / "predictions.parquet"
    table = outputs.predictions_of(run).drop(columns="probabilities")
    table.loc[::7, column] = None
    table.to_parquet(file, index=False)
    assert answers_of(replace(run), "test") is None
