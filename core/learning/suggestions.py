"""Settings to begin with, by the size of the model and of the data. Standard library only.

The search behind them is `python -m tests.benchmarks.defaults`, judged on validation texts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from core.base.formatting import count
from core.learning import pretrained
from core.learning.config import TrainingConfig

if TYPE_CHECKING:
    from core.data.storage.datasets import Dataset

SMALL_MODEL = 40_000_000
"""Parameters up to which a model counts as small: MiniLM learns at rates that ruin a BERT base."""

MANY_CLASSES = 20
"""Classes from which twice the learning rate was better: it was with 77, and was not with 2 and 6."""

FEW_SEEN = 3_000
"""Texts seen in all epochs together below which twice the learning rate was better, too."""

ENOUGH_TEXTS = 3_000
"""Training texts above which three epochs were enough; fewer texts are seen more often, up to ten times."""

ENOUGH_PER_CLASS = 80
"""The same for the texts of a class: with 39 of each, six epochs were 12 points better than three."""


SUGGESTED = ("learning_rate", "epochs")
"""The settings that depend on model and data."""


def suggest(model: str, texts: int, classes: int) -> TrainingConfig:
    """Settings that suit a model and a data set.

    Args:
        model: name in the catalogue.
        texts: training texts.
        classes: of the labels.

    Raises:
        UserError: unknown model.
    """
    needed = max(ENOUGH_TEXTS, ENOUGH_PER_CLASS * classes)
    epochs = min(10, max(3, math.ceil(3 * needed / max(1, texts))))
    small = 0 < pretrained.find(model).parameters <= SMALL_MODEL
    fast = classes >= MANY_CLASSES or epochs * texts < FEW_SEEN
    # Of the larger models only what the BERT paper recommends is known: 2e-5 to 5e-5.
    rate = (2e-4 if fast else 1e-4) if small else (5e-5 if fast else 3e-5)
    return TrainingConfig(model=model, learning_rate=rate, epochs=epochs)


def has_rare_classes(dataset: Dataset) -> bool:
    """Whether the check of the data found classes so small that weights are worth a try."""
    advice = dataset.source.get("advice")
    return isinstance(advice, dict) and advice.get("class_weights") is True


def sizes_in_words(dataset: Dataset) -> str:
    """Training texts of the largest and of the smallest class."""
    counts = dataset.class_counts["train"].values()
    return f"the largest class has {max(counts):,} training texts and the smallest {min(counts):,}"


def in_words(suggested: TrainingConfig, chosen: dict[str, Any], dataset: Dataset) -> str:
    """For what the settings are suggested, and which they are where others were chosen.

    Args:
        chosen: epochs, batch_size and learning_rate as they stand on the page.
    """
    words = f"{count(dataset.counts['train'], 'text')} in {count(len(dataset.label2id), 'class', 'classes')}"
    if all(value == getattr(suggested, name) for name, value in chosen.items()):
        return f"Suggested for {words} and this model."
    return (
        f"Suggested for {words} and this model: {count(suggested.epochs, 'epoch')}, batches of "
        f"{suggested.batch_size}, learning rate {suggested.learning_rate:g}."
    )
