import numpy as np
import pytest

from core.learning.evaluation.auroc import auroc, auroc_influence
from core.learning.evaluation.intervals import SCORES, interval, intervals, weights
from core.learning.evaluation.metrics import evaluate

NAMES = ["a", "b", "c"]


def simulated(texts, random, classes=3, sharpness=1.5):
    """Honest answers: each label is drawn from its own probabilities."""
    logits = sharpness * random.standard_normal((texts, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((texts, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return probabilities, labels.clip(0, classes - 1)


def scores_of(probabilities, labels):
    report = evaluate(probabilities, labels, NAMES[: probabilities.shape[1]])
    found = {name: getattr(report, name) for name in SCORES if name != "auroc"}
    return found | {"auroc": auroc(probabilities, labels)}


def test_the_intervals_are_those_of_texts_drawn_and_scored_again():
    random = np.random.default_rng(1)
    probabilities, labels = simulated(400, random)
    found = intervals(probabilities, labels)
    drawn = [random.integers(0, 400, 400) for _ in range(600)]
    again = [scores_of(probabilities[rows], labels[rows]) for rows in drawn]
    for name, score in scores_of(probabilities, labels).items():
        low, high = interval(np.array([scores[name] for scores in again]), score)
        tolerance = 0.2 * (high - low)
        assert found[name] == [pytest.approx(low, abs=tolerance), pytest.approx(high, abs=tolerance)]
        assert found[name][0] <= score <= found[name][1]


def test_the_same_texts_have_the_same_intervals():
    probabilities, labels = simulated(50, np.random.default_rng(2))
    assert intervals(probabilities, labels) == intervals(probabilities, labels)
    assert intervals(probabilities, labels) != intervals(probabilities, labels, seed=1)


def test_they_hold_the_truth_in_about_95_of_100_cases():
    random = np.random.default_rng(3)
    # What the scores are of texts without number; the calibration error is 0 there, which chance hides.
    truth = scores_of(*simulated(100_000, random, classes=2))
    names = [name for name in SCORES if name != "ece"]
    held = dict.fromkeys(names, 0)
    for _ in range(300):
        found = intervals(*simulated(300, random, classes=2), resamples=300)
        for name in names:
            held[name] += found[name][0] <= truth[name] <= found[name][1]
    # 95 %, give or take three standard deviations of 300 cases and the percentile's own coarseness.
    assert all(0.90 <= times / 300 <= 0.985 for times in held.values()), held


def test_an_interval_holds_the_score_that_chance_enlarges():
    assert interval(np.linspace(0.2, 0.3, 1001), 0.1) == [0.1, pytest.approx(0.2975)]
    assert interval(np.linspace(0.2, 0.3, 1001), 0.4) == [pytest.approx(0.2025), 0.4]


def test_resamples_are_made_in_parts_of_as_many_texts(monkeypatch):
    monkeypatch.setattr("core.learning.evaluation.intervals._PART", 100)
    parts = list(weights(30, np.random.default_rng(5), 10))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert all((part.sum(axis=1) == 30).all() for part in parts)
    probabilities, labels = simulated(30, np.random.default_rng(5))
    assert set(intervals(probabilities, labels, resamples=10)) == set(SCORES)


def test_a_text_counts_for_the_area_as_much_as_leaving_it_out_shows():
    probabilities, labels = simulated(300, np.random.default_rng(6))
    area, influence = auroc_influence(probabilities, labels)
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    for i in (0, 17, 299):
        others = np.arange(300) != i
        without = auroc(probabilities[others], labels[others])
        assert without - area == pytest.approx(-influence[i] / 299, abs=1e-4)
