"""Texts become token ids, and token ids become batches of texts of like length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from core.learning.tokenizer import TextTokenizer

POOL_BATCHES = 50
"""Batches sorted by length together: large enough for little padding, small enough to stay random."""

WIDTH_STEP = 4
"""Tokens: batches are padded to a multiple of it. The matrix library builds a kernel for each new shape, and
kernels for every width took 700 MB of memory and made a training 10 % slower."""

_SLICE = 4096
"""Texts tokenised together; the tokenizer's own records of a text take some fifty times its ids."""


@dataclass(frozen=True)
class EncodedDataset:
    """Token ids per text, special tokens included, nothing padded."""

    ids: np.ndarray
    """int32 [all tokens]: one text behind the other."""
    lengths: np.ndarray
    """int64 [texts]: tokens per text."""
    starts: np.ndarray
    """int64 [texts]: where each text begins in `ids`."""
    labels: np.ndarray
    """int64 [texts]."""
    max_length: int
    """Tokens; no text is longer."""
    truncated: int
    """Texts that were longer than the max length and lost their end."""
    padding_id: int

    def __len__(self) -> int:
        return len(self.lengths)

    def tokens(self, row: int) -> np.ndarray:
        """One text's token ids."""
        return self.ids[self.starts[row] : self.starts[row] + self.lengths[row]]


@dataclass(frozen=True)
class Batch:
    """Texts padded to the longest among them."""

    ids: torch.Tensor
    """int64 [texts, tokens]."""
    padding: torch.Tensor | None
    """bool [texts, tokens], True where a text has no token; None when all are equally long."""
    labels: torch.Tensor
    """int64 [texts]."""


class Texts(NamedTuple):
    """The texts of a batch, one behind the other, on the processor."""

    ids: np.ndarray
    """int32 [all tokens]."""
    lengths: np.ndarray
    labels: np.ndarray


def encode(texts: Sequence[str], labels: Sequence[int], tokenizer: TextTokenizer) -> EncodedDataset:
    """Tokenise texts, on all cores, and cut each to the tokenizer's max length."""
    pieces: list[np.ndarray] = [np.empty(0, dtype=np.int32)]
    lengths: list[int] = []
    truncated = 0
    for start in range(0, len(texts), _SLICE):
        rows, cut = tokenizer.encode(texts[start : start + _SLICE])
        pieces += [np.array(row, dtype=np.int32) for row in rows]
        lengths += map(len, rows)
        truncated += cut
    counts = np.array(lengths, dtype=np.int64)
    return EncodedDataset(
        ids=np.concatenate(pieces),
        lengths=counts,
        starts=np.cumsum(counts) - counts,
        labels=np.asarray(labels, dtype=np.int64),
        max_length=tokenizer.max_length,
        truncated=truncated,
        padding_id=tokenizer.padding_id,
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


def collate(dataset: EncodedDataset, rows: np.ndarray) -> Batch:
    """Pad the given texts to one width: that of the longest among them, rounded up to `WIDTH_STEP`."""
    lengths = dataset.lengths[rows]
    # No wider than the max length: the position table may end there.
    places = np.arange(min(width(lengths), dataset.max_length))
    padding = places >= lengths[:, None]
    # Where a text has ended any place will do: what stands there is overwritten.
    ids = dataset.ids[np.where(padding, 0, dataset.starts[rows][:, None] + places)].astype(np.int64)
    ids[padding] = dataset.padding_id
    return Batch(
        ids=torch.from_numpy(ids),
        padding=torch.from_numpy(padding) if padding.any() else None,
        labels=torch.from_numpy(dataset.labels[rows]),
    )


def take_texts(dataset: EncodedDataset, rows: np.ndarray) -> Texts:
    """The given texts of a data set."""
    lengths = dataset.lengths[rows]
    starts = np.cumsum(lengths) - lengths
    places = np.arange(int(lengths.sum())) + np.repeat(dataset.starts[rows] - starts, lengths)
    return Texts(dataset.ids[places], lengths, dataset.labels[rows])


def padding_share(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Share of padding among all tokens of these batches, 0 to 1."""
    padded = sum(width(lengths[rows]) * len(rows) for rows in batches)
    return 1 - int(lengths.sum()) / padded if padded else 0.0


def width(lengths: np.ndarray) -> int:
    """Tokens to which texts of these lengths are padded together: the longest, rounded up to `WIDTH_STEP`."""
    return -(-int(lengths.max()) // WIDTH_STEP) * WIDTH_STEP
