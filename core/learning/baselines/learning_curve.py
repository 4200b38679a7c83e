"""A learning curve: how good the baseline is with a part of the training texts, and what more would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.learning.baselines.baselines import (
    Features,
    Report,
    draw_folds,
    fit,
    pool,
    read_features,
    score,
)

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Of the training texts."""

DRAWS = 5
"""Per share: each holds out another fold, the same one for every share."""

WORTH = 0.005
"""Macro F1 by which the second half of the texts must have raised the score to be worth naming."""


@dataclass(frozen=True)
class Point:
    """The score with one share of the training texts."""

    share: float
    texts: int
    """Training texts, in the mean over the draws."""
    macro_f1: float
    """In the mean over the draws."""
    scores: list[float]
    """Macro F1 of each draw."""


@dataclass(frozen=True)
class Curve:
    """Points by rising share, and what they say."""

    points: list[Point]
    gain: float
    """Macro F1 that twice as many texts would add, by the way the curve goes; 0 or more."""
    verdict: str
    """Whether more texts would help, in sentences."""


def learning_curve(
    texts: Sequence[str], labels: Sequence[int], classes: int, report: Report = lambda share, doing: None
) -> Curve:
    """Score both baseline classifiers together with rising shares of the training texts.

    Each draw holds out another fold of the texts; a smaller share is a part of the larger ones, with the same
    mix of classes as far as that goes.

    Raises:
        UserError: fewer than two classes have two different texts.
        OutOfMemory: the texts do not fit into memory.
    """
    _, chosen, numbers, folds = draw_folds(texts, labels, classes)
    features = read_features(chosen, lambda share, doing: report(0.8 * share, doing), {})
    scores: dict[float, list[float]] = {share: [] for share in SHARES}
    sizes: dict[float, list[int]] = {share: [] for share in SHARES}
    for draw in range(DRAWS):
        held_out = np.flatnonzero(folds == draw)
        if not len(held_out):
            continue
        order = _mixed(numbers, np.flatnonzero(folds != draw), seed=draw)
        for place, share in enumerate(SHARES):
            report(0.8 + 0.2 * (draw + place / len(SHARES)) / DRAWS, f"{share:.0%} of the training texts")
            train = order[: max(2, round(share * len(order)))]
            sizes[share].append(len(train))
            scores[share].append(_try(features, numbers, classes, train, held_out))
    points = [
        Point(share, round(np.mean(sizes[share])), float(np.mean(scores[share])), scores[share])
        for share in SHARES
    ]
    return Curve(points, *judge(points))


def judge(points: Sequence[Point]) -> tuple[float, str]:
    """What twice as many texts would add to the macro F1, and whether that is worth it, in words.

    Curves flatten (Cortes et al. 1993, "Learning Curves: Asymptotic Values and Rate of Convergence"): each
    doubling adds less than the one before, by a factor that the last two doublings show.
    """
    by_share = {point.share: point for point in points}
    quarter, half, whole = (by_share[share] for share in (0.25, 0.5, 1.0))
    # Draw by draw: how hard the held-out texts are is the same for both.
    gains = np.array(whole.scores) - np.array(half.scores)
    last, before = float(gains.mean()), half.macro_f1 - quarter.macro_f1
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf
    gain = max(0.0, last * float(np.clip(last / before, 0.3, 1.0) if before > 0 else 0.5))
    found = f"The second half of the texts added {100 * last:+.1f} points of macro F1."
    if last <= WORTH:
        return (
            gain,
            f"{found} More texts of this kind would hardly help; better labels or another model might.",
        )
    if last <= 2 * error:
        return (
            gain,
            f"{found} That may be chance: the draws differ by as much. More texts may help, or may not.",
        )
    more = f"twice as many by perhaps {100 * gain:.1f} points"
    return gain, f"{found} More texts would most likely help: {more}."


def _mixed(labels: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """The rows in an order of which every beginning has about the same mix of classes."""
    generator = np.random.default_rng(seed)
    places = np.empty(len(rows))
    for label in np.unique(labels[rows]):
        own = np.flatnonzero(labels[rows] == label)
        # Spread evenly over 0 to 1, by a shift of the class's own.
        places[own] = (generator.permutation(len(own)) + generator.random()) / len(own)
    return rows[np.argsort(places, kind="stable")]


def _try(
    features: Features, labels: np.ndarray, classes: int, train: np.ndarray, held_out: np.ndarray
) -> float:
    known, asked = features.take(train), features.take(held_out)
    answers = [
        fit(matrix, labels[train], classes)(rows)
        for matrix, rows in ((known.tfidf, asked.tfidf), (known.embeddings, asked.embeddings))
    ]
    return score(pool(answers, labels[held_out]), labels[held_out])["macro_f1"]
