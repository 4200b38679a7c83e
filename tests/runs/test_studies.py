"""Studies: processes of their own that find something out about a saved data set."""

import json
import os
import shutil
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
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
from core.runs.tasks import studies
from core.runs.tasks.examiner import READ_CHARACTERS, _Rows, _write_table
from core.runs.tasks.studies import BASELINES, CURVE, TRAINED, Study
from core.runs.training import engines, store
from core.runs.training.events import EventLog
from tests.pages.seeding import make_dataset
from tests.pages.studies import make_study
from tests.processes import is_at_work, kill, processes_of, wait_for, with_words
from tests.runs.test_runs import FAST

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def nothing_left_running(textuner_home):
    yield
    for process in processes_of(textuner_home):
        process.kill()


@pytest.fixture
def held():
    with ExitStack() as locks:
        yield locks


def examiner(dataset) -> psutil.Process | None:
    return with_words("core.runs.tasks.examiner", str(dataset.folder))


def ended(dataset, kind=BASELINES) -> studies.StudyState:
    wait_for(lambda: not studies.state(dataset, kind).live)
    return studies.state(dataset, kind)


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
    studies.start(dataset, BASELINES)
    assert studies.state(dataset, BASELINES).live
    assert ended(dataset).status == "done"

    found = studies.findings(dataset, BASELINES)
    assert found["texts"] == found["judged"] == 16
    assert found["scores"]["all"]["average"]["accuracy"] == 15 / 16
    assert 0.5 <= found["scores"]["all"]["majority"]["accuracy"] < 0.6
    assert {"train", "validation", "test"} < set(found["scores"])
    rows = studies.table(dataset, BASELINES)
    assert len(rows) == 16
    first = rows.iloc[0]
    assert (first["text"], first["label"], first["suggested"]) == (texts[0], "seen", "read")
    assert first["likely"]
    # It is said where the row stands.
    part = getattr(datasets.load_splits(dataset.folder), first["split"])
    assert part.texts[first["position"]] == first["text"]
    assert studies.baseline_of(dataset.id) == {
        "name": found["best"],
        **found["scores"]["all"][found["best"]],
        "majority_accuracy": found["scores"]["all"]["majority"]["accuracy"],
        "majority_macro_f1": found["scores"]["all"]["majority"]["macro_f1"],
    }
    leftovers = {path.suffix for path in Study(dataset, BASELINES).file("json").parent.iterdir()}
    assert leftovers == {".json", ".parquet", ".npz", ".lock", ".log"}


def test_of_long_texts_the_beginning_is_kept_for_the_page():
    texts = [f"{i} {'long ' * 100_000 * (i % 2)}" for i in range(8)]
    dataset = save(texts, ["a", "b"] * 4)
    study, every = Study(dataset, BASELINES), np.arange(8)
    study.file("parquet").parent.mkdir()
    doubts = Suspects(every, np.zeros(8, dtype=np.int64), np.zeros(8, dtype=bool))
    _write_table(study, _Rows.of(dataset), every, np.full((8, 2), 0.5), doubts)
    kept = studies.table(dataset, BASELINES)["text"]
    assert sorted(map(len, kept)) == [2] * 4 + [READ_CHARACTERS] * 4


def trained_on(dataset, model: str) -> store.Run:
    """A finished run of the tiny model on the data set."""
    run = store.create_run(replace(FAST, model=model), dataset)
    splits = datasets.load_splits(dataset.folder)
    train_classifier(splits, run.config, run.folder / "model", Hooks(lambda event: None, lambda: False))
    with EventLog(run.folder / "events.jsonl") as events:
        events.append({"type": "finished"})
    return run


def test_a_trained_model_is_asked_together_with_the_baselines(dataset, tiny):
    run = trained_on(dataset, tiny)
    studies.start(dataset, TRAINED, run)
    assert ended(dataset, TRAINED).status == "failed"
    assert "baselines" in studies.state(dataset, TRAINED).reason

    studies.start(dataset, BASELINES)
    assert ended(dataset).status == "done"
    studies.start(dataset, TRAINED, run)
    assert ended(dataset, TRAINED) == studies.StudyState("done")
    found, rows = studies.findings(dataset, TRAINED), studies.table(dataset, TRAINED)
    assert (found["run"], found["number"], found["judged"]) == (run.id, run.number, 10)
    # The model has its say: probabilities are not those of the baselines alone.
    baseline = studies.table(dataset, BASELINES).set_index("text")["probability"]
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
    studies.start(other, TRAINED, run)
    assert "other texts" in ended(other, TRAINED).reason
    studies.start(other, TRAINED)
    assert "id of a run" in ended(other, TRAINED).reason


def test_damaged_answers_of_the_baselines_are_told(dataset, tiny, held):
    run = trained_on(dataset, tiny)
    make_study(dataset, BASELINES, "done", held)
    npy = BytesIO()
    np.save(npy, np.zeros(3))
    for content in (b"", b"PK torn", b"x" * 1000, npy.getvalue()):
        Study(dataset, BASELINES).file("npz").write_bytes(content)
        studies.start(dataset, TRAINED, run)
        assert "baselines" in ended(dataset, TRAINED).reason


def test_a_study_that_cannot_be_done_says_why():
    dataset = save([f"text {i}" for i in range(4)], ["a", "b", "c", "d"])
    studies.start(dataset, BASELINES)
    state = ended(dataset)
    assert state.status == "failed"
    assert "two classes" in state.reason
    assert state.remedy
    assert studies.findings(dataset, BASELINES) is None
    assert studies.baseline_of(dataset.id) is None


def test_two_starts_at_once_are_one_process(monkeypatch):
    dataset = make_dataset()
    spawned = []
    real = engines.start_study

    def start_study(*arguments):
        spawned.append(real(*arguments))
        return spawned[-1]

    monkeypatch.setattr(engines, "start_study", start_study)
    threads = [threading.Thread(target=studies.start, args=(dataset, BASELINES)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spawned) == 1
    assert ended(dataset).status == "done"


def test_studies_of_several_data_sets_wait_for_one_another():
    first, second = make_dataset(), make_dataset("Others", per_class=30)
    with FileLock(home() / "studies.lock"):
        for dataset in (first, second):
            studies.start(dataset, BASELINES)
            wait_for(lambda dataset=dataset: studies.state(dataset, BASELINES).doing.startswith("Waiting"))
        # It waits still, while the second one was started.
        assert studies.state(first, BASELINES).doing.startswith("Waiting")
        process = examiner(second)
        studies.cancel(second, BASELINES)
        assert not is_at_work(process)
        assert studies.state(second, BASELINES).status == "stopped"
        assert studies.findings(first, BASELINES) is None
    assert ended(first).status == "done"


def test_a_second_process_leaves_a_study_at_work_alone(held):
    dataset = make_dataset()
    study = make_study(dataset, BASELINES, "running", held)
    process = engines.start_study(study.file("log"), dataset.folder, BASELINES, None)
    assert process.wait(60) == 0
    assert "another process" in study.file("log").read_text()
    assert not study.file("json").exists()


def test_a_killed_study_is_shown_as_ended_and_can_be_started_again():
    dataset = make_dataset()
    studies.start(dataset, BASELINES)
    process = wait_for(lambda: examiner(dataset))
    wait_for(lambda: "pid" in json.loads(Study(dataset, BASELINES).file("progress").read_text()))
    assert kill(process) == [True]
    state = studies.state(dataset, BASELINES)
    assert (state.status, state.live) == ("lost", False)
    assert state.remedy
    studies.start(dataset, BASELINES)
    assert ended(dataset).status == "done"


def test_a_study_is_stopped_at_once():
    dataset = make_dataset()
    studies.start(dataset, BASELINES)
    process = wait_for(lambda: examiner(dataset))
    wait_for(lambda: "pid" in json.loads(Study(dataset, BASELINES).file("progress").read_text()))
    studies.cancel(dataset, BASELINES)
    assert not is_at_work(process)
    assert studies.state(dataset, BASELINES).status == "stopped"


def test_a_stop_before_the_process_has_come_to_its_lock_is_heard(monkeypatch):
    dataset = make_dataset()
    with monkeypatch.context() as patched:
        patched.setattr(engines, "start_study", lambda *arguments: SLEEPER)
        studies.start(dataset, BASELINES)
    studies.cancel(dataset, BASELINES)
    study = Study(dataset, BASELINES)
    assert engines.start_study(study.file("log"), dataset.folder, BASELINES, None).wait(60) == 0
    assert not study.file("json").exists()
    assert studies.state(dataset, BASELINES).status == "stopped"


class SLEEPER:
    """A process that has only just been started."""

    @staticmethod
    def wait() -> int:
        return 0


def test_one_that_was_started_long_ago_and_holds_no_lock_is_lost(monkeypatch):
    dataset = make_dataset()
    monkeypatch.setattr(engines, "start_study", lambda *arguments: SLEEPER)
    studies.start(dataset, BASELINES)
    assert studies.state(dataset, BASELINES).live
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + studies.START_SECONDS + 1)
    assert studies.state(dataset, BASELINES).status == "lost"


def test_a_data_set_is_not_deleted_while_it_is_studied(held):
    dataset = make_dataset()
    with FileLock(make_study(dataset, CURVE, "lost", held).file("lock")):
        with pytest.raises(UserError, match="checked"):
            datasets.delete_dataset(dataset.id)
        assert dataset.folder.is_dir()
    datasets.delete_dataset(dataset.id)
    assert not dataset.folder.exists()


def test_a_study_of_a_deleted_data_set_leaves_nothing(tmp_path):
    dataset = make_dataset()
    datasets.delete_dataset(dataset.id)
    with pytest.raises(UserError, match="saved data set"):
        studies.start(dataset, BASELINES)
    process = engines.start_study(tmp_path / "log", dataset.folder, BASELINES, None)
    assert process.wait(60) == 0
    assert not dataset.folder.exists()


DAMAGES = {
    "no JSON": b"{ torn",
    "no text": b"\xff\xfe\x00",
    "other JSON": b"[1, 2]",
    "other findings": b'{"status": "done", "sha256": "SHA", "findings": {"scores": 3}}',
    "no findings": b'{"status": "done", "sha256": "SHA"}',
    "no scores": b'{"status": "done", "sha256": "SHA", "findings": {"best": "tfidf", "scores": {"all": {}}}}',
    "other texts": b'{"status": "done", "sha256": "another", "findings": {}}',
    "half a character": b'{"status": "failed", "reason": "\\ud800"}',
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("kind", studies.KINDS)
def test_a_damaged_file_is_said_to_be_one(content, kind, held):
    dataset = make_dataset()
    study = make_study(dataset, BASELINES, "done", held)
    study = Study(dataset, kind)
    study.file("json").write_bytes(content.replace(b"SHA", dataset.sha256.encode()))
    study.file("parquet").write_bytes(content)
    state = studies.state(dataset, kind)
    assert state.status == "failed"
    assert studies.findings(dataset, kind) is None
    assert studies.table(dataset, kind) is None


@pytest.mark.parametrize("best", [[], {}, None, "another", "majority"])
def test_a_best_classifier_that_is_none_is_damage(best, held):
    dataset = make_dataset()
    study = make_study(dataset, BASELINES, "done", held)
    content = json.loads(study.file("json").read_text())
    content["findings"]["best"] = best
    study.file("json").write_text(json.dumps(content))
    assert studies.state(dataset, BASELINES).status == "failed"
    assert studies.baseline_of(dataset.id) is None


@pytest.mark.parametrize("content", [b"{ torn", b"[]", b'{"share": "x", "pid": "y"}', b'{"share": NaN}'])
def test_a_damaged_progress_does_not_hide_a_study_at_work(content, held):
    dataset = make_dataset()
    study = make_study(dataset, BASELINES, "running", held)
    study.file("progress").write_bytes(content)
    assert studies.state(dataset, BASELINES).live
    assert studies.state(dataset, BASELINES).share == 0
    studies.cancel(dataset, BASELINES)  # Whoever it is, no other process is ended.


def test_what_is_written_is_read_again(held):
    dataset = make_dataset()
    for kind in studies.KINDS:
        make_study(dataset, kind, "done", held, run_id="x")
        assert studies.state(dataset, kind).status == "done"
        assert studies.findings(dataset, kind)
    assert len(studies.table(dataset, BASELINES)) == 40


def test_what_was_found_about_other_texts_does_not_count(held):
    dataset, other = make_dataset(), make_dataset("Others", per_class=30)
    study = make_study(other, BASELINES, "done", held)
    assert studies.baseline_of(other.id)
    shutil.copytree(study.file("json").parent, dataset.folder / datasets.STUDIES)
    assert studies.findings(dataset, BASELINES) is None
    assert studies.baseline_of(dataset.id) is None


def test_a_folder_that_may_not_be_written_to_is_said(monkeypatch):
    dataset = make_dataset()

    def refuse(self: Path, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        studies.start(dataset, BASELINES)


def test_a_process_that_the_system_ended_for_lack_of_memory_is_said_to_be(monkeypatch):
    dataset = make_dataset()
    monkeypatch.setattr(studies, "memory_kills", lambda: 3)
    monkeypatch.setattr("core.base.memory_kills.memory_kills", lambda: 4)
    monkeypatch.setattr(engines, "start_study", lambda *arguments: KILLED)
    studies.start(dataset, BASELINES)
    state = ended(dataset)
    assert state.status == "failed"
    assert "memory ran out" in state.reason


class KILLED:
    """A process that the system has ended."""

    @staticmethod
    def wait() -> int:
        return -9


@pytest.mark.skipif(not hasattr(os, "nice"), reason="this system has no priorities")
def test_a_study_works_at_low_priority():
    dataset = make_dataset()
    studies.start(dataset, BASELINES)
    process = wait_for(lambda: examiner(dataset))
    own = psutil.Process().nice()
    wait_for(lambda: process.nice() > own, seconds=30)
    studies.cancel(dataset, BASELINES)
