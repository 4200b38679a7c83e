"""A model's answers beside the true labels: scores that equal scikit-learn's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn import metrics
from transformers import PreTrainedModel

from core.learning.batching import EncodedDataset, collate, ordered_batches
from core.learning.checkpoints import Hardware, autocast
from core.learning.memory import MicroBatch

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


@torch.inference_mode()
def predict_probabilities(
    model: PreTrainedModel, dataset: EncodedDataset, hardware: Hardware, batch_size: int = SCORING_BATCH
) -> np.ndarray:
    """Probability of each class for each text, in the order of the data set.

    Halves the batch when memory runs out.

    Returns:
        float64 [texts, classes]; rows add up to 1.
    """
    model.eval()
    logits = torch.empty((len(dataset), model.config.num_labels), dtype=torch.float32)
    micro = MicroBatch(batch_size)
    for rows in ordered_batches(dataset.lengths, batch_size):
        micro.run(rows, lambda part: _score_into(logits, model, dataset, part, hardware))
    return logits.double().softmax(dim=-1).numpy()


def _score_into(
    logits: torch.Tensor,
    model: PreTrainedModel,
    dataset: EncodedDataset,
    rows: np.ndarray,
    hardware: Hardware,
) -> None:
    batch = collate(dataset, rows)
    with autocast(hardware):
        output = model(
            input_ids=batch["input_ids"].to(hardware.device),
            attention_mask=batch["attention_mask"].to(hardware.device),
        ).logits
    logits[torch.from_numpy(rows)] = output.float().cpu()


def evaluate(probabilities: np.ndarray, labels: np.ndarray, names: list[str]) -> EvaluationReport:
    """Score probabilities against true labels.

    Args:
        probabilities: float [texts, classes].
        labels: int [texts], the true class numbers.
        names: class names in the order of their numbers.
    """
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
