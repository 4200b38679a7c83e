import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.base.errors import UserError
from core.data.labels import LabeledTexts
from core.data.splits import Splits
from core.learning.config import TUTORIAL, TrainingConfig
from core.learning.evaluation.calibration import Calibration, read_calibration, write_calibration
from core.learning.training.checkpoints import TrainingCheckpoints
from core.learning.training.hooks import Hooks
from core.learning.training.train import train_classifier
from tests.learning.test_loop import Lost, lose_at
from tests.tutorial import NEW, TRAIN

FAST = TrainingConfig(epochs=20, batch_size=4, learning_rate=5e-3, max_length=16, precision="fp32")


def train(splits, config, folder, should_stop=lambda: False):
    events = []
    return train_classifier(splits, config, folder, Hooks(events.append, should_stop)), events


def test_outcome_and_folder_are_those_of_the_saved_weights_and_nothing_else_is_left(tiny, splits, tmp_path):
    from core.serving.classifier import Classifier

    # What a kill left unfinished is cleared away.
    (tmp_path / ".saving-of-another-process").mkdir()
    (tmp_path / ".saving-of-another-process" / "model.safetensors").write_bytes(b"half")
    outcome, events = train(splits, replace(FAST, model=tiny), tmp_path / "model")
    assert (events[0]["type"], events[0]["total_steps"], outcome.stopped) == ("started", 40, False)
    answers = Classifier.load(tmp_path / "model").predict(splits.test.texts)
    table = outcome.predictions[outcome.predictions["split"] == "test"]
    assert table["predicted"].tolist() == answers.labels
    assert table["confidence"].tolist() == pytest.approx(answers.confidence.tolist(), abs=1e-6)
    assert np.stack(table["probabilities"]) == pytest.approx(answers.probabilities, abs=1e-6)
    right = sum(a == b for a, b in zip(table["label"], table["predicted"], strict=True))
    assert outcome.report["test"]["accuracy"] == right / 2
    assert outcome.report["tokens_per_second"] > 0
    assert outcome.report["collapsed"] is None
    json.dumps(outcome.report, allow_nan=False)
    # Two validation texts are too few, and that is said.
    assert outcome.calibration == Calibration()
    assert outcome.report["calibration"]["fitted_on"] is None
    assert outcome.report["calibration"]["reason"]
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["model"]
    settings = json.loads((tmp_path / "model" / "config.json").read_text())
    assert settings["id2label"] == {"0": "bad", "1": "good"}
    assert json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())["model_max_length"] == 16


def test_the_temperature_is_fitted_on_the_validation_texts_alone(tiny, splits, tmp_path):
    # All the labels of the test are turned round: a temperature that knew them would be large.
    many = splits.train.take([0, 1, 2, 3, 4, 5] * 6)
    turned = replace(many, labels=[1 - label for label in many.labels])
    config = replace(FAST, model=tiny)
    outcome, _ = train(replace(splits, validation=many, test=turned), config, tmp_path / "model")
    report = outcome.report
    assert report["calibration"]["fitted_on"] == "validation"
    assert report["calibration"]["texts"] == 36
    assert outcome.calibration.temperature == report["calibration"]["temperature"] < 1
    assert report["validation"]["calibrated"]["loss"] < report["validation"]["loss"]
    assert report["test"]["calibrated"]["loss"] > report["test"]["loss"]


def test_a_model_that_knows_one_label_only_is_recognised_while_it_trains_and_at_its_end(
    tiny, splits, tmp_path
):
    many = splits.train.take([0, 1, 2, 3, 4, 5] * 2)
    config = replace(FAST, model=tiny, epochs=1, learning_rate=1e-7)
    outcome, events = train(replace(splits, validation=many, test=many), config, tmp_path / "model")
    found = outcome.report["collapsed"]
    assert found["share"] == 1.0
    assert found["label"] in ("bad", "good")
    assert [event["collapsed"] for event in events if event["type"] == "evaluated"][-1] == found["label"]


def test_better_weights_do_not_keep_the_calibration_of_those_before(tiny, splits, tmp_path):
    (tmp_path / "model").mkdir()
    write_calibration(tmp_path / "model", Calibration(3.0, 0.9))
    train(splits, replace(FAST, model=tiny, epochs=1), tmp_path / "model")
    assert read_calibration(tmp_path / "model") == Calibration()


def test_without_held_out_texts_the_last_weights_are_kept(tiny, splits, tmp_path):
    none = splits.train.take([])
    outcome, _ = train(replace(splits, validation=none, test=none), replace(FAST, model=tiny), tmp_path / "m")
    assert outcome.report["test"] is None
    assert outcome.report["best_step"] == 40
    assert len(outcome.predictions) == 0


def test_stop_before_the_first_step_leaves_no_model(tiny, splits, tmp_path):
    outcome, _ = train(splits, replace(FAST, model=tiny), tmp_path / "model", should_stop=lambda: True)
    assert outcome is None
    assert not (tmp_path / "model").exists()


def test_a_stop_is_heard_during_a_long_evaluation_and_the_final_scoring(tiny, splits, tmp_path):
    many = replace(splits, validation=splits.train.take([0, 1, 2, 3, 4, 5] * 25), test=splits.train.take([]))
    heard = []

    def should_stop():
        heard.append(len(events))
        return False

    events = []
    config = replace(FAST, model=tiny, epochs=1, evaluations_per_epoch=1)
    train_classifier(many, config, tmp_path / "model", Hooks(events.append, should_stop))
    kinds = [event["type"] for event in events]
    # 150 texts are three batches: asked before two steps, and twice in each of the two scorings.
    assert len(heard) == 2 + 2 + 2
    assert heard.count(kinds.index("evaluated")) == 2
    assert heard.count(len(kinds)) == 2


def snapshots_at(monkeypatch, *steps):
    """Let snapshots be taken at these steps of a process, however long they take."""
    asked = iter(range(1, 10_000))
    monkeypatch.setattr(TrainingCheckpoints, "due", lambda _: next(asked) in steps)


def test_the_time_of_an_interrupted_training_counts(tiny, splits, tmp_path, monkeypatch):
    now = [0.0]

    def later():
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr("time.perf_counter", later)
    snapshots_at(monkeypatch, 38)
    arguments = (splits, replace(FAST, model=tiny), tmp_path / "model")
    with pytest.raises(Lost):
        train_classifier(*arguments, Hooks([].append, lose_at(38)), tmp_path / "snapshots")
    gone = now[0]
    report = train_classifier(*arguments, Hooks([].append, lambda: False), tmp_path / "snapshots").report
    assert report["steps"] == 40
    assert report["total_seconds"] >= report["train_seconds"]
    assert report["total_seconds"] == pytest.approx(now[0], abs=10)
    assert now[0] - gone < gone


@pytest.mark.parametrize("resumed_at", [None, 2])
def test_a_resumed_training_knows_the_weights_of_steps_that_were_undone(
    tiny, splits, tmp_path, monkeypatch, resumed_at
):
    snapshots_at(monkeypatch, resumed_at)
    whole = []
    config = replace(FAST, model=tiny, evaluations_per_epoch=2)
    weights, snapshots = tmp_path / "model" / "model.safetensors", tmp_path / "snapshots"
    arguments = (splits, config, tmp_path / "model")
    with pytest.raises(Lost):
        train_classifier(*arguments, Hooks(whole.append, lose_at(20)), snapshots)
    best = [event for event in whole if event["type"] == "evaluated" and event["best"]][-1]
    assert best["step"] > 10
    kept = weights.read_bytes()
    # Stopped at once, and gone on to the end: neither may lose or misname what was kept.
    snapshots_at(monkeypatch)
    shutil.copytree(tmp_path / "snapshots", tmp_path / "again")
    stopped = train_classifier(*arguments, Hooks([].append, lambda: True), tmp_path / "again").report
    assert stopped["best_step"] == best["step"]
    assert stopped["validation"]["macro_f1"] == best["macro_f1"]
    assert weights.read_bytes() == kept
    resumed = train_classifier(*arguments, Hooks([].append, lambda: False), snapshots).report
    ended = weights.read_bytes()
    report = train_classifier(splits, config, tmp_path / "unbroken", Hooks([].append, lambda: False)).report
    assert (resumed["best_step"], resumed["validation"]) == (report["best_step"], report["validation"])
    assert ended == (tmp_path / "unbroken" / "model.safetensors").read_bytes()


def test_settings_are_checked_again_in_the_worker(tiny, splits, tmp_path):
    with pytest.raises(UserError, match="epochs is 0.*batch_size is 0"):
        train(splits, replace(FAST, model=tiny, epochs=0, batch_size=0), tmp_path / "model")
    with pytest.raises(UserError, match="at most 64 tokens"):
        train(splits, replace(FAST, model=tiny, max_length=65), tmp_path / "model")


def tutorial_splits() -> Splits:
    labeled = LabeledTexts([text for text, _ in TRAIN], [label for _, label in TRAIN], {"0": 0, "1": 1})
    return Splits(labeled, labeled.take([]), labeled.take([]), how="all for training")


@pytest.mark.slow
def test_the_tutorial_to_the_letter(tmp_path):
    """AdamW at 2e-5, batches of 2, 5 epochs, 128 tokens; loss and accuracy per epoch; save and reload."""
    from transformers import AutoModelForSequenceClassification

    from core.serving.export.model_files import export_state_dict

    outcome, events = train(tutorial_splits(), TUTORIAL, tmp_path / "model")
    assert outcome.report["steps"] == 25
    epochs = {event["epoch"]: event for event in events if event["type"] == "step"}
    assert {1.0, 2.0, 3.0, 4.0, 5.0} <= set(epochs)
    assert all({"loss", "accuracy"} <= set(event) for event in epochs.values())
    export_state_dict(tmp_path / "model", tmp_path / "model.pth")
    loaded = torch.load(tmp_path / "model.pth", weights_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())


@pytest.mark.slow
def test_the_tutorial_with_suitable_settings_labels_all_four_new_sentences(tmp_path):
    from core.serving.classifier import Classifier

    config = replace(TUTORIAL, learning_rate=2e-4, epochs=20)
    train(tutorial_splits(), config, tmp_path / "model")
    answers = Classifier.load(tmp_path / "model").predict([text for text, _ in NEW])
    assert answers.labels == [str(label) for _, label in NEW]
