"""How sure scores are: 95 % percentile bootstrap intervals (Efron and Tibshirani 1993, chapter 13).

Nothing is scored a thousand times over. A resample of the texts is a weight per text, and
- of a score of labels alone, it is a draw of the cells of the confusion matrix (multinomial), which has the
  same distribution and does not grow with the texts;
- of a mean over texts (loss, Brier score, the gaps in the bins of the calibration error), it is a product
  with the matrix of weights, which is made in parts of `_PART` numbers;
- of the AUROC, it is such a mean, too, of what each text adds to it to first order: the placements of DeLong
  et al. 1988, so that no text is sorted again.
"""

from collections.abc import Iterator

import numpy as np

from core.learning.evaluation.auroc import auroc_influence
from core.learning.evaluation.metrics import (
    ECE_BINS,
    brier_terms,
    confidence_bins,
    confidence_gaps,
    confusion_matrix,
    label_scores,
    losses,
)

RESAMPLES = 1000
LEVEL = 0.95
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "mcc", "loss", "brier", "ece", "auroc")
"""The scores that have an interval."""

LABEL_SCORES = SCORES[:5]
"""Those that depend on the labels alone."""
_PART = 2**22
"""Numbers in memory at a time: 32 MiB of float64."""


def intervals(
    probabilities: np.ndarray, labels: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, list[float]]:
    """The interval [low, high] of each of `SCORES`; without auroc where that is not defined.

    An interval always holds the score itself: that of the calibration error, which chance can only enlarge,
    may lie above it otherwise.

    Args:
        probabilities: float [texts, classes].
        labels: int [texts], the true class numbers.
        seed: the same one gives the same intervals.
    """
    random = np.random.default_rng(seed)
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    of_labels = resampled_label_scores(confusion, random, resamples)
    found = {name: (float(label_scores(confusion)[name]), of_labels[name]) for name in LABEL_SCORES}
    found |= _of_means(probabilities, labels, random, resamples)
    return {name: interval(values, score) for name, (score, values) in found.items()}


def interval(values: np.ndarray, score: float) -> list[float]:
    """The middle 95 % of resampled values, and the score itself in any case."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [min(float(low), score), max(float(high), score)]


def resampled_label_scores(
    confusion: np.ndarray, random: np.random.Generator, resamples: int
) -> dict[str, np.ndarray]:
    """`label_scores` of as many resamples of the texts of a confusion matrix, float [resamples] each."""
    cells = confusion.ravel()
    filled = np.flatnonzero(cells)
    parts = []
    for size in _sizes(resamples, confusion.size):
        drawn = np.zeros((size, confusion.size))
        drawn[:, filled] = random.multinomial(cells.sum(), cells[filled] / cells.sum(), size)
        parts.append(label_scores(drawn.reshape(size, *confusion.shape)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def weights(texts: int, random: np.random.Generator, resamples: int) -> Iterator[np.ndarray]:
    """How often each text is in each resample, float [part of the resamples, texts]; part by part."""
    for size in _sizes(resamples, texts):
        drawn = random.integers(0, texts, (size, texts))
        drawn += np.arange(size)[:, None] * texts
        yield np.bincount(drawn.ravel(), minlength=size * texts).reshape(size, texts).astype(np.float64)


def _of_means(
    probabilities: np.ndarray, labels: np.ndarray, random: np.random.Generator, resamples: int
) -> dict[str, tuple[float, np.ndarray]]:
    """Of each score that is made of means: its value, and those of the resamples."""
    columns = [losses(probabilities, labels), brier_terms(probabilities, labels)]
    area = auroc_influence(probabilities, labels)
    columns += [area[1]] if area else []
    bins = confidence_bins(probabilities.max(axis=1))
    gaps = np.zeros((len(labels), ECE_BINS))
    gaps[np.arange(len(labels)), bins] = confidence_gaps(probabilities, labels)
    values = np.column_stack([*columns, gaps])
    means = np.concatenate([part @ values for part in weights(len(labels), random, resamples)]) / len(labels)
    found = {
        "loss": (float(values[:, 0].mean()), means[:, 0]),
        "brier": (float(values[:, 1].mean()), means[:, 1]),
        "ece": (
            float(np.abs(gaps.mean(axis=0)).sum()),
            np.abs(means[:, len(columns) :]).sum(axis=1),
        ),
    }
    if area:
        found["auroc"] = (area[0], np.clip(area[0] + means[:, 2], 0, 1))
    return found


def _sizes(resamples: int, numbers: int) -> Iterator[int]:
    """Resamples made at a time, when each takes so many numbers."""
    size = max(1, _PART // numbers)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
