"""A network's answers for many texts, in batches of like length."""

from collections.abc import Callable
from itertools import count

import numpy as np
import torch

from core.learning.batching import EncodedDataset, collate, ordered_batches
from core.learning.memory import MicroBatch
from core.learning.networks import Network

SCORING_BATCH = 64
"""Texts per forward pass without gradients."""


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
