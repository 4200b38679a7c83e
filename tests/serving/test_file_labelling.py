"""A file labelled part by part: nothing done twice, nothing lost, the same whatever interrupted it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.base.errors import UserError
from core.data.tables import Dialect, Limits, Table
from core.learning.evaluation.calibration import Calibration
from core.learning.evaluation.metrics import evaluate
from core.serving.classifier import Classifier
from core.serving.file_labelling import labelling
from core.serving.file_labelling.labelling import Listener, Stopped, label_into, new_columns
from core.serving.file_labelling.parts import parts_of, write_part
from core.serving.file_labelling.plan import Plan
from core.serving.file_labelling.tally import Tally
from core.serving.file_labelling.writing import FORMATS, write_out
from tests.tiny import TEXTS

PAIRS = [(text, label) for label, texts in TEXTS.items() for text in texts]


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return Classifier.load(tiny_model)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    plain = labelling.open_table
    monkeypatch.setattr(labelling, "open_table", lambda *a: plain(*a, batch_rows=3, whole_bytes=0))


@pytest.fixture
def plan(tmp_path, tiny_model):
    rows = [f"{i:03},{text},{label}" for i, (text, label) in enumerate(PAIRS)]
    rows[4:4] = ["x,   ,good", "y,a fine day,strange", "z,a fine day,", "too,many,fields,here"]
    source = tmp_path / "file.csv"
    source.write_text("id,text,label\n" + "\n".join(rows) + "\n")
    return Plan(str(source), str(tiny_model), ("text",), "label", classes=True)


def label(tmp_path, plan, classifier, name="parts", trained_on=frozenset(), **listening):
    return label_into(tmp_path / name, plan, classifier, Limits(), Listener(**listening), trained_on)


def content(folder):
    return [pq.read_table(part).to_pandas() for part in parts_of(folder)]


def test_rows_keep_their_order_and_everything_else_is_counted(tmp_path, plan, classifier):
    found = label(tmp_path, plan, classifier)
    frame = pd.concat(content(tmp_path / "parts"), ignore_index=True)
    assert list(frame)[:5] == ["id", "text", "label", "predicted_label", "confidence"]
    assert list(frame)[5:] == ["probability_bad", "probability_good"]
    assert frame["id"].tolist() == [
        "000",
        "001",
        "002",
        "003",
        "x",
        "y",
        "z",
        *(f"{i:03}" for i in range(4, 10)),
    ]
    assert (found["rows"], found["without_text"], found["unknown"], found["without_label"]) == (13, 1, 1, 1)
    assert (found["rejected"], found["rejected_rows"][0]["line"], found["unsure"]) == (1, 9, None)
    blank = frame[frame["id"] == "x"].iloc[0]
    assert blank["predicted_label"] == ""
    assert pd.isna(blank["confidence"])
    assert pd.isna(blank["probability_bad"])
    rest = frame[frame["id"] != "x"]
    assert rest["confidence"].tolist() == rest[["probability_bad", "probability_good"]].max(axis=1).tolist()


def test_scores_are_those_of_the_rows_whose_label_the_model_knows(tmp_path, plan, classifier):
    found = label(tmp_path, plan, classifier)["scores"]
    answers = classifier.predict([text for text, _ in PAIRS])
    truth = [classifier.names.index(label) for _, label in PAIRS]
    expected = evaluate(answers.probabilities, pd.Series(truth).to_numpy(), classifier.names)
    assert found["texts"] == 10
    assert (found["accuracy"], found["macro_f1"]) == (expected.accuracy, expected.macro_f1)
    assert found["loss"] == pytest.approx(expected.loss, abs=1e-6)
    assert found["intervals"]["accuracy"][0] <= found["accuracy"] <= found["intervals"]["accuracy"][1]


@pytest.mark.parametrize(
    ("truth", "answers"), [([0], None), (None, [[0.5, 0.5]]), ([0, 1], [[0.5, 0.5]])], ids=str
)
def test_true_labels_without_their_probabilities_are_an_error(tmp_path, plan, truth, answers):
    truth, answers = (None if values is None else np.array(values) for values in (truth, answers))
    labelled = pd.DataFrame({"predicted_label": ["good"]})
    with pytest.raises(ValueError, match="or neither"):
        write_part(tmp_path, 0, labelled, truth, answers)
    assert parts_of(tmp_path) == []
    tally = Tally({"label": "predicted_label", "unsure": None}, ["bad", "good"], plan)
    table = Table(labelled, Dialect("csv", "utf-8", ",", '"', has_header=True))
    with pytest.raises(ValueError, match="or neither"):
        tally.add(table, labelled, truth, answers)
    assert tally.facts()["rows"] == 0


def test_rows_that_the_model_was_trained_on_are_counted_also_after_a_stop(tmp_path, plan, classifier):
    familiar = {PAIRS[0][0], PAIRS[-1][0], "a text of no row"} - {"a fine day"}
    with pytest.raises(Stopped):
        label(
            tmp_path,
            plan,
            classifier,
            trained_on=familiar,
            should_stop=lambda: len(content(tmp_path / "parts")) > 1,
        )
    rows = sum(text in familiar for text, _ in PAIRS)
    assert label(tmp_path, plan, classifier, trained_on=familiar)["trained_on"] == rows > 0
    assert label(tmp_path, plan, classifier)["trained_on"] == 0


def test_a_stopped_labelling_goes_on_to_the_same_end(tmp_path, plan, classifier):
    whole = label(tmp_path, plan, classifier, "whole")
    asked, told = iter([False, False, True]), []
    with pytest.raises(Stopped):
        label(tmp_path, plan, classifier, should_stop=lambda: next(asked))
    before = {part: part.stat().st_mtime_ns for part in parts_of(tmp_path / "parts")}
    assert len(before) == 2
    assert label(tmp_path, plan, classifier, report=told.append) == whole
    assert all(part.stat().st_mtime_ns == time for part, time in before.items())
    assert (told[-1].done, told[-1].rows, told[-1].fresh) == (13, 13, 7)
    for one, other in zip(content(tmp_path / "parts"), content(tmp_path / "whole"), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_another_file_model_or_wish_is_not_mixed_in(tmp_path, plan, classifier):
    label(tmp_path, plan, classifier)
    with pytest.raises(UserError, match="changed"):
        label(tmp_path, replace(plan, classes=False), classifier)
    (tmp_path / "file.csv").write_text("id,text,label\n1,another,good\n2,one,bad\n")
    with pytest.raises(UserError, match="changed"):
        label(tmp_path, plan, classifier)
    (tmp_path / "file.csv").unlink()
    with pytest.raises(UserError, match="deleted"):
        label(tmp_path, plan, classifier)


def test_every_byte_of_file_and_model_counts(tmp_path, tiny_model):
    model, source = shutil.copytree(tiny_model, tmp_path / "model"), tmp_path / "large.csv"
    source.write_bytes(b"text\n" + b"a fine day\n" * 200_000)
    marks = {Plan(str(source), str(model), ("text",)).now().marks}
    for file in (source, *(model / name for name in ("model.safetensors", "config.json", "tokenizer.json"))):
        content = bytearray(file.read_bytes())
        content[20] ^= 1
        file.write_bytes(content)
        marks.add(Plan(str(source), str(model), ("text",)).now().marks)
    assert len(marks) == 5


def test_a_column_that_is_not_there_is_said(tmp_path, plan, classifier):
    with pytest.raises(UserError, match="'nothing'"):
        label(tmp_path, replace(plan, text=("nothing",)), classifier)


def test_new_names_never_hide_old_ones():
    taken = ["predicted_label", "confidence", "confidence_2", "probability_a"]
    columns = new_columns(taken, ["a", "a_2", "<b>\n"], True, Calibration(1.0, 0.7))
    assert columns["label"] == "predicted_label_2"
    assert columns["confidence"] == "confidence_3"
    assert columns["unsure"] == "unsure"
    assert columns["classes"] == ["probability_a_2", "probability_a_2_2", "probability_<b>\n"]


def test_the_unsure_are_marked_and_counted(tmp_path, plan, classifier):
    found = label(tmp_path, plan, classifier.calibrated_by(Calibration(1.0, 1.0)))
    frame = pd.concat(content(tmp_path / "parts"))
    assert found["unsure"] == 12
    assert frame["unsure"].all()
    assert not pd.concat(content(tmp_path / "parts"))["confidence"].ge(1.0).any()


@pytest.mark.parametrize("form", FORMATS)
def test_the_parts_become_one_file(tmp_path, plan, classifier, form):
    source = tmp_path / "file.csv"
    rows = ["=1+1,a fine day,-3.5", '"two\nlines",bad work,@x', ",   ,\u05d0", "d,\U0001f600 day,\u4e2d"]
    source.write_text("=id,text,label\n" + "\n".join(rows) + "\n")
    label(tmp_path, replace(plan, label=None, classes=False), classifier)
    parts, out = parts_of(tmp_path / "parts"), tmp_path / f"out.{form}"
    changed = write_out(parts, out, form)
    assert changed == (3 if form == "csv" else 0)
    frame = {
        "csv": lambda: pd.read_csv(out, keep_default_na=False, dtype=str),
        "parquet": lambda: pd.read_parquet(out),
        "jsonl": lambda: pd.DataFrame([json.loads(line) for line in out.read_text().splitlines()]),
    }[form]()
    mark = "'" if form == "csv" else ""
    assert frame[f"{mark}=id"].tolist() == [f"{mark}=1+1", "two\nlines", "", "d"]
    assert frame["label"].tolist() == ["-3.5", f"{mark}@x", "\u05d0", "\u4e2d"]
    assert frame["predicted_label"].tolist()[2] == ""
    assert write_out(parts, out, form, safe=False, columns=["=id", "confidence"]) == 0
    assert "=1+1" in out.read_bytes().decode("utf-8", "replace").replace("'", "?")


HALVES = {
    "file.jsonl": b'{"te\\ud800xt": "a fine day", "label": "x"}\n' * 4
    + b'{"te\\ud800xt": "half \\ud83d", "label": ""}\n',
    "file.csv": b"te\xffxt,label\n" + b"a fine day,x\n" * 4 + b"br\xed\xa0\x80oken \xff,y\n",
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", HALVES)
def test_halves_of_characters_reach_no_file(tmp_path, plan, classifier, name, form):
    (tmp_path / name).write_bytes(HALVES[name])
    column = labelling.open_table(tmp_path / name, Limits(), plan.choice).columns[0]
    wish = replace(plan, source=str(tmp_path / name), text=(column,), label=None)
    found = label(tmp_path, wish, classifier)
    assert found["rows"] + found["rejected"] == 5
    write_out(parts_of(tmp_path / "parts"), tmp_path / "out", form)
    if form == "parquet":
        assert len(pd.read_parquet(tmp_path / "out")) == found["rows"]
    else:
        assert column in (tmp_path / "out").read_text("utf-8")
