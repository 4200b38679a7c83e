"""Whether one model is better than another on the same texts, or only luckier. No torch."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from core.learning.evaluation.intervals import LEVEL, RESAMPLES, interval
from core.learning.evaluation.metrics import confusion_matrix, label_scores

SIGNIFICANCE = 1 - LEVEL
"""A difference is more than noise below this p value."""

_PART = 2**22
"""Numbers in memory at a time."""

_SCORES = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class Gap:
    """By how much the second model has a higher score than the first, -1 to 1."""

    value: float
    interval: list[float]
    """95 %, from the paired percentile bootstrap: both models are scored on the same resampled texts."""
    share: float
    """Of the resamples in which the second is the better one, 0 to 1; ties count by half."""


@dataclass(frozen=True)
class Difference:
    """Two models on the same texts."""

    first: int
    second: int
    """Their places in the list that was compared."""
    texts: int
    accuracy: Gap
    macro_f1: Gap
    only_first: int
    """Texts that the first has right and the second has wrong."""
    only_second: int
    p: float
    """Exact McNemar test, two-sided: how often chance alone would share these texts out so unevenly."""
    adjusted: float
    """The same p after Holm 1979, for all pairs that were compared together."""

    @property
    def clear(self) -> bool:
        """Whether the accuracies differ by more than noise: by the test, and by the interval."""
        low, high = self.accuracy.interval
        return self.adjusted < SIGNIFICANCE and not low <= 0 <= high

    def verdict(self, names: list[str]) -> str:
        """In plain words; `names` are those of all models compared."""
        if self.only_first + self.only_second == 0:
            return (
                f"{names[self.first]} and {names[self.second]} are right on the same texts: "
                f"no difference in accuracy on {_texts(self.texts)}."
            )
        first, second, gap, ends = self.first, self.second, self.accuracy.value, self.accuracy.interval
        if gap < 0:
            first, second, gap, ends = second, first, -gap, [-ends[1], -ends[0]]
        points = f"{_points(gap)} points ({_points(ends[0])} to {_points(ends[1])})"
        if self.clear:
            return f"{names[second]} is better than {names[first]} by {points} of accuracy: more than noise."
        return (
            f"No difference can be told with {_texts(self.texts)}: {names[second]} is ahead of "
            f"{names[first]} by {points} of accuracy, which is within what chance does."
            if gap
            else f"No difference can be told with {_texts(self.texts)}: {names[second]} and {names[first]} "
            f"are right equally often, {points}."
        )


def compare(labels: np.ndarray, predicted: list[np.ndarray], classes: int, seed: int = 0) -> list[Difference]:
    """Every pair of models, in the order (0, 1), (0, 2), …, (1, 2), …

    Args:
        labels: int [texts], the true class numbers.
        predicted: of each model: int [texts], the class numbers it gave.
        classes: how many classes there are.
        seed: the same one gives the same intervals.
    """
    resampled = _resampled(labels, predicted, classes, np.random.default_rng(seed))
    scores = [label_scores(confusion_matrix(labels, given, classes)) for given in predicted]
    right = [given == labels for given in predicted]
    found = []
    for first, second in combinations(range(len(predicted)), 2):
        gaps = {
            name: _gap(
                float(scores[second][name] - scores[first][name]),
                resampled[name][second] - resampled[name][first],
            )
            for name in _SCORES
        }
        only_first = int((right[first] & ~right[second]).sum())
        only_second = int((right[second] & ~right[first]).sum())
        p = mcnemar(only_first, only_second)
        found.append(
            Difference(
                first,
                second,
                len(labels),
                **gaps,
                only_first=only_first,
                only_second=only_second,
                p=p,
                adjusted=p,
            )
        )
    adjusted = holm([difference.p for difference in found])
    return [replace(difference, adjusted=p) for difference, p in zip(found, adjusted, strict=True)]


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of McNemar's test (1947): a fair coin for each text that only one has right."""
    # Imported late: it takes a second, and pages import this module.
    from scipy.stats import binom

    texts = only_first + only_second
    if not texts:
        return 1.0
    return min(1.0, 2 * float(binom.cdf(min(only_first, only_second), texts, 0.5)))


def holm(values: list[float]) -> list[float]:
    """p values adjusted for being many: Holm 1979, Scandinavian Journal of Statistics 6(2)."""
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(values)[order] * factors))
    return adjusted.tolist()


def _gap(value: float, resampled: np.ndarray) -> Gap:
    share = float((resampled > 0).mean() + (resampled == 0).mean() / 2)
    return Gap(value, interval(resampled, value), share)


def _resampled(
    labels: np.ndarray, predicted: list[np.ndarray], classes: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Of each score: float [models, resamples], all models on the same resamples of the texts."""
    # Texts that all models answer alike are drawn together: there are far fewer kinds than texts.
    kinds, counts = np.unique(np.column_stack([labels, *predicted]), axis=0, return_counts=True)
    found = {name: np.empty((len(predicted), RESAMPLES)) for name in _SCORES}
    size = max(1, _PART // max(len(kinds), classes))
    for start in range(0, RESAMPLES, size):
        rows = slice(start, min(start + size, RESAMPLES))
        drawn = random.multinomial(len(labels), counts / len(labels), rows.stop - start).astype(np.float64)
        for model in range(len(predicted)):
            found["accuracy"][model, rows], found["macro_f1"][model, rows] = _scores(
                drawn, kinds[:, 0], kinds[:, model + 1], classes
            )
    return found


def _scores(
    drawn: np.ndarray, labels: np.ndarray, predicted: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and macro F1 of each resample, from the counts [resamples, kinds] of kinds of texts."""
    right = np.where(labels == predicted, labels, classes)
    hits, true, given = (_by_class(drawn, numbers, classes) for numbers in (right, labels, predicted))
    known = true + given
    f1 = np.divide(2 * hits, known, out=np.zeros_like(hits), where=known > 0)
    return hits.sum(axis=1) / drawn.sum(axis=1), f1.sum(axis=1) / (known > 0).sum(axis=1)


def _by_class(drawn: np.ndarray, numbers: np.ndarray, classes: int) -> np.ndarray:
    """Counts [resamples, kinds] added up to [resamples, classes]; the number `classes` stands for none."""
    member = np.zeros((len(numbers), classes + 1))
    member[np.arange(len(numbers)), numbers] = 1
    return (drawn @ member)[:, :classes]


def _points(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "\u2212") if round(100 * share, 1) else "0.0"


def _texts(number: int) -> str:
    return f"{number:,} text{'' if number == 1 else 's'}"
