import json
import warnings

import numpy as np
import pytest
from sklearn import metrics

from core.learning import pretrained
from core.learning.batching import encode
from core.learning.evaluation.auroc import auroc
from core.learning.evaluation.calibration import with_temperature
from core.learning.evaluation.full_report import judge
from core.learning.evaluation.inference import predict_probabilities
from core.learning.evaluation.intervals import SCORES, intervals
from core.learning.evaluation.metrics import EvaluationReport, collapsed, evaluate
from core.learning.hardware import Hardware
from core.learning.models.interface import load_for_training
from core.learning.tokenizer import TextTokenizer

NAMES = ["a", "b", "c"]


@pytest.fixture
def answers():
    random = np.random.default_rng(3)
    return random.dirichlet(np.ones(3), size=200), random.integers(0, 3, size=200)


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_scores_equal_those_of_scikit_learn(classes):
    random = np.random.default_rng(classes)
    probabilities = random.dirichlet(np.ones(classes), size=200)
    # The last class of many is never true, so that each mean has to leave it out or not, as it should.
    labels = random.integers(0, classes - (classes > 3), size=200)
    report = evaluate(probabilities, labels, [str(i) for i in range(classes)])
    predicted, numbers = probabilities.argmax(axis=1), np.arange(classes)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=0
    )
    means = {"average": "macro", "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": metrics.accuracy_score(labels, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
            "macro_f1": metrics.f1_score(labels, predicted, **means),
            "macro_precision": metrics.precision_score(labels, predicted, **means),
            "macro_recall": metrics.recall_score(labels, predicted, **means),
            "weighted_f1": metrics.f1_score(labels, predicted, average="weighted", zero_division=0),
            "mcc": metrics.matthews_corrcoef(labels, predicted),
            "loss": metrics.log_loss(labels, probabilities, labels=numbers),
            "brier": metrics.brier_score_loss(labels, probabilities, labels=numbers),
        }
    assert {name: getattr(report, name) for name in expected} == pytest.approx(expected, abs=1e-9)
    assert report.confusion == metrics.confusion_matrix(labels, predicted, labels=numbers).tolist()
    assert report.majority_accuracy == np.bincount(labels).max() / 200
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1), ("support", support)):
        assert [row[name] for row in report.per_class] == pytest.approx(values.tolist(), abs=1e-9)


def test_probabilities_of_zero_and_one_have_the_loss_that_scikit_learn_gives_them():
    sure, labels = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 0])
    expected = metrics.log_loss(labels, sure, labels=[0, 1])
    assert evaluate(sure, labels, NAMES[:2]).loss == pytest.approx(expected, abs=1e-9)


def test_the_calibration_error_is_that_of_its_definition(answers):
    probabilities, labels = answers
    expected = 0.0
    for number in range(15):
        inside = [i for i, row in enumerate(probabilities) if number / 15 < max(row) <= (number + 1) / 15]
        if inside:
            accuracy = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            expected += len(inside) / 200 * abs(accuracy - np.mean([max(probabilities[i]) for i in inside]))
    assert evaluate(probabilities, labels, NAMES).ece == pytest.approx(expected, abs=1e-12)
    sure = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert evaluate(sure, np.array([0, 1]), NAMES[:2]).ece == 0.5


def test_the_area_under_the_curve_equals_that_of_scikit_learn(answers):
    probabilities, labels = answers
    # Rounded, so that there are ties.
    probabilities = probabilities.round(1)
    each = [metrics.roc_auc_score(labels == i, probabilities[:, i]) for i in range(3)]
    assert auroc(probabilities, labels) == pytest.approx(np.mean(each), abs=1e-9)
    two = labels < 2
    assert auroc(probabilities[two], labels[two]) == pytest.approx(
        np.mean([metrics.roc_auc_score(labels[two] == i, probabilities[two, i]) for i in range(2)]), abs=1e-9
    )
    binary = probabilities[:, :2]
    expected = metrics.roc_auc_score(labels[two], binary[two, 1])
    assert auroc(binary[two], labels[two]) == pytest.approx(expected, abs=1e-9)


def test_of_one_class_alone_there_is_no_curve():
    probabilities = np.array([[0.4, 0.6], [0.7, 0.3]])
    assert auroc(probabilities, np.array([1, 1])) is None
    assert "auroc" not in intervals(probabilities, np.array([1, 1]))
    report = judge(probabilities, np.array([1, 1]), NAMES[:2])
    assert report["auroc"] is None
    assert report["mcc"] == 0.0


def test_a_report_is_plain_json_and_has_the_scores_after_the_temperature(answers):
    probabilities, labels = answers
    report = judge(probabilities, labels, NAMES, temperature=2.0)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert set(report["intervals"]) == set(SCORES)
    flat = with_temperature(probabilities, 2.0)
    after = evaluate(flat, labels, NAMES)
    assert report["calibrated"] == {"loss": after.loss, "brier": after.brier, "ece": after.ece}
    assert report["loss"] == evaluate(probabilities, labels, NAMES).loss


def test_what_an_earlier_version_wrote_down_is_still_a_report():
    old = {"texts": 1, "accuracy": 1.0, "macro_f1": 1.0, "loss": 0.1, "majority_accuracy": 1.0}
    report = EvaluationReport(**old, per_class=[], confusion=[])
    assert report.rank == (1.0, -0.1)
    assert report.brier is None


def test_rows_of_the_confusion_are_true_classes():
    report = evaluate(np.array([[0.1, 0.9, 0.0]]), np.array([0]), NAMES)
    assert report.confusion == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_a_class_that_does_not_occur_takes_nothing_from_macro_f1():
    sure = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    assert evaluate(sure, np.array([0, 1]), NAMES).macro_f1 == 1.0


@pytest.mark.parametrize(
    ("confusion", "number"),
    [
        ([[0, 30, 0], [0, 30, 0], [0, 40, 0]], 1),
        ([[199, 1], [100, 0]], 0),  # 99.7 %
        ([[995, 0], [5, 0]], 0),
        ([[28, 2], [27, 3]], None),
        ([[995, 0], [3, 2]], None),  # As rare as they are, some are named.
        ([[30, 0], [0, 0]], None),  # There is but one class to name.
        ([[1, 0], [1, 0]], None),
        ([], None),
    ],
)
def test_one_label_for_all_is_recognised(confusion, number):
    found = collapsed(confusion)
    assert (found and found.number) == number


def test_what_to_try_depends_on_the_classes():
    even, uneven = collapsed([[50, 0], [50, 0]]), collapsed([[90, 0], [10, 0]])
    assert (even.share, even.majority_share, uneven.majority_share) == (1.0, 0.5, 0.9)
    assert "learning rate" in even.advice[0]
    assert not any("rare" in words for words in even.advice)
    assert any("rare" in words for words in uneven.advice)


def test_probabilities_come_in_the_order_of_the_texts(tiny):
    folder = pretrained.resolve(tiny)
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
    folder = pretrained.resolve(tiny)
    network = load_for_training(folder, {"bad": 0, "good": 1}, Hardware("cpu", "fp32", "test"), seed=1)
    dataset = encode(["a fine day"] * 5, [1] * 5, TextTokenizer(folder, 64))
    asked = []
    predict_probabilities(network, dataset, 2, between=lambda: asked.append(True))
    assert len(asked) == 2
    # Of batches that are computed in parts, between these, too: one may take long.
    network.part_tokens = 5
    predict_probabilities(network, dataset, 2, between=lambda: asked.append(True))
    assert len(asked) == 2 + 4
