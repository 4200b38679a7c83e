"""Texts become vectors by a pre-trained encoder that is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from core.learning import catalogue
from core.learning.answers import SCORING_BATCH, texts_at_once
from core.learning.batching import EncodedDataset, collate, encode, ordered_batches
from core.learning.bert_network import BertNetwork
from core.learning.hardware import processor
from core.learning.memory import MicroBatch
from core.learning.networks import load_for_training
from core.learning.tokenizer import TextTokenizer

EMBEDDED = "bundled"
MAX_TOKENS = 128
"""Tokens read of each text: what matters most stands there, and long texts would take minutes."""

LAYERS = 3
"""Of the encoder, the last ones: together they tell more of a text than the very last one alone, which was
made to tell topics apart."""


def embed(texts: Sequence[str], report: Callable[[float], None] = lambda share: None) -> np.ndarray:
    """One vector per text, by the embedded model: the mean states of its tokens, each scaled to length one.

    Computed on the processor even where there is a GPU, which may be busy with a training.

    Args:
        report: receives the share of the work that is done, 0 to 1.

    Returns:
        float32 [texts, 3 · 384].

    Raises:
        UserError: the embedded model is damaged.
        OutOfMemory: not even one text fits.
    """
    folder = catalogue.resolve(EMBEDDED)
    network = load_for_training(folder, {"none": 0}, processor(), seed=0)
    assert isinstance(network, BertNetwork), "the embedded model is of the BERT family"
    dataset = encode(texts, [0] * len(texts), TextTokenizer(folder, MAX_TOKENS))
    return _mean_states(network, dataset, report)


def _mean_states(
    network: BertNetwork, dataset: EncodedDataset, report: Callable[[float], None]
) -> np.ndarray:
    batches = ordered_batches(dataset.lengths, SCORING_BATCH)
    vectors = torch.empty((len(dataset), LAYERS, network.hidden))
    tokens = max(1, int(dataset.lengths.sum()))
    done = 0

    def work(rows: np.ndarray) -> None:
        vectors[torch.from_numpy(rows)] = network.mean_states(collate(dataset, rows), LAYERS)

    micro = MicroBatch(SCORING_BATCH)
    for rows in batches:
        micro.run(rows, work, at_most=texts_at_once(network, dataset, rows))
        done += int(dataset.lengths[rows].sum())
        report(done / tokens)
    return torch.nn.functional.normalize(vectors, dim=2).flatten(1).numpy()
