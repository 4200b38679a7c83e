"""The learning curve, and what it says about more texts."""

import numpy as np
import pytest

from core.learning.baselines import learning_curve
from core.learning.baselines.learning_curve import Point
from tests.learning.test_baselines import made

pytestmark = pytest.mark.slow


def points(*means: float, spread: float = 0.002) -> list[Point]:
    steps = np.linspace(-spread, spread, 5)
    return [
        Point(share, int(1000 * share), mean, [mean + step for step in steps])
        for share, mean in zip(learning_curve.SHARES, means, strict=True)
    ]


def test_a_curve_of_a_small_data_set():
    found = learning_curve.learning_curve(*made(12), 3)
    assert [point.share for point in found.points] == [0.1, 0.25, 0.5, 1.0]
    assert [point.texts for point in found.points] == [3, 7, 14, 29]
    assert all(0 <= score <= 1 for point in found.points for score in point.scores)
    assert found.points[-1].macro_f1 > 0.85
    assert found.points[-1].macro_f1 >= found.points[0].macro_f1


def test_a_smaller_share_is_a_part_of_the_larger_with_the_same_mix():
    labels = np.array([0] * 80 + [1] * 20)
    order = learning_curve._mixed(labels, np.arange(100), seed=1)
    assert sorted(order) == list(range(100))
    for share in (0.1, 0.25, 0.5):
        part = labels[order[: round(100 * share)]]
        assert abs(part.mean() - 0.2) <= 0.1


def test_rising_scores_call_for_more_texts():
    gain, verdict = learning_curve.judge(points(0.5, 0.6, 0.7, 0.78))
    assert "most likely help" in verdict
    assert 0 < gain < 0.08


def test_level_scores_do_not():
    gain, verdict = learning_curve.judge(points(0.5, 0.7, 0.78, 0.781))
    assert "hardly help" in verdict
    assert gain < 0.005


def test_a_gain_that_may_be_chance_is_called_so():
    shares = points(0.5, 0.7, 0.78, 0.79)
    shaky = Point(1.0, 1000, 0.79, [0.7, 0.86, 0.75, 0.84, 0.8])
    _, verdict = learning_curve.judge([*shares[:3], shaky])
    assert "chance" in verdict


def test_falling_scores_promise_nothing():
    gain, verdict = learning_curve.judge(points(0.5, 0.7, 0.78, 0.75))
    assert gain == 0
    assert "hardly help" in verdict
