"""A model's answers beside the true labels: scores that equal scikit-learn's."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class EvaluationReport:
    """How well one split's texts were labelled."""

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

    @property
    def rank(self) -> tuple[float, float]:
        """Larger for the better of two models on the same texts."""
        # Equal macro F1 is common on small validation sets; then the surer model is the better one.
        return self.macro_f1, -self.loss


def evaluate(probabilities: np.ndarray, labels: np.ndarray, names: list[str]) -> EvaluationReport:
    """Score probabilities against true labels.

    Args:
        probabilities: float [texts, classes].
        labels: int [texts], the true class numbers.
        names: class names in the order of their numbers.
    """
    # Imported late: it takes most of a second, and the first training step need not wait for it.
    from sklearn import metrics

    numbers = np.arange(len(names))
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=0
    )
    per_class = [
        {
            "label": names[i],
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i in numbers
    ]
    return EvaluationReport(
        texts=len(labels),
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        macro_f1=float(metrics.f1_score(labels, predicted, average="macro", zero_division=0)),
        loss=float(metrics.log_loss(labels, probabilities, labels=numbers)),
        majority_accuracy=float(support.max() / len(labels)),
        per_class=per_class,
        confusion=metrics.confusion_matrix(labels, predicted, labels=numbers).tolist(),
    )
