import numpy as np
import pytest
from sklearn import metrics

from core.learning import catalogue
from core.learning.answers import predict_probabilities
from core.learning.batching import encode
from core.learning.evaluation import evaluate
from core.learning.hardware import Hardware
from core.learning.networks import load_for_training
from core.learning.tokenizer import TextTokenizer

NAMES = ["a", "b", "c"]


@pytest.fixture
def answers():
    random = np.random.default_rng(3)
    return random.dirichlet(np.ones(3), size=200), random.integers(0, 3, size=200)


def test_scores_equal_those_of_scikit_learn(answers):
    probabilities, labels = answers
    report = evaluate(probabilities, labels, NAMES)
    predicted = probabilities.argmax(axis=1)
    assert report.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted), abs=1e-12)
    assert report.macro_f1 == pytest.approx(metrics.f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert report.loss == pytest.approx(-np.log(probabilities[np.arange(200), labels]).mean(), abs=1e-9)
    assert report.confusion == metrics.confusion_matrix(labels, predicted).tolist()
    assert report.majority_accuracy == np.bincount(labels).max() / 200
    assert [row["support"] for row in report.per_class] == np.bincount(labels).tolist()


def test_rows_of_the_confusion_are_true_classes():
    report = evaluate(np.array([[0.1, 0.9, 0.0]]), np.array([0]), NAMES)
    assert report.confusion == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_a_class_that_does_not_occur_takes_nothing_from_macro_f1():
    sure = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    assert evaluate(sure, np.array([0, 1]), NAMES).macro_f1 == 1.0


def test_probabilities_come_in_the_order_of_the_texts(tiny):
    folder = catalogue.resolve(tiny)
    texts = ["a fine day", "we hate bad work and they like good work", "day"]
    tokenizer = TextTokenizer(folder, 64)
    network = load_for_training(folder, {"bad": 0, "good": 1}, Hardware("cpu", "fp32", "test"), seed=1)
    # Texts of this length are then computed one by one.
    network.part_tokens = 12
    together = predict_probabilities(network, encode(texts, [0, 1, 0], tokenizer))
    assert together.sum(axis=1) == pytest.approx([1, 1, 1])
    for i, text in enumerate(texts):
        alone = predict_probabilities(network, encode([text], [0], tokenizer))
        assert together[i] == pytest.approx(alone[0], abs=1e-6)


def test_a_question_may_be_asked_between_batches(tiny):
    folder = catalogue.resolve(tiny)
    network = load_for_training(folder, {"bad": 0, "good": 1}, Hardware("cpu", "fp32", "test"), seed=1)
    dataset = encode(["a fine day"] * 5, [1] * 5, TextTokenizer(folder, 64))
    asked = []
    predict_probabilities(network, dataset, 2, between=lambda: asked.append(True))
    assert len(asked) == 2
    # Of batches that are computed in parts, between these, too: one may take long.
    network.part_tokens = 5
    predict_probabilities(network, dataset, 2, between=lambda: asked.append(True))
    assert len(asked) == 2 + 4
