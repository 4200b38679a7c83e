"""Suspected wrong labels, by the probabilities of classifiers that had not seen them."""

import numpy as np

from core.learning.label_errors import detection


def test_the_least_probable_label_comes_first():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.05, 0.95]])
    labels = np.array([0, 0, 1, 0])
    found = detection.rank(probabilities, labels, np.full(4, True))
    assert list(found.order) == [3, 1, 2, 0]
    assert list(found.suggested[[3, 1, 0]]) == [1, 1, 0]


def test_flipped_labels_are_found_and_named():
    generator = np.random.default_rng(1)
    true = generator.integers(0, 3, 900)
    flipped = generator.random(900) < 0.05
    labels = np.where(flipped, (true + 1) % 3, true)
    probabilities = generator.dirichlet([1, 1, 1], 900) * 0.5
    probabilities[np.arange(900), true] += 0.5
    found = detection.rank(probabilities, labels, np.full(900, True))
    first = found.order[:90]
    assert flipped[first].sum() >= 0.9 * flipped.sum()
    likely = found.likely & flipped
    assert likely.sum() >= 0.5 * flipped.sum()
    assert (found.suggested[likely] == true[likely]).all()
    assert found.likely[~flipped].mean() < 0.2


def test_a_class_that_classifiers_are_unsure_of_is_judged_by_its_own_measure():
    # Class 1 is always given 0.3: where class 0 gets no more than it usually does, nothing speaks against it.
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.7, 0.3]] * 10 + [[0.95, 0.05]])
    labels = np.array([0] * 10 + [1] * 10 + [1])
    found = detection.rank(probabilities, labels, np.full(21, True))
    assert list(np.flatnonzero(found.likely)) == [20]


def test_what_could_not_be_judged_is_no_suspect():
    probabilities = np.array([[0.0, 1.0, 0.0], [0.2, 0.8, 0.0], [0.0, 1.0, 0.0]])
    found = detection.rank(probabilities, np.array([2, 0, 1]), np.array([False, True, True]))
    assert list(found.order) == [1, 2]
    assert not found.likely[0]
