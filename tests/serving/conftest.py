from dataclasses import replace
from pathlib import Path

import pytest

from core.learning.config import TrainingConfig
from core.learning.training.hooks import Hooks
from core.learning.training.train import train_classifier
from tests.tiny import tiny_splits, write_tiny_model

CONFIG = TrainingConfig(
    model="local/tiny", epochs=10, batch_size=4, learning_rate=5e-3, max_length=16, precision="fp32"
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A model folder of the tiny model, trained on the ten texts. Not to be changed by a test."""
    root = tmp_path_factory.mktemp("trained")
    write_tiny_model(root / "models" / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTUNER_MODELS", str(root / "models"))
        train_classifier(tiny_splits(), replace(CONFIG), root / "model", Hooks(lambda _: None, lambda: False))
    return root / "model"
