"""Labels that are probably wrong, told by classifiers that had not seen them.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
Labels", JAIR 70, arXiv:1911.00068): a label is in doubt where out-of-sample probabilities prefer another
class, and probably wrong where they do so more clearly than for the texts of that class on average.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Suspects:
    """Every judged text by how doubtful its label is."""

    order: np.ndarray
    """int64: rows, the most doubtful label first. Without those of which nothing can be said."""
    suggested: np.ndarray
    """int64 per row: the class that it is taken for."""
    likely: np.ndarray
    """bool per row: whether the label is more likely wrong than right."""


def rank(probabilities: np.ndarray, labels: np.ndarray, known: np.ndarray) -> Suspects:
    """Rank texts by how much their labels are in doubt.

    The order is that of the probability of the given class ("self-confidence"), which finds as many wrong
    labels as the normalised margin and more where there are many classes: see `tests.benchmarks.suspects`.

    Args:
        probabilities: float [texts, classes], out of sample.
        labels: int [texts], as given.
        known: bool [texts], whether the class was known to those who judged the text.
    """
    given = probabilities[np.arange(len(labels)), labels]
    order = np.argsort(np.where(known, given, np.inf), kind="stable")[: int(known.sum())]
    belongs = _class_by_confidence(probabilities, labels, known)
    likely = known & (belongs >= 0) & (belongs != labels)
    return Suspects(order, np.where(likely, belongs, probabilities.argmax(axis=1)), likely)


def _class_by_confidence(probabilities: np.ndarray, labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """int64 [texts]: the class to which confident learning counts each text; -1 for none.

    It is the likeliest of those classes whose probability is at least as high as it is on average for the
    texts with that label (equation 2 of the paper).
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    sums = np.bincount(labels[known], weights=own[known], minlength=classes)
    counts = np.bincount(labels[known], minlength=classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = np.where(probabilities >= thresholds, probabilities, -np.inf)
    return np.where(np.isfinite(confident).any(axis=1), confident.argmax(axis=1), -1)
