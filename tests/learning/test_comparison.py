import numpy as np
import pytest
from scipy.stats import binomtest

from core.learning.evaluation.comparison import compare, holm, mcnemar
from core.learning.evaluation.metrics import confusion_matrix, label_scores

NAMES = ["run 1", "run 2", "run 3"]


def answers(labels, wrong, classes=3):
    """As the labels, but for these texts."""
    given = labels.copy()
    given[wrong] = (given[wrong] + 1) % classes
    return given


@pytest.fixture
def labels():
    return np.random.default_rng(1).integers(0, 3, 400)


def test_the_gap_is_resampled_as_a_pair(labels):
    random = np.random.default_rng(2)
    first, second = answers(labels, np.arange(80)), answers(labels, np.arange(60, 120))
    (found,) = compare(labels, [first, second], 3)
    gaps = {"accuracy": [], "macro_f1": []}
    for _ in range(600):
        rows = random.integers(0, 400, 400)
        scores = [label_scores(confusion_matrix(labels[rows], given[rows], 3)) for given in (first, second)]
        for name, values in gaps.items():
            values.append(scores[1][name] - scores[0][name])
    for name, values in gaps.items():
        gap = getattr(found, name)
        low, high = np.quantile(values, [0.025, 0.975])
        assert gap.interval == [pytest.approx(low, abs=0.012), pytest.approx(high, abs=0.012)]
        assert gap.share == pytest.approx(np.mean(np.array(values) > 0), abs=0.05)
        assert gap.interval[0] <= gap.value <= gap.interval[1]
    assert found.accuracy.value == pytest.approx(20 / 400)
    assert (found.only_first, found.only_second, found.texts) == (40, 60, 400)


def test_mcnemar_is_the_exact_test_of_a_fair_coin():
    for one, other in ((0, 0), (0, 1), (5, 5), (3, 14), (40, 60)):
        expected = binomtest(one, one + other).pvalue if one + other else 1.0
        assert mcnemar(one, other) == pytest.approx(expected, abs=1e-12)
        assert mcnemar(other, one) == mcnemar(one, other)


def test_p_values_of_many_pairs_are_adjusted_after_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]


def test_a_clear_difference_is_said_to_be_one_whichever_comes_first(labels):
    good, bad = answers(labels, np.arange(20)), answers(labels, np.arange(100))
    for given in ([good, bad], [bad, good]):
        (found,) = compare(labels, given, 3)
        best, worst = (NAMES[0], NAMES[1]) if given[0] is good else (NAMES[1], NAMES[0])
        assert found.clear
        words = found.verdict(NAMES)
        assert words.startswith(f"{best} is better than {worst} by 20.0 points (1")
        assert words.endswith("of accuracy: more than noise.")
        assert "\u2212" not in words


def test_a_small_difference_cannot_be_told(labels):
    (found,) = compare(labels, [answers(labels, np.arange(20)), answers(labels, np.arange(15, 33))], 3)
    assert not found.clear
    words = found.verdict(NAMES)
    assert words.startswith(
        "No difference can be told with 400 texts: run 2 is ahead of run 1 by 0.5 points ("
    )
    assert "(\u2212" in words


def test_equals_are_said_to_be_equal(labels):
    (same,) = compare(labels, [labels, labels], 3)
    assert same.p == 1.0
    assert same.accuracy.share == 0.5
    assert "right on the same texts" in same.verdict(NAMES)
    (tied,) = compare(labels, [answers(labels, [1, 2]), answers(labels, [3, 4])], 3)
    assert "equally often" in tied.verdict(NAMES)
    (one,) = compare(np.array([0]), [np.array([0]), np.array([1])], 2)
    assert "with 1 text:" in one.verdict(NAMES)


def test_what_is_clear_between_two_may_be_chance_among_many(labels):
    first, second = answers(labels, np.arange(16)), answers(labels, np.arange(10, 33))
    alone = compare(labels, [first, second], 3)[0]
    others = [answers(labels, np.arange(i)) for i in (16, 17, 18, 19)]
    among = compare(labels, [first, second, *others], 3)[0]
    assert among.p == alone.p
    assert among.adjusted == pytest.approx(min(1, among.p * 15))
    assert len(compare(labels, [first, second, *others], 3)) == 15


def test_chance_alone_is_called_a_difference_in_at_most_about_5_of_100_cases():
    random = np.random.default_rng(5)
    labels = np.zeros(300, int)
    clear = sum(
        compare(labels, [random.binomial(1, 0.2, 300), random.binomial(1, 0.2, 300)], 2)[0].clear
        for _ in range(200)
    )
    assert clear <= 200 * 0.05 + 3 * (200 * 0.05 * 0.95) ** 0.5
