"""The bundle's script, alone: what it must not need is kept from it."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.learning.config import TrainingConfig
from core.learning.evaluation.calibration import Calibration, write_calibration
from core.learning.training.hooks import Hooks
from core.learning.training.train import train_classifier
from core.serving.classifier import Classifier
from core.serving.export import onnx_process
from core.serving.export.onnx_export import FILE_NAMES
from core.serving.export.predict_script import write_predict_script
from tests.tiny import TEXTS, tiny_splits, write_tiny_model

pytestmark = pytest.mark.process

ALL_TEXTS = [text for texts in TEXTS.values() for text in texts]
SETTINGS = {"model": "local/tiny", "epochs": 10, "batch_size": 4, "learning_rate": 5e-3, "max_length": 16}
CONFIG = TrainingConfig(**SETTINGS, precision="fp32")
TEMPERATURE, THRESHOLD = 0.5, 0.99

ALONE = """
import runpy, sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "core", "pandas", "onnx", "sklearn", "streamlit"}:
            raise ImportError(f"{name} is not part of the bundle")

sys.meta_path.insert(0, Forbidden())
sys.path = [place for place in sys.path if place]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """An unpacked bundle, with the weights besides, to compare with."""
    root = tmp_path_factory.mktemp("bundle")
    write_tiny_model(root / "models" / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTUNER_MODELS", str(root / "models"))
        train_classifier(tiny_splits(), CONFIG, root / "bundle", Hooks(lambda _: None, lambda: False))
    folder = root / "bundle"
    (folder / "onnx").mkdir()
    onnx_process.write_graph(folder, folder / FILE_NAMES["fp32"])
    onnx_process.quantize(folder / FILE_NAMES["fp32"], folder / FILE_NAMES["int8"])
    write_calibration(folder, Calibration(TEMPERATURE, THRESHOLD))
    write_predict_script(folder / "predict.py")
    return folder


def run(bundle: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(bundle / "predict.py"), *arguments],
        cwd=bundle,
        input=stdin.encode(),
        capture_output=True,
        check=False,
    )


def answers(done: subprocess.CompletedProcess) -> list[dict]:
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def expected(bundle: Path, texts: list[str]) -> np.ndarray:
    return Classifier.load(bundle).predict(texts).probabilities


def test_texts_lines_and_a_table_get_the_classifiers_answers(bundle, tmp_path):
    texts = [*ALL_TEXTS, "good " * 40, "", "unheard of 文字"]
    right, raw = expected(bundle, texts), Classifier.load(bundle, calibrated=False).predict(texts)
    assert np.abs(right - raw.probabilities).max() > 1e-3
    by_argument = answers(run(bundle, "--json", *texts))
    by_line = answers(run(bundle, "--json", stdin="\n".join(texts)))
    assert by_argument == by_line
    assert [answer["text"] for answer in by_argument] == texts
    found = np.array([list(answer["probabilities"].values()) for answer in by_argument])
    assert np.abs(found - right).max() < 1e-4
    assert [answer["label"] for answer in by_argument] == [["bad", "good"][i] for i in right.argmax(1)]
    assert [answer["unsure"] for answer in by_argument] == [bool(p < THRESHOLD) for p in right.max(1)]


def test_a_table_keeps_its_columns_and_order(bundle, tmp_path):
    file = tmp_path / "in.csv"
    rows = [{"id": f"{i:03}", "words": text, "x": 'a,"b"\nc'} for i, text in enumerate(ALL_TEXTS)]
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, ["id", "words", "x"])
        writer.writeheader()
        writer.writerows(rows)
    done = run(bundle, str(file), "--text", "words")
    assert done.returncode == 0, done.stderr.decode()
    labelled = list(csv.DictReader(done.stdout.decode().splitlines(keepends=True)))
    assert [{name: row[name] for name in ("id", "words", "x")} for row in labelled] == rows
    confidence = np.array([float(row["confidence"]) for row in labelled])
    assert np.abs(confidence - expected(bundle, ALL_TEXTS).max(1)).max() < 1e-4
    assert {row["unsure"] for row in labelled} <= {"True", "False"}


def test_what_is_wrong_with_a_table_is_said(bundle, tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n1,2\n\n3\n")
    assert b"No column 'words'" in run(bundle, str(tmp_path / "in.csv"), "--text", "words").stderr
    done = run(bundle, str(tmp_path / "in.csv"), "--text", "a")
    assert done.returncode != 0
    assert b"Line 4: 1 cells, but the header has 2" in done.stderr


def test_without_calibration_and_with_the_small_model_alone(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "other")
    (tmp_path / "other" / FILE_NAMES["fp32"]).unlink()
    (tmp_path / "other" / "calibration.json").unlink()
    (answer,) = answers(run(tmp_path / "other", "--json", "a fine day"))
    assert "unsure" not in answer
    assert abs(sum(answer["probabilities"].values()) - 1) < 1e-5
    (tmp_path / "other" / FILE_NAMES["int8"]).unlink()
    assert b"No model" in run(tmp_path / "other", "a fine day").stderr


def test_a_table_that_has_such_columns_keeps_them(bundle, tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("label,confidence,words\nmine,high,a fine day\n")
    (row,) = answers(run(bundle, str(file), "--text", "words", "--json"))
    assert (row["label"], row["confidence"], row["words"]) == ("mine", "high", "a fine day")
    assert (row["predicted_label"], list(row["probabilities"])) == ("good", ["bad", "good"])
    assert row["confidence_2"] == max(row["probabilities"].values())
    done = run(bundle, str(file), "--text", "words")
    header = done.stdout.decode().splitlines()[0]
    assert header == "label,confidence,words,predicted_label,confidence_2,unsure"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"words\n\xff\xfe\xe9\n", b"is not in UTF-8"), (None, b"No such file")],
)
def test_a_file_that_cannot_be_read_is_said_in_one_line(bundle, tmp_path, content, words):
    if content:
        (tmp_path / "in.csv").write_bytes(content)
    done = run(bundle, str(tmp_path / "in.csv"), "--text", "words")
    assert done.returncode == 1
    assert words in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"one character" in run(bundle, "x.csv", "--text", "words", "--delimiter", "tab").stderr


def test_whoever_reads_may_stop_reading(bundle):
    command = f"yes 'a fine day' | head -n 20000 | {sys.executable} predict.py --json | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=bundle, capture_output=True, check=False)
    assert json.loads(done.stdout)["label"] == "good"
    assert done.stderr == b""
