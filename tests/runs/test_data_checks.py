"""Checks: processes of their own that find something out about a saved data set."""

import json
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from filelock import FileLock

from core.base.errors import UserError
from core.base.home import home
from core.data.labels import LabeledTexts
from core.data.splits import SplitPlan, split_by_percent
from core.data.storage import datasets
from core.learning.label_errors.detection import Suspects
from core.learning.label_errors.trained_model import ask
from core.learning.training.hooks import Hooks
from core.learning.training.train import train_classifier
from core.runs.jobs import job, spawning
from core.runs.tasks import data_checks
from core.runs.tasks.data_check_work import READ_CHARACTERS, _Rows, _write_table
from core.runs.tasks.data_checks import BASELINES, CURVE, TRAINED
from core.runs.training import store
from core.runs.training.events import EventLog
from core.runs.training.run import Run
from tests.pages.data_checks import baselines_found, curve_found, make_check, trained_found
from tests.pages.seeding import make_dataset
from tests.processes import is_at_work, kill, wait_for, with_words
from tests.runs.test_runs import FAST

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("nothing_left_running")]


def process_of(dataset) -> psutil.Process | None:
    return with_words("core.runs.tasks.data_check_work", str(data_checks.job_of(dataset, BASELINES).folder))


def ended(dataset, kind=BASELINES) -> data_checks.CheckState:
    wait_for(lambda: not data_checks.state(dataset, kind).live)
    return data_checks.state(dataset, kind)


def save(texts, labels):
    names = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    labeled = LabeledTexts(texts, [names[label] for label in labels], names)
    return datasets.save_dataset(
        "made", split_by_percent(labeled, SplitPlan(20, 20)), [], {"file": "made.csv"}
    )


def test_both_baselines_and_the_suspects_of_a_small_data_set():
    texts = [
        f"{word} {i} {thing}" for i in range(8) for word, thing in (("book", "page"), ("film", "cinema"))
    ]
    labels = ["read", "seen"] * 8
    labels[0] = "seen"
    dataset = save(texts, labels)
    data_checks.start(dataset, BASELINES)
    assert data_checks.state(dataset, BASELINES).live
    assert ended(dataset).status == "finished"

    found = data_checks.findings(dataset, BASELINES)
    assert found["texts"] == found["judged"] == 16
    assert found["scores"]["all"]["average"]["accuracy"] == 15 / 16
    assert 0.5 <= found["scores"]["all"]["majority"]["accuracy"] < 0.6
    assert {"train", "validation", "test"} < set(found["scores"])
    rows = data_checks.table(dataset, BASELINES)
    assert len(rows) == 16
    first = rows.iloc[0]
    assert (first["text"], first["label"], first["suggested"]) == (texts[0], "seen", "read")
    assert first["likely"]
    # It is said where the row stands.
    part = getattr(datasets.load_splits(dataset.folder), first["split"])
    assert part.texts[first["position"]] == first["text"]
    assert data_checks.baseline_of(dataset.id) == {
        "name": found["best"],
        **found["scores"]["all"][found["best"]],
        "majority_accuracy": found["scores"]["all"]["majority"]["accuracy"],
        "majority_macro_f1": found["scores"]["all"]["majority"]["macro_f1"],
    }
    left = {path.name for path in data_checks.job_of(dataset, BASELINES).folder.iterdir()}
    assert left == {"request.json", "result.json", "table.parquet", "answers.npz", "lock", "log.txt"}


def test_of_long_texts_the_beginning_is_kept_for_the_page():
    texts = [f"{i} {'long ' * 100_000 * (i % 2)}" for i in range(8)]
    dataset = save(texts, ["a", "b"] * 4)
    every = np.arange(8)
    data_checks.table_file(dataset, BASELINES).parent.mkdir(parents=True)
    doubts = Suspects(every, np.zeros(8, dtype=np.int64), np.zeros(8, dtype=bool))
    _write_table(dataset, BASELINES, _Rows.of(dataset), every, np.full((8, 2), 0.5), doubts)
    kept = data_checks.table(dataset, BASELINES)["text"]
    assert sorted(map(len, kept)) == [2] * 4 + [READ_CHARACTERS] * 4


def trained_on(dataset, model: str) -> Run:
    """A finished run of the tiny model on the data set."""
    run = store.create_run(replace(FAST, model=model), dataset)
    splits = datasets.load_splits(dataset.folder)
    train_classifier(splits, run.config, run.folder / "model", Hooks(lambda event: None, lambda: False))
    with EventLog(run.folder / "events.jsonl") as events:
        events.append({"type": "finished"})
    return run


def test_a_trained_model_is_asked_together_with_the_baselines(dataset, tiny):
    run = trained_on(dataset, tiny)
    data_checks.start(dataset, TRAINED, run)
    assert ended(dataset, TRAINED).status == "failed"
    assert "baselines" in data_checks.state(dataset, TRAINED).reason

    data_checks.start(dataset, BASELINES)
    assert ended(dataset).status == "finished"
    data_checks.start(dataset, TRAINED, run)
    assert ended(dataset, TRAINED) == data_checks.CheckState("finished")
    found, rows = data_checks.findings(dataset, TRAINED), data_checks.table(dataset, TRAINED)
    assert (found["run"], found["number"], found["judged"]) == (run.id, run.number, 10)
    # The model has its say: probabilities are not those of the baselines alone.
    baseline = data_checks.table(dataset, BASELINES).set_index("text")["probability"]
    both = rows.set_index("text")["probability"]
    names = list(dataset.label2id)
    texts = list(both.index)
    there, back = (
        ask(run.folder / "model", texts, order, lambda share: None) for order in (names, names[::-1])
    )
    assert (there == back[:, ::-1]).all()
    assert (there != back).any()
    model = ask(run.folder / "model", texts, names, lambda share: None)
    given = [names.index(label) for label in rows["label"]]
    expected = (baseline[texts].to_numpy() + model[range(10), given]) / 2
    assert both.to_numpy() == pytest.approx(expected, abs=1e-4)


def test_a_run_on_other_texts_is_not_asked(dataset, tiny):
    run = trained_on(dataset, tiny)
    other = make_dataset()
    data_checks.start(other, TRAINED, run)
    assert "other texts" in ended(other, TRAINED).reason
    data_checks.start(other, TRAINED)
    assert "id of a run" in ended(other, TRAINED).reason


def test_damaged_answers_of_the_baselines_are_told(dataset, tiny, held):
    run = trained_on(dataset, tiny)
    make_check(dataset, BASELINES, "finished", held)
    npy = BytesIO()
    np.save(npy, np.zeros(3))
    for content in (b"", b"PK torn", b"x" * 1000, npy.getvalue()):
        data_checks.answers_file(dataset).write_bytes(content)
        data_checks.start(dataset, TRAINED, run)
        assert "baselines" in ended(dataset, TRAINED).reason


def test_a_check_that_cannot_be_done_says_why():
    dataset = save([f"text {i}" for i in range(4)], ["a", "b", "c", "d"])
    data_checks.start(dataset, BASELINES)
    state = ended(dataset)
    assert state.status == "failed"
    assert "two classes" in state.reason
    assert state.remedy
    assert data_checks.findings(dataset, BASELINES) is None
    assert data_checks.baseline_of(dataset.id) is None


def is_waiting(dataset) -> bool:
    return data_checks.state(dataset, BASELINES).doing.startswith("Waiting")


def test_checks_of_several_data_sets_wait_for_one_another():
    first, second = make_dataset(), make_dataset("Others", per_class=30)
    with FileLock(home() / "studies.lock"):
        for dataset in (first, second):
            data_checks.start(dataset, BASELINES)
            wait_for(
                lambda dataset=dataset: data_checks.state(dataset, BASELINES).doing.startswith("Waiting")
            )
        # It waits still, while the second one was started.
        assert data_checks.state(first, BASELINES).doing.startswith("Waiting")
        process = process_of(second)
        data_checks.cancel(second, BASELINES)
        assert not is_at_work(process)
        assert data_checks.state(second, BASELINES).status == "stopped"
        assert data_checks.findings(first, BASELINES) is None
    assert ended(first).status == "finished"


def test_a_killed_check_is_shown_as_ended_and_can_be_started_again():
    dataset = make_dataset()
    data_checks.start(dataset, BASELINES)
    process = wait_for(lambda: process_of(dataset))
    wait_for(lambda: data_checks.state(dataset, BASELINES).doing != "Starting")
    assert kill(process) == [True]
    state = data_checks.state(dataset, BASELINES)
    assert (state.status, state.live) == ("interrupted", False)
    assert state.remedy
    data_checks.start(dataset, BASELINES)
    assert ended(dataset).status == "finished"


def test_a_data_set_is_not_deleted_while_it_is_studied(held):
    dataset = make_dataset()
    with FileLock(make_check(dataset, CURVE, "interrupted", held).lock):
        with pytest.raises(UserError, match="checked"):
            datasets.delete_dataset(dataset.id)
        assert dataset.folder.is_dir()
    datasets.delete_dataset(dataset.id)
    assert not dataset.folder.exists()


def test_a_check_of_a_deleted_data_set_leaves_nothing(tmp_path):
    dataset = make_dataset()
    datasets.delete_dataset(dataset.id)
    with pytest.raises(UserError, match="saved data set"):
        data_checks.start(dataset, BASELINES)
    found = data_checks.job_of(dataset, BASELINES)
    assert spawning.start_job(found.task.module, found.folder, tmp_path / "log").wait(60) == 0
    assert not dataset.folder.exists()


DAMAGES = {
    "no JSON": "{ torn",
    "other findings": '{"status": "finished", "result": {"sha256": "SHA", "findings": {"scores": 3}}}',
    "no findings": '{"status": "finished", "result": {"sha256": "SHA"}}',
    "no scores": '{"status": "finished", "result": {"sha256": "SHA", "findings": {"best": "tfidf", '
    '"scores": {"all": {}}}}}',
    "other texts": '{"status": "finished", "result": {"sha256": "another", "findings": {}}}',
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("kind", data_checks.KINDS)
def test_a_damaged_file_is_said_to_be_one(content, kind, held):
    dataset = make_dataset()
    check = make_check(dataset, kind, "interrupted", held)
    check.progress_file.unlink()
    check.result_file.write_text(content.replace("SHA", dataset.sha256))
    data_checks.table_file(dataset, kind).write_text(content)
    assert data_checks.state(dataset, kind).status == "failed"
    assert data_checks.findings(dataset, kind) is None
    assert data_checks.table(dataset, kind) is None


SOUND = {BASELINES: baselines_found(), TRAINED: trained_found("x"), CURVE: curve_found()}
UNSOUND = [
    (BASELINES, {"best": []}),
    (BASELINES, {"best": "another"}),
    (BASELINES, {"best": "majority"}),
    (BASELINES, {"texts": -1}),
    (BASELINES, {"texts": True}),
    (BASELINES, {"folds": 2**60}),
    (BASELINES, {"scores": {"all": SOUND[BASELINES]["scores"]["all"], "test": {}}}),
    (TRAINED, {"run": 3}),
    (TRAINED, {"judged": 1.5}),
    (TRAINED, {"run": "\ud800"}),
    (CURVE, {"points": []}),
    (CURVE, {"verdict": None}),
    (CURVE, {"points": [{**SOUND[CURVE]["points"][0], "macro_f1": 1.1}]}),
    (CURVE, {"points": [{**SOUND[CURVE]["points"][0], "scores": [float("nan")]}]}),
    (CURVE, {"points": [{**SOUND[CURVE]["points"][0], "share": "0.5"}]}),
]


@pytest.mark.parametrize(("kind", "change"), UNSOUND)
def test_findings_that_no_page_could_show_are_damage(kind, change, held):
    dataset = make_dataset()
    check = make_check(dataset, kind, "finished", held, run_id="x")
    found = {"status": "finished", "result": {"sha256": dataset.sha256, "findings": SOUND[kind]}}
    check.result_file.write_text(json.dumps(found))
    assert data_checks.findings(dataset, kind) == SOUND[kind]
    found["result"]["findings"] = SOUND[kind] | change
    check.result_file.write_text(json.dumps(found))
    assert data_checks.findings(dataset, kind) is None
    assert data_checks.state(dataset, kind).status == "failed"


def test_what_an_earlier_version_found_is_taken_over(held):
    dataset = make_dataset()
    check = make_check(dataset, BASELINES, "finished", held)
    rows = data_checks.table(dataset, BASELINES)
    folder = check.folder.parent
    data_checks.table_file(dataset, BASELINES).rename(folder / "baselines.parquet")
    shutil.rmtree(check.folder)
    content = {"status": "done", "sha256": dataset.sha256, "seconds": 1.0, "findings": SOUND[BASELINES]}
    (folder / "baselines.json").write_text(json.dumps(content))
    (folder / "curve.json").write_text(json.dumps({"status": "failed", "reason": "No.", "remedy": "Again."}))
    assert data_checks.state(dataset, BASELINES).status == "finished"
    assert data_checks.findings(dataset, BASELINES) == SOUND[BASELINES]
    pd.testing.assert_frame_equal(data_checks.table(dataset, BASELINES), rows)
    state = data_checks.state(dataset, CURVE)
    assert (state.status, state.reason, state.remedy) == ("failed", "No.", "Again.")


@pytest.mark.parametrize("share", ["x", -1, 2, None])
def test_a_share_that_is_none_is_shown_as_nothing_done(share, held):
    dataset = make_dataset()
    check = make_check(dataset, BASELINES, "running", held)
    job.say_progress(check, share=share, doing=3)
    assert data_checks.state(dataset, BASELINES) == data_checks.CheckState("running", 0.0, "3")


def test_what_is_written_is_read_again(held):
    dataset = make_dataset()
    for kind in data_checks.KINDS:
        make_check(dataset, kind, "finished", held, run_id="x")
        assert data_checks.state(dataset, kind).status == "finished"
        assert data_checks.findings(dataset, kind)
    assert len(data_checks.table(dataset, BASELINES)) == 40


def test_what_was_found_about_other_texts_does_not_count(held):
    dataset, other = make_dataset(), make_dataset("Others", per_class=30)
    check = make_check(other, BASELINES, "finished", held)
    assert data_checks.baseline_of(other.id)
    shutil.copytree(check.folder.parent, dataset.folder / datasets.STUDIES)
    assert data_checks.findings(dataset, BASELINES) is None
    assert data_checks.baseline_of(dataset.id) is None


def test_a_folder_that_may_not_be_written_to_is_said(monkeypatch):
    dataset = make_dataset()

    def refuse(self: Path, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        data_checks.start(dataset, BASELINES)
