"""The model card: metadata that the hub's own tools read, limits that are computed, names that stay text."""

import hashlib
import re
from dataclasses import asdict, replace

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from core.data.labels import LabeledTexts
from core.data.quality.fixes import AppliedFix
from core.data.reading.text.records import RejectedRow
from core.data.splits import Splits
from core.data.storage.datasets import save_dataset
from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.runs.results import bundle_contents
from core.runs.training import store
from core.serving.export.model_card.card import model_card
from core.serving.export.model_card.sources import Origin

SETTINGS = asdict(TrainingConfig())
SCORES = {
    "texts": 100,
    "accuracy": 0.884,
    "macro_f1": 0.88,
    "majority_accuracy": 0.5,
    "balanced_accuracy": 0.881,
    "mcc": 0.7612,
    "auroc": 0.95,
    "loss": 0.31,
    "brier": 0.09,
    "ece": 0.061,
    "per_class": [{"label": "bad", "precision": 0.9, "recall": 0.87, "f1": 0.885, "support": 50}],
    "intervals": {"accuracy": [0.81, 0.94], "mcc": [0.62, 0.88]},
    "calibrated": {"ece": 0.021},
}
REPORT = {
    "test": SCORES,
    "validation": {"texts": 90, "accuracy": 0.9, "macro_f1": 0.9},
    "calibration": {"temperature": 1.31, "fitted_on": "validation", "texts": 90, "reason": None},
    "collapsed": None,
    "device": "cpu",
    "precision": "bf16",
    "hardware_reason": "The processor has AMX.",
    "truncated": 3,
    "train_seconds": 72.0,
    "total_seconds": 80.0,
    "steps": 100,
    "best_step": 80,
}
ATTACKS = (
    "x\n---\nlicense: mit\n---\n# Owned",
    "---",
    "a: b",
    "- item",
    "<script>alert(1)</script>",
    "`code` ```",
    "![pixel](http://evil.example/p.png)",
    "[click](javascript:alert(1))",
    "{{ config }} {% raw %}",
    "a|b|c",
    "&lt;img src=x&gt;",
    "!!python/object/apply:os.system ['id']",
    "*&anchor",
    "\u202eevil\u2028# Owned\x85# Owned\x00",
    "$$\\href{javascript:x}{y}$$",
    "http://evil.example www.evil.example me@evil.example",
    "no",
)


def plain(card: str) -> str:
    """Without what keeps it from being Markdown."""
    return card.replace("\\", "").replace("\u2060", "")


def metadata_of(card: str) -> dict:
    return ModelCard(card).data.to_dict()


@pytest.fixture
def prose():
    """A data set with enough sentences in English and German to tell."""
    english = [
        f"This is a rather long sentence about the weather of day {i}, in plain words." for i in range(60)
    ]
    german = [
        f"Das ist ein ziemlich langer Satz über das Wetter am Tag {i}, ganz einfach." for i in range(20)
    ]
    texts = [text for pair in zip(english[:20], german, strict=True) for text in pair] + english[20:]
    part = LabeledTexts(texts, [i % 2 for i in range(80)], {"bad": 0, "good": 1})
    return save_dataset("weather", Splits(part, part.take([]), part.take(range(30)), "by hand"), [], {})


def test_metadata_comes_back_from_the_hubs_own_reader(prose):
    card = model_card("BERT base", prose, SETTINGS, REPORT, Origin(hub_id="google-bert/bert-base-uncased"))
    found = metadata_of(card)
    assert found["library_name"] == "transformers"
    assert found["pipeline_tag"] == "text-classification"
    assert found["base_model"] == "google-bert/bert-base-uncased"
    assert found["language"] == ["en", "de"]
    assert "license" not in found
    assert found["metrics"] == ["accuracy", "f1", "matthews_correlation", "roc_auc"]
    (index,) = found["model-index"]
    (result,) = index["results"]
    assert result["task"] == {"type": "text-classification", "name": "Text Classification"}
    assert result["dataset"] == {"name": "weather", "type": "unknown", "split": "test"}
    assert {"type": "accuracy", "name": "Accuracy", "value": 0.884} in result["metrics"]
    assert {"type": "f1", "name": "Macro F1", "value": 0.88} in result["metrics"]


def test_metadata_makes_the_round_trip(prose):
    card = model_card("Tiny", prose, SETTINGS, REPORT)
    block = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1]
    loaded = yaml.safe_load(block)
    assert ModelCardData(**loaded).to_dict() == loaded
    name, results = model_index_to_eval_results(loaded["model-index"])
    # Back to front, what is None is left out.
    again = yaml.safe_load(ModelCardData(model_name=name, eval_results=results).to_yaml())["model-index"]
    assert again == loaded["model-index"]
    assert len(eval_results_to_model_index(name, results)[0]["results"][0]["metrics"]) == 4
    assert "base_model" not in loaded


def test_norwegian_is_a_language_and_not_false(prose, monkeypatch):
    monkeypatch.setattr("core.data.quality.languages.detect", lambda texts: ["no"] * len(texts))
    assert metadata_of(model_card("Tiny", prose, SETTINGS, None))["language"] == "no"


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_names_stay_text(prose, attack):
    counts = {part: {attack: 7, "good": 1} for part in ("train", "validation", "test")}
    source = {"file": attack, "fixes": [{"fix": attack, "changed": 1, "left_out": 0, "time": 1.0}]}
    hostile = replace(
        prose, name=attack, label2id={attack: 0, "good": 1}, class_counts=counts, how=attack, sha256=attack,
        removed={attack: 2}, source=source,
    )  # fmt: skip
    report = REPORT | {
        "collapsed": {"label": attack, "share": 1.0},
        "device": attack,
        "hardware_reason": attack,
        "precision": attack,
        "calibration": REPORT["calibration"] | {"fitted_on": attack},
        "test": SCORES | {"per_class": [SCORES["per_class"][0] | {"label": attack}]},
    }
    settings = SETTINGS | {"model": attack, "max_length": attack}
    card = model_card(attack, hostile, settings, report, Origin(files=(attack, f"{attack}.onnx")))
    harmless = model_card("x", prose, SETTINGS, report | {"device": "x"}, Origin(files=("x.onnx",)))

    assert set(metadata_of(card)) == set(metadata_of(harmless))
    (index,) = metadata_of(card)["model-index"]
    assert "\n" not in index["name"] and index["name"] == index["results"][0]["dataset"]["name"]
    # The hub's reader and ours agree on where the metadata ends, and no line begins another block.
    assert [line for line in card.splitlines() if line.strip() == "---"] == ["---", "---"]
    body = card.split("\n---\n", 1)[1]
    assert headings(body) == headings(harmless.split("\n---\n", 1)[1])
    # Of the metadata block, too: not everything that shows Markdown knows it.
    shown = re.sub(r"```python\n.*?```|`[0-9a-f]{64}`", "", card, flags=re.DOTALL)
    for mark in "<>&[]`{}$*!":
        bare = re.findall(rf"(?<!\\){re.escape(mark)}", shown.replace("**", ""))
        assert not bare, f"{mark} is bare"
    assert not re.search(r"https?:/|javascript:|www\.", shown.replace("\\", ""))
    assert not re.search("[\u202e\u2028\x85\x00]", card)


def headings(body: str) -> list[str]:
    """All but the title, which is the name of the data set."""
    return [line for line in body.splitlines() if re.match(r"##+ ", line)]


def test_tables_keep_their_columns(prose):
    label = "a|b \\| c"
    hostile = replace(prose, label2id={label: 0}, class_counts=dict.fromkeys(prose.class_counts, {label: 1}))
    card = model_card("Tiny", hostile, SETTINGS, REPORT)
    rows = [line for line in card.split("## Classes")[1].split("##")[0].splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows} == {8}


def test_scores_with_intervals_and_what_is_beside_them(prose):
    baseline = {"name": "tfidf", "accuracy": 0.85, "macro_f1": 0.84}
    card = plain(model_card("Tiny", prose, SETTINGS, REPORT, Origin(baseline=baseline)))
    assert "| Accuracy | 0.884 | 0.810 to 0.940 |" in card
    assert "| Matthews correlation | 0.761 | 0.620 to 0.880 |" in card
    assert "| Accuracy of always the most frequent class | 0.500 |" in card
    assert "| Accuracy of the simple classifier (TF-IDF) | 0.850 |" in card
    assert "temperature of 1.310, fitted on 90 validation texts" in card
    assert "calibration error is 0.061 without and 0.021 with it" in card
    assert "| bad | 40 | 0 | 15 | 0.900 | 0.870 | 0.885 |" in card
    assert "Hardware: cpu, bf16 (The processor has AMX.)" in card
    assert "Time: 1 min 12 s of training, 1 min 20 s in all." in card
    assert "accuracy 0.900, macro F1 0.900" in card
    assert "| batch_size | 16 |" in card


def test_limits_are_computed(prose):
    baseline = {"name": "average", "accuracy": 0.85, "macro_f1": 0.84}
    card = plain(model_card("Tiny", prose, SETTINGS, REPORT, Origin(baseline=baseline)))
    assert "known to within 13.0 points (81.0% to 94.0%): too wide to rely on." in card
    assert "not surely better than the simple classifiers (average) (accuracy 0.850)" in card
    assert (
        "2 classes have fewer than 20 test texts, so that their scores say little: bad (15), good (15)."
        in card
    )
    assert "English (75%), German (25%)" in card
    assert "of 3 of the 80 training texts (3.8%) the rest was cut off" in card
    assert "always answers one of its 2 classes" in card
    assert "collapsed" not in card
    narrow = SCORES | {"accuracy": 0.9, "intervals": {"accuracy": [0.88, 0.92]}}
    card = plain(model_card("Tiny", prose, SETTINGS, REPORT | {"test": narrow}, Origin(baseline=baseline)))
    assert "known to within 4.0 points (88.0% to 92.0%).\n" in card
    assert "surely better" not in card


def test_a_collapsed_model_says_so_before_all_else(prose):
    card = plain(model_card("Tiny", prose, SETTINGS, REPORT | {"collapsed": {"label": "bad", "share": 1.0}}))
    assert card.index("has collapsed: it gives 100.0% of the texts the label bad") < card.index("## Use")


@pytest.mark.parametrize("report", [None, {"test": {"accuracy": 0.5, "macro_f1": 0.4}, "validation": None}])
def test_reports_of_earlier_versions_will_do(dataset, report):
    card = plain(model_card("Tiny", dataset, {}, report))
    assert ("Not judged" in card) == (report is None)
    assert "no temperature was fitted" in card
    assert "The language of too few texts could be told (0 of 6 sampled)" in card
    assert ("model-index" in metadata_of(card)) == (report is not None)


def test_rows_left_out_are_counted_by_reason(splits):
    rejected = [RejectedRow(i, "the label is empty", "x") for i in range(3)] + [RejectedRow(9, "no text", "")]
    source = {"file": "ten.csv", "fixes": [AppliedFix("Labels written alike", 2, 0, 1.0).facts()]}
    dataset = save_dataset("ten", replace(splits, removed={"repeated": 4}), rejected, source)
    card = plain(model_card("Tiny", dataset, {}, None))
    assert "Mended: Labels written alike: 2 rows changed." in card
    assert "Removed: 4 repeated." in card
    assert "Rows that could not be used: 4." in card
    assert "Left out, 3 rows: the label is empty." in card
    assert "Left out, 1 row: no text." in card
    assert dataset.sha256 in card


def test_damaged_texts_are_said(dataset):
    (dataset.folder / "splits.parquet").write_bytes(b"no table")
    (dataset.folder / "rejected.jsonl").write_bytes(b"{")
    card = model_card("Tiny", dataset, SETTINGS, None)
    assert "could not be read when this card was written" in card
    assert "language" not in metadata_of(card)


def test_the_card_of_a_run_names_its_model_and_the_files_beside_it(dataset):
    run = store.create_run(TrainingConfig(model="bert-base-uncased"), dataset)
    (run.folder / "model").mkdir()
    (run.folder / "model" / "model.safetensors").write_bytes(b"weights")
    card = bundle_contents.card_of(run, ["predict.py", "onnx/model.onnx", "classifier.html"])
    assert metadata_of(card)["base_model"] == pretrained.find("bert-base-uncased").repo
    assert f"sha256 of model\\.safetensors: `{hashlib.sha256(b'weights').hexdigest()}`" in card
    for words in ('python predict.py "A text to label."', "onnx/model.onnx", "classifier.html"):
        assert words in plain(card)
    alone = bundle_contents.card_of(run)
    assert "predict.py" not in plain(alone)
