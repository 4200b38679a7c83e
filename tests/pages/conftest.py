"""What the tests of pages share: no processes, and runs with models."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from core.learning.evaluation.calibration import Calibration
from core.runs.training import engines
from core.runs.training.run import Run
from tests.jobs import Asked, start_none
from tests.pages.seeding import LABELS, make_run


@pytest.fixture(autouse=True)
def started(monkeypatch) -> list[Asked]:
    """The jobs that pages started: no process is."""
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    facts = {"device": "cpu", "precision": "fp32", "reason": "it is the only one here"}
    monkeypatch.setattr(engines, "describe_hardware", lambda: facts)
    return start_none(monkeypatch)


@pytest.fixture
def classifier(monkeypatch):
    """Answers by the last word of a text; the real one is tested where it lives."""
    from core.serving.classifier import Classifier

    def predict(texts, progress=lambda done, total: None):
        numbers = [LABELS.index(text.split()[-1]) if text.split()[-1] in LABELS else 0 for text in texts]
        progress(len(texts), len(texts))
        probabilities = np.full((len(texts), 3), 0.1)
        probabilities[range(len(texts)), numbers] = 0.8
        labels = [LABELS[number] for number in numbers]
        return SimpleNamespace(
            labels=labels,
            probabilities=probabilities,
            names=list(LABELS),
            confidence=probabilities.max(axis=1),
        )

    def spans(text):
        return [], [found.span() for found in re.finditer(r"\S+", text)]

    fake = SimpleNamespace(predict=predict, names=list(LABELS), tokenizer=SimpleNamespace(spans=spans))
    fake.calibrated_by = lambda calibration: fake
    fake.calibration = Calibration()
    monkeypatch.setattr(Classifier, "load", lambda folder, calibrated=True: fake)


@pytest.fixture
def trained_run(tiny_model, dataset, held) -> Run:
    """A finished run of the ten texts with real weights."""
    run = make_run("finished", dataset, held, labels=("bad", "good"))
    shutil.rmtree(run.folder / "model")
    shutil.copytree(tiny_model, run.folder / "model")
    return run
