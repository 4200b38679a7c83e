"""A run becomes every kind of file, and its bundle becomes a model again."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from core.base.errors import UserError
from core.learning.evaluation.calibration import Calibration, write_calibration
from core.runs.results import export_words, exports
from core.runs.results.models import Model, usable_models
from core.runs.training import store
from core.serving import imported_models
from core.serving.classifier import Classifier
from core.serving.export import onnx_export
from core.serving.export.onnx_export import Parity
from core.serving.web_page import web_runtime
from tests.pages.seeding import make_run
from tests.tiny import TEXTS

ALL_TEXTS = [text for texts in TEXTS.values() for text in texts]


@pytest.fixture
def model(tiny_model, dataset) -> Model:
    """A run whose model answers."""
    with ExitStack() as held:
        run = make_run("stopped", dataset, held, labels=("bad", "good"))
    shutil.rmtree(run.folder / "model")
    shutil.copytree(tiny_model, run.folder / "model")
    write_calibration(run.folder / "model", Calibration(2.0, 0.6))
    (found,) = usable_models()
    return found


@pytest.fixture
def no_runtime(monkeypatch, tmp_path):
    """No onnxruntime-web, and no network to fetch it."""
    monkeypatch.setenv(web_runtime.FOLDER, str(tmp_path / "none"))


@pytest.fixture
def quick(monkeypatch):
    """ONNX files that are none, made at once; the real ones are tested where they are made."""
    asked = []

    def export_onnx(folder, out, precision, sample, progress, graph):
        texts, labels = sample.texts, sample.labels
        asked.append((precision, list(texts), labels, graph))
        progress("Writing it")
        out.write_bytes(b"graph " + precision.encode())
        accuracies = (0.9, 0.88) if labels and precision == "int8" else (None, None)
        return Parity(len(texts), len(texts), 1e-6, *accuracies)

    monkeypatch.setattr(exports, "export_onnx", export_onnx)
    monkeypatch.setattr(
        exports, "write_web_page", lambda onnx, folder, out, title: out.write_text(f"<title>{title}")
    )
    return asked


@pytest.mark.process
def test_the_whole_way_round(model, no_runtime, tmp_path):
    """Run, bundle, import: the same probabilities to the bit; predict.py gives the same labels."""
    steps, out = [], tmp_path / "bundle.zip"
    exports.export_model(model, exports.BUNDLE, out, steps.append)
    assert steps[0] == "ONNX float32: following the model's computation"
    made = exports.kept(model)
    assert set(made.lacking) == {exports.WEB}
    assert made.measured == 2
    assert -1 <= made.change <= 1
    found = imported_models.keep(out, "bundle.zip")
    assert {path.name for path in found.place.iterdir()} == {
        "model",
        "README.md",
        "report.json",
        "import.json",
    }
    ours, theirs = (Classifier.load(folder).predict(ALL_TEXTS) for folder in (model.folder, found.folder))
    assert np.array_equal(ours.probabilities, theirs.probabilities)
    assert found.id in [one.id for one in usable_models() if one.run is None]
    with zipfile.ZipFile(out) as archive:
        archive.extractall(tmp_path / "unpacked")
        manifest = json.loads(archive.read("manifest.json"))["files"]
        names = set(archive.namelist())
        for name, facts in manifest.items():
            content = archive.read(name)
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (facts["sha256"], facts["bytes"])
    assert names == {*manifest, "manifest.json"}
    assert {"model.safetensors", "onnx/model.onnx", "onnx/model_quantized.onnx", "predict.py"} <= names
    assert {"calibration.json", "README.md", "report.json", "report.html"} <= names
    command = [sys.executable, "-I", "predict.py", "--json", *ALL_TEXTS]
    done = subprocess.run(
        command, cwd=tmp_path / "unpacked", capture_output=True, text=True, check=True, timeout=120
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == ours.labels
    assert [a["confidence"] for a in answers] == pytest.approx(ours.confidence, abs=1e-4)


def test_what_was_made_is_kept_until_the_weights_change_and_goes_with_the_run(model, quick):
    steps = []
    assert exports.kept(model) is None
    made = exports.make(model, steps.append)
    assert exports.kept(model) == made
    assert made.change == pytest.approx(-0.02)
    assert steps[0] == "ONNX float32: writing it"
    assert quick[0][1] == ["they like good work", "they hate bad work"]
    assert quick[1][3].name == "model.onnx"
    assert [path.name for path in (model.place / "exports").iterdir()] == [exports.mark_of(model)]
    exports.make(model)
    (model.folder / "model.safetensors").write_bytes(b"others")
    assert exports.kept(model) is None
    exports.make(model)
    assert [path.name for path in (model.place / "exports").iterdir()] == [exports.mark_of(model)]
    assert store.delete_run(model.id) > 0
    assert not model.place.exists()
    with pytest.raises(UserError, match="still here"):
        exports.make(model)
    assert not model.place.exists()


def test_a_run_deleted_while_its_files_are_made(model, quick):
    with pytest.raises(UserError, match="deleted meanwhile"):
        exports.make(model, lambda step: model.place.exists() and store.delete_run(model.id))
    assert not model.place.exists()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"parities": 1}',
        '{"parities": {}, "lacking": {}}',
        '{"parities": {"onnx": {}}, "lacking": {}, "measured": 1, "calibration": ""}',
        '{"parities": {}, "lacking": {"web": ["a", "b"]}, "measured": 1, "calibration": ""}',
        '{"parities": {}, "lacking": {}, "measured": "1", "calibration": ""}',
    ],
)
def test_a_damaged_note_is_as_none(content, model, quick):
    made = exports.make(model)
    (made.folder / exports.NOTE).write_text(content)
    assert exports.kept(model) is None
    exports.make(model)
    (made.folder / "model.onnx").unlink()
    assert exports.kept(model) is None


def test_what_cannot_be_made_is_said_and_the_rest_is_made(model, quick, monkeypatch, tmp_path):
    def refuse(*_):
        raise UserError("a small model", "a large one", "Take the folder.")

    monkeypatch.setattr(exports, "export_onnx", refuse)
    made = exports.make(model)
    assert set(made.lacking) == set(exports.MADE)
    assert exports.kept(model) == made
    with pytest.raises(UserError, match="found a large one"):
        exports.export_model(model, exports.ONNX, tmp_path / "out")
    exports.export_model(model, exports.BUNDLE, tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert not [name for name in archive.namelist() if "onnx" in name or name == "index.html"]
    assert imported_models.keep(tmp_path / "bundle.zip", "bundle.zip")


def test_a_page_whose_calibration_has_changed_is_made_again(model, quick, tmp_path, monkeypatch):
    made = exports.make(model)
    monkeypatch.setattr(
        exports, "write_web_page", lambda onnx, folder, out, title: out.write_text("made again")
    )
    exports.write_made(model, made, exports.WEB, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == f"<title>{model.run.name}"
    write_calibration(model.folder, Calibration(3.0))
    exports.write_made(model, made, exports.WEB, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "made again"


def test_a_model_from_a_file_is_checked_on_texts_of_ours(model, quick, tmp_path):
    exports.export_model(model, exports.BUNDLE, tmp_path / "bundle.zip")
    found = imported_models.keep(tmp_path / "bundle.zip", "bundle.zip")
    other = next(one for one in usable_models() if one.id == found.id)
    made = exports.make(other)
    assert quick[-1][1] == list(exports.NEUTRAL)
    assert (made.change, made.measured) == (None, 0)
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert exports.card_of(other) == archive.read("README.md").decode()
    # And again out of it.
    exports.export_model(other, exports.BUNDLE, tmp_path / "again.zip")
    assert imported_models.keep(tmp_path / "again.zip", "again.zip").id == found.id


def test_a_folder_of_somebody_gets_nothing_beside_it(model, quick, tiny_model, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(tiny_model, own / "folder")
    (own / "report.json").write_text("private")
    (own / "folder" / "README.md").write_text("# Mine")
    plain = replace(model, folder=own / "folder", run=None)
    for form in exports.FORMATS:
        exports.export_model(plain, form, tmp_path / f"{form}.file")
    assert sorted(path.name for path in own.iterdir()) == ["folder", "report.json"]
    for form in (exports.HUGGINGFACE, exports.BUNDLE):
        with zipfile.ZipFile(io.BytesIO((tmp_path / f"{form}.file").read_bytes())) as archive:
            assert archive.read("README.md") == b"# Mine"
            assert "report.json" not in archive.namelist()
    assert (tmp_path / "onnx.file").read_bytes() == b"graph fp32"
    assert (tmp_path / "onnx-int8.file").read_bytes() == b"graph int8"


def test_a_full_disk_leaves_nothing(model, quick, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "_note", full)
    with pytest.raises(UserError, match="ONNX files"):
        exports.make(model)
    assert list((model.place / "exports").iterdir()) == []


def test_texts_of_a_run_with_a_damaged_data_set_are_ours(model, quick):
    (model.place / "dataset" / "dataset.json").write_text("{")
    assert exports.texts_of(model) == (list(exports.NEUTRAL), None)


def test_names_of_the_script_are_those_of_the_bundle():
    assert {"fp32": exports.NAMES["onnx"], "int8": exports.NAMES["onnx-int8"]} == onnx_export.FILE_NAMES


INT8 = Parity(1836, 1820, 0.0731)


@pytest.mark.parametrize(
    ("accuracies", "button", "facts"),
    [
        ((None, None), "Download ONNX int8 (accuracy not measured)", "is not measured: no test texts"),
        ((0.9, 0.88), "Download ONNX int8 (−2.0 points)", "90.0% before, 88.0% after."),
        ((0.9, 0.9001), "Download ONNX int8 (±0.0 points)", "90.0% before, 90.0% after."),
        ((0.8, 0.85), "Download ONNX int8 (+5.0 points)", "80.0% before, 85.0% after."),
    ],
)
def test_what_int8_changes_is_said(accuracies, button, facts, tmp_path):
    torch, onnx = accuracies
    parities = {exports.ONNX_INT8: replace(INT8, accuracy_torch=torch, accuracy_onnx=onnx)}
    made = exports.Made(tmp_path, parities, {}, 1, "")
    assert export_words.button_of(made, exports.ONNX_INT8) == button
    said = export_words.facts_of(made, exports.ONNX_INT8)
    assert said.startswith("The same label as PyTorch for 1,820 of 1,836 texts")
    assert "differ by at most 0.073." in said
    assert facts in said


def test_a_reason_for_which_several_forms_are_lacking_stands_once(tmp_path):
    small, network = ("a small model", "a large one", "."), ("a network", "none", ".")
    lacking = {exports.ONNX: small, exports.ONNX_INT8: small, exports.WEB: network}
    made = exports.Made(tmp_path, {}, lacking, 0, "")
    assert export_words.lacking(made) == {small: "ONNX float32, ONNX int8", network: "Web page"}
    assert [export_words.button_of(made, form) for form in (exports.ONNX, exports.WEB)] == [
        "Download ONNX float32",
        "Download the web page",
    ]
