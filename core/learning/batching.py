"""Texts become token ids, and token ids become batches of texts of like length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

POOL_BATCHES = 50
"""Batches sorted by length together: large enough for little padding, small enough to stay random."""


@dataclass(frozen=True)
class EncodedDataset:
    """Token ids per text, special tokens included, nothing padded."""

    token_ids: list[list[int]]
    lengths: np.ndarray
    """int64 [texts]: tokens per text."""
    labels: np.ndarray
    """int64 [texts]."""
    truncated: int
    """Texts that were longer than the max length and lost their end."""
    padding_id: int

    def __len__(self) -> int:
        return len(self.token_ids)


def encode(
    texts: Sequence[str], labels: Sequence[int], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> EncodedDataset:
    """Tokenise texts and cut each to `max_length` tokens, special tokens included."""
    token_ids: list[list[int]] = []
    truncated = 0
    # In slices, because the tokenizer's own records of a text take some fifty times its ids.
    for start in range(0, len(texts), 2048):
        encodings = tokenizer(
            list(texts[start : start + 2048]), truncation=True, max_length=max_length, padding=False
        ).encodings
        token_ids.extend(encoding.ids for encoding in encodings)
        truncated += sum(bool(encoding.overflowing) for encoding in encodings)
    return EncodedDataset(
        token_ids=token_ids,
        lengths=np.fromiter(map(len, token_ids), dtype=np.int64, count=len(token_ids)),
        labels=np.asarray(labels, dtype=np.int64),
        truncated=truncated,
        padding_id=tokenizer.pad_token_id,
    )


def training_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """One epoch's batches as arrays of text numbers: shuffled, each of texts of like length.

    All texts are shuffled, cut into pools of `POOL_BATCHES` batches, each pool is sorted by length and
    cut into batches, and the batches are shuffled. The order depends on `seed` and `epoch` alone.
    """
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(lengths))
    batches: list[np.ndarray] = []
    for start in range(0, len(shuffled), batch_size * POOL_BATCHES):
        pool = shuffled[start : start + batch_size * POOL_BATCHES]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches.extend(pool[i : i + batch_size] for i in range(0, len(pool), batch_size))
    return [batches[i] for i in random.permutation(len(batches))]


def ordered_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches for scoring: longest texts first, so that a lack of memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def collate(dataset: EncodedDataset, rows: np.ndarray) -> dict[str, torch.Tensor]:
    """Pad the given texts to the longest among them.

    Returns:
        `input_ids` and `attention_mask`: int64 [batch, sequence]; `labels`: int64 [batch].
    """
    longest = int(dataset.lengths[rows].max())
    input_ids = torch.full((len(rows), longest), dataset.padding_id, dtype=torch.int64)
    attention_mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids = dataset.token_ids[row]
        input_ids[i, : len(ids)] = torch.tensor(ids)
        attention_mask[i, : len(ids)] = 1
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "labels": torch.from_numpy(dataset.labels[rows]),
    }


def padding_share(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Share of padding among all tokens of these batches, 0 to 1."""
    padded = sum(int(lengths[rows].max()) * len(rows) for rows in batches)
    return 1 - int(lengths.sum()) / padded if padded else 0.0
