"""Texts become vectors by a pre-trained encoder that is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from core.learning import pretrained
from core.learning.batching import encode
from core.learning.evaluation.inference import mean_states
from core.learning.hardware import processor
from core.learning.models.cpu_bert.classifier import BertNetwork
from core.learning.models.interface import load_for_training
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
    folder = pretrained.resolve(EMBEDDED)
    network = load_for_training(folder, {"none": 0}, processor(), seed=0)
    assert isinstance(network, BertNetwork), "the embedded model is of the BERT family"
    dataset = encode(texts, [0] * len(texts), TextTokenizer(folder, MAX_TOKENS))
    states = torch.from_numpy(mean_states(network, dataset, LAYERS, report))
    return torch.nn.functional.normalize(states, dim=2).flatten(1).numpy()
