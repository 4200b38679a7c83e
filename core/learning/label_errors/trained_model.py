"""What a trained model thinks of the texts of its data set, those it was trained on included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from core.learning.baselines.baselines import pool
from core.learning.batching import encode
from core.learning.evaluation.inference import SCORING_BATCH, predict_probabilities
from core.learning.hardware import processor
from core.learning.models.interface import load_finetuned
from core.learning.tokenizer import TextTokenizer

FEWEST_HELD_OUT = 50
"""Texts by which it can be told how far to trust the model; with fewer it counts as much as the baselines."""


def ask(
    folder: Path, texts: Sequence[str], labels: Sequence[str], report: Callable[[float], None]
) -> np.ndarray:
    """The probability of each label for each text, by a trained model.

    Computed on the processor even where there is a GPU, which may be busy with a training.

    Args:
        folder: of the model.
        labels: in the order of the answer's columns.
        report: receives the share of the work that is done, 0 to 1.

    Returns:
        float64 [texts, labels].
    """
    network = load_finetuned(folder, processor())
    dataset = encode(texts, [0] * len(texts), TextTokenizer(folder))
    batches, done = max(1, len(texts) / SCORING_BATCH), 0

    def between() -> None:
        nonlocal done
        done += 1
        report(min(1.0, done / batches))

    answers = predict_probabilities(network, dataset, between=between)
    return answers[:, [network.names.index(label) for label in labels]]


def combine(baseline: np.ndarray, model: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """The baselines' answers and the model's as one.

    How far each is to be trusted is told by the held-out texts alone: the others the model has learned, wrong
    labels too, if more slowly than right ones (Arpit et al. 2017, arXiv:1706.05394).

    Args:
        baseline, model: float [texts, classes].
        held_out: bool [texts], those on which the model was not trained.

    Returns:
        float32 [texts, classes].
    """
    if held_out.sum() < FEWEST_HELD_OUT:
        return ((baseline + model) / 2).astype(np.float32)
    return pool([baseline, model], labels, held_out)
