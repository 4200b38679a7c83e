import json
import subprocess
import sys
import zipfile
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch

from core.base.errors import UserError
from core.data.reading.files import read_table
from core.learning.config import TrainingConfig
from core.serving.classifier import Classifier
from core.serving.export.model_card.card import model_card
from core.serving.export.model_files import export_huggingface, export_state_dict
from core.serving.spreadsheets import csv_text, spreadsheet_safe
from tests.tiny import TEXTS

CONFIG = TrainingConfig(epochs=10, batch_size=4, learning_rate=5e-3, max_length=16, precision="fp32")
ALL_TEXTS = [text for texts in TEXTS.values() for text in texts]

PLAIN = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, weights, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
answers = []
for text in texts:
    inputs = tokenizer([text], truncation=True, return_tensors="pt")
    with torch.inference_mode():
        answers.append(model(**inputs).logits.softmax(-1)[0].tolist())
again = AutoModelForSequenceClassification.from_config(model.config).eval()
again.load_state_dict(torch.load(weights, weights_only=True))
same = all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
print(json.dumps([answers, same, list(model.config.id2label.values())]))
"""


@pytest.mark.process
def test_exports_give_the_same_answers_in_plain_transformers(tiny_model, tmp_path):
    export_state_dict(tiny_model, tmp_path / "model.pth")
    export_huggingface(tiny_model, "# card", tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(archive.namelist())
        archive.extractall(tmp_path / "unpacked")
    texts = [*ALL_TEXTS, "good " * 40, "unheard of"]
    arguments = [str(tmp_path / "unpacked"), str(tmp_path / "model.pth"), json.dumps(texts)]
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, *arguments], capture_output=True, text=True, check=True
    )
    answers, same, names = json.loads(done.stdout)
    ours = Classifier.load(tiny_model).predict(texts)
    assert same
    assert names == ours.names
    assert np.abs(np.array(answers) - ours.probabilities).max() < 1e-4


@pytest.mark.process
def test_usage_example_of_the_card_runs_as_printed(tiny_model, dataset, tmp_path):
    card = model_card("Tiny", dataset, asdict(CONFIG), None)
    export_huggingface(tiny_model, card, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    printed = (tmp_path / "unpacked" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(printed.strip().splitlines()) == 10
    done = subprocess.run(
        [sys.executable, "-c", printed], cwd=tmp_path / "unpacked", capture_output=True, text=True, check=True
    )
    assert "'bad': 0." in done.stdout


def test_missing_weights_are_said(tmp_path):
    with pytest.raises(UserError, match="no config.json"):
        Classifier.load(tmp_path)
    with pytest.raises(UserError, match="no weights"):
        export_state_dict(tmp_path, tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_formulas_are_made_text_and_numbers_stay():
    frame = pd.DataFrame({"=cmd": ["=1+1", "-3.5", "+x", "plain"], "n": [-1.0, 2.0, 3.0, 4.0]})
    frame["t"] = ["@a", "\tb", "\rc", "-"]
    safe, changed = spreadsheet_safe(frame)
    assert list(safe.columns) == ["'=cmd", "n", "t"]
    assert safe["'=cmd"].tolist() == ["'=1+1", "-3.5", "'+x", "plain"]
    assert safe["n"].tolist() == [-1.0, 2.0, 3.0, 4.0]
    assert safe["t"].tolist() == ["'@a", "'\tb", "'\rc", "'-"]
    assert changed == 7
    assert frame["t"].tolist()[0] == "@a"


def test_state_dict_loads_with_weights_only(tiny_model, tmp_path):
    export_state_dict(tiny_model, tmp_path / "model.pth")
    loaded = torch.load(tmp_path / "model.pth", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in loaded.values())


def test_any_cell_survives_the_way_through_a_file():
    cells = ["x\ry", "x\ny", "x\r\ny", 'say "no"', "a,b", "", " lead", "NA"]
    again = read_table(csv_text(pd.DataFrame({"t": cells, "n": "1"})).encode())
    assert again.frame["t"].tolist() == cells
