"""A model's answers beside the true labels: scores that equal scikit-learn's. No torch, and no scikit-learn.

`evaluate` gives all that is cheap, as often as the training asks; `full_report.judge` adds the rest
at its end.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

ECE_BINS = 15
"""Bins of equal width of the confidence, as in Guo et al. 2017 (arXiv:1706.04599)."""

COLLAPSED_SHARE = 0.99
"""A model that gives one label to this share of the texts, or more, has learned nothing but that label."""


@dataclass(frozen=True)
class EvaluationReport:
    """How well one split's texts were labelled.

    The scores with a default are missing in what earlier versions wrote down.
    """

    texts: int
    accuracy: float
    macro_f1: float
    """Unweighted mean of the F1 of every class that occurs among the true or the predicted labels."""
    loss: float
    """Mean cross-entropy in nats."""
    majority_accuracy: float
    """What always answering the most frequent true class would reach."""
    per_class: list[dict[str, Any]]
    """label, precision, recall, f1, support of each class."""
    confusion: list[list[int]]
    """Counts: one row per true class, one column per predicted class, in the order of `per_class`."""
    balanced_accuracy: float | None = None
    """Mean recall of the classes that occur among the true labels."""
    macro_precision: float | None = None
    """Unweighted mean over the same classes as `macro_f1`."""
    macro_recall: float | None = None
    weighted_f1: float | None = None
    """Mean F1 of the classes, weighted by their numbers of texts."""
    mcc: float | None = None
    """Matthews correlation coefficient, -1 to 1 (Gorodkin 2004 for more than two classes); 0 when either
    side knows one class only."""
    brier: float | None = None
    """Mean over the texts of the sum over the classes of (probability - truth) squared; half of it for two
    classes, as usual, so that it goes to 1 there and to 2 otherwise."""
    ece: float | None = None
    """Expected calibration error, 0 to 1: mean distance of confidence and accuracy over `ECE_BINS` bins of
    the confidence, weighted by their numbers of texts."""

    @property
    def rank(self) -> tuple[float, float]:
        """Larger for the better of two models on the same texts."""
        # Equal macro F1 is common on small validation sets; then the surer model is the better one.
        return self.macro_f1, -self.loss


@dataclass(frozen=True)
class Collapse:
    """A model that gives (nearly) all texts the same label, although several occur."""

    number: int
    """Of the class."""
    share: float
    """Of the texts that get it, 0 to 1."""
    majority_share: float
    """Of the texts whose true label is the most frequent one."""

    @property
    def advice(self) -> tuple[str, ...]:
        """What to try, the likeliest first; plain words."""
        rare = ("Weigh rare classes more: most texts have the same label.",)
        return (
            "Choose a lower learning rate: a too high one throws away what the model knew.",
            "Train for more epochs: it may only just have begun to learn.",
            *(rare if self.majority_share >= 0.6 else ()),
            "Look at the labels in doubt on the Check page: what nobody could tell apart, no model learns.",
        )


def evaluate(probabilities: np.ndarray, labels: np.ndarray, names: list[str]) -> EvaluationReport:
    """Score probabilities against true labels: everything that is cheap.

    Args:
        probabilities: float [texts, classes].
        labels: int [texts], the true class numbers.
        names: class names in the order of their numbers.
    """
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), len(names))
    return EvaluationReport(
        texts=len(labels),
        loss=float(losses(probabilities, labels).mean()),
        majority_accuracy=float(confusion.sum(axis=1).max() / len(labels)),
        per_class=_per_class(confusion, names),
        confusion=confusion.tolist(),
        brier=float(brier_terms(probabilities, labels).mean()),
        ece=expected_calibration_error(probabilities, labels),
        **{name: float(value) for name, value in label_scores(confusion).items()},
    )


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int [true classes, predicted classes]: how many texts."""
    cells = np.asarray(labels) * classes + predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def label_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """The scores that depend on the labels alone, of one or many confusion matrices at once.

    Args:
        confusion: counts [..., true classes, predicted classes].

    Returns:
        accuracy, balanced_accuracy, macro_f1, macro_precision, macro_recall, weighted_f1, mcc: float [...].
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    precision, recall, f1 = class_scores(confusion)
    true, given = confusion.sum(axis=-1), confusion.sum(axis=-2)
    right, texts = np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1))
    known = (true + given) > 0
    return {
        "accuracy": right / texts,
        "balanced_accuracy": _mean(recall, true > 0),
        "macro_f1": _mean(f1, known),
        "macro_precision": _mean(precision, known),
        "macro_recall": _mean(recall, known),
        "weighted_f1": (f1 * true).sum(axis=-1) / texts,
        "mcc": _ratio(
            right * texts - (true * given).sum(axis=-1),
            np.sqrt((texts**2 - (true**2).sum(axis=-1)) * (texts**2 - (given**2).sum(axis=-1))),
        ),
    }


def class_scores(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each class, float [..., classes]; 0 where a class does not occur."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, given = confusion.sum(axis=-1), confusion.sum(axis=-2)
    return _ratio(right, given), _ratio(right, true), _ratio(2 * right, true + given)


def losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of each text in nats, float [texts]; finite, as in scikit-learn."""
    smallest = np.finfo(probabilities.dtype).eps
    return -np.log(np.clip(probabilities[np.arange(len(labels)), labels], smallest, 1 - smallest))


def brier_terms(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What each text adds to the mean that is the Brier score, float [texts]."""
    classes = probabilities.shape[1]
    of_label = probabilities[np.arange(len(labels)), labels]
    # (p - 1)² for the true class and p² for the others, without a second matrix of truths.
    terms = np.einsum("ij,ij->i", probabilities, probabilities) - 2 * of_label + 1
    return terms / 2 if classes < 3 else terms


def confidence_bins(confidence: np.ndarray, bins: int = ECE_BINS) -> np.ndarray:
    """The bin, 0 to `bins` - 1, of each confidence; a bin takes its upper edge and not its lower one."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def confidence_gaps(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each text: confidence, less 1 if the label is right; float [texts]."""
    return probabilities.max(axis=1) - (probabilities.argmax(axis=1) == labels)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """See `EvaluationReport.ece`."""
    bins = confidence_bins(probabilities.max(axis=1))
    gaps = np.bincount(bins, weights=confidence_gaps(probabilities, labels), minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def collapsed(confusion: np.ndarray | list[list[int]]) -> Collapse | None:
    """Whether the labels of a confusion matrix are (nearly) all the same, although several occur.

    None when they are not, or when there are fewer than two texts of other classes: then nobody can tell.
    """
    confusion = np.asarray(confusion)
    if confusion.size == 0:
        return None
    true, given = confusion.sum(axis=1), confusion.sum(axis=0)
    texts, number = int(true.sum()), int(given.argmax())
    if texts - true.max() < 2 or given[number] < COLLAPSED_SHARE * texts:
        return None
    # Where one class has nearly all texts, a good model names it nearly always, too.
    if given[number] < texts and true[number] >= COLLAPSED_SHARE * texts:
        return None
    return Collapse(number, float(given[number] / texts), float(true.max() / texts))


def _per_class(confusion: np.ndarray, names: list[str]) -> list[dict[str, Any]]:
    columns = (*class_scores(confusion), confusion.sum(axis=1))
    return [
        {
            "label": names[i],
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "support": int(support),
        }
        for i, (precision, recall, f1, support) in enumerate(zip(*columns, strict=True))
    ]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def _mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean over the last axis of the values that are chosen."""
    return _ratio((values * chosen).sum(axis=-1), chosen.sum(axis=-1))
