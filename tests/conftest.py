"""What all tests share: a home of their own, and a model small enough to train in a second."""

import os
from pathlib import Path

import pytest

import core.learning  # noqa: F401 - its settings come before torch
from tests.tiny import tiny_splits, write_tiny_model

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test asks a hub, unless it says where one is.
os.environ["HF_HUB_OFFLINE"] = "1"

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def textuner_home(tmp_path, monkeypatch) -> Path:
    """An empty home for every test: nothing is read from or written to the person's own."""
    home = tmp_path / "home"
    monkeypatch.setenv("TEXTUNER_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> Path:
    """A folder of models with one in it: `tiny`, a two-layer BERT with random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(folder)
    return folder.parent


@pytest.fixture(scope="session")
def tiny_model(tiny_models, tmp_path_factory) -> Path:
    """A model folder of the tiny model, trained a little on the ten texts. Not to be changed by a test."""
    from core.learning.config import TrainingConfig
    from core.learning.training.train import train_classifier

    folder = tmp_path_factory.mktemp("trained") / "model"
    config = TrainingConfig(model="local/tiny", epochs=2, batch_size=4, max_length=16, precision="fp32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTUNER_MODELS", str(tiny_models))
        train_classifier(tiny_splits(), config, folder, lambda _: None, lambda: False)
    return folder


@pytest.fixture
def tiny(tiny_models, monkeypatch) -> str:
    """The name in the catalogue of a two-layer BERT with random weights."""
    monkeypatch.setenv("TEXTUNER_MODELS", str(tiny_models))
    return "local/tiny"


@pytest.fixture
def splits():
    """Six training, two validation and two test texts in two classes."""
    return tiny_splits()


@pytest.fixture
def dataset(splits):
    """The ten texts as a saved data set."""
    from core.data.storage.datasets import save_dataset

    return save_dataset("ten texts", splits, [], {"file": "ten.csv"})
