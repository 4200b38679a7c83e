"""A model's answers beside the true labels: scores that equal scikit-learn's."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch

from core.learning.batching import EncodedDataset, collate, ordered_batches
from core.learning.memory import MicroBatch
from core.learning.networks import Network

SCORING_BATCH = 64
"""Texts per forward pass without gradients."""


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


def predict_probabilities(
    network: Network,
    dataset: EncodedDataset,
    batch_size: int = SCORING_BATCH,
    between: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """Probability of each class for each text, in the order of the data set.

    Halves the batch when memory runs out.

    Args:
        between: called between two passes; what it answers does not matter.

    Returns:
        float64 [texts, classes]; rows add up to 1.
    """
    logits = torch.empty((len(dataset), len(network.names)), dtype=torch.float32)

    parts = count()

    def score(rows: np.ndarray) -> None:
        if next(parts):
            between()
        logits[torch.from_numpy(rows)] = network.logits(collate(dataset, rows)).cpu()

    micro = MicroBatch(batch_size)
    for rows in ordered_batches(dataset.lengths, batch_size):
        micro.run(rows, score, at_most=texts_at_once(network, dataset, rows))
    return logits.double().softmax(dim=-1).numpy()


def texts_at_once(network: Network, dataset: EncodedDataset, rows: np.ndarray) -> int | None:
    """How many of these texts the network computes at once; None for all."""
    if network.part_tokens is None:
        return None
    return max(1, network.part_tokens // int(dataset.lengths[rows].max()))


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
