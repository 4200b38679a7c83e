"""A batch as one row of tokens, without padding, and all that a training step reads of it in one block.

The block is written on the processor and copied to the GPU in one piece, so that a step has one copy, no
allocation and nothing to wait for. Its length depends on the batch's `PackedShape` alone, which takes few
values: a step is recorded once for each of them and replayed for every batch that has it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.learning.batching import Batch, Texts

_ALIGNMENT = 4
"""int32 values: every array begins on 16 bytes."""

_LARGE = 4096
"""Tokens from which a step takes time in proportion to them, so that rounding up costs something."""

SHORTEST = 16
"""Tokens: the narrowest tile of the attention."""


class PackedShape(NamedTuple):
    """What the size of a step's arrays depends on."""

    texts: int
    tokens: int
    """Rows of the packed arrays; those behind the last text's end hold nothing."""
    longest: int
    """A power of two that no text is longer than."""


@dataclass(frozen=True)
class Rates:
    """The numbers of one step, as float32, beside its batch."""

    batch_weight: float = 1.0
    """Sum of the class weights of all texts of the batch."""
    learning_rate: float = 0.0
    corrected_rate: float = 0.0
    """The learning rate with AdamW's corrections of both moments."""
    epsilon: float = 0.0
    """AdamW's, with the correction of the second moment."""


@dataclass(frozen=True)
class PackedBatch:
    """Views of one int32 tensor: see `pack`."""

    shape: PackedShape
    block: Tensor
    counts: Tensor
    """int32 [4]: tokens, different words, seed of the dropout, 0."""
    rates: Tensor
    """float32 [4]: see `Rates`."""
    ids: Tensor
    """int32 [tokens]."""
    places: Tensor
    """int32 [tokens]: place of each token in its text, from 0."""
    starts: Tensor
    """int32 [texts]: where each text begins."""
    lengths: Tensor
    """int32 [texts]."""
    labels: Tensor
    """int32 [texts]."""
    order: Tensor
    """int32 [tokens]: the tokens sorted by their word."""
    words: Tensor
    """int32 [tokens]: each word of the batch once."""
    segments: Tensor
    """int32 [tokens + 1]: where each word's tokens begin in `order`."""
    late: Tensor
    """float32 [tokens, 4]: what each word's row makes up for before it is read; see `LateRows`."""


def shape_of(lengths: np.ndarray, exact: bool = False) -> PackedShape:
    """The shape of a batch of texts of these lengths (tokens).

    Args:
        exact: no rows behind the last text's end, for a batch whose like will not come again.
    """
    tokens, longest = int(lengths.sum()), int(lengths.max())
    step = 1 if exact else max(64, (1 << tokens.bit_length() - 1) // (16 if tokens >= _LARGE else 8))
    power = 1 << max(longest - 1, SHORTEST - 1).bit_length()
    return PackedShape(len(lengths), -(-tokens // step) * step, power)


def _sizes(shape: PackedShape) -> dict[str, int]:
    return {
        "counts": 4,
        "rates": 4,
        "ids": shape.tokens,
        "places": shape.tokens,
        "starts": shape.texts,
        "lengths": shape.texts,
        "labels": shape.texts,
        "order": shape.tokens,
        "words": shape.tokens,
        "segments": shape.tokens + 1,
        "late": 4 * shape.tokens,
    }


def block_size(shape: PackedShape) -> int:
    """int32 values in a block."""
    return sum(-(-size // _ALIGNMENT) * _ALIGNMENT for size in _sizes(shape).values())


def views(shape: PackedShape, block: Tensor) -> PackedBatch:
    """A block's arrays.

    Args:
        block: int32 [`block_size(shape)`], on any device.
    """
    found: dict[str, Tensor] = {}
    start = 0
    for name, size in _sizes(shape).items():
        found[name] = block[start : start + size]
        start += -(-size // _ALIGNMENT) * _ALIGNMENT
    found["rates"] = found["rates"].view(torch.float32)
    found["late"] = found["late"].view(torch.float32).view(-1, 4)
    return PackedBatch(shape, block, **found)


def unpad(batch: Batch) -> Texts:
    """The texts of a padded batch."""
    ids, labels = batch.ids.numpy(), batch.labels.numpy()
    if batch.padding is None:
        return Texts(ids.ravel().astype(np.int32), np.full(len(ids), ids.shape[1]), labels)
    tokens = ~batch.padding.numpy()
    return Texts(ids[tokens].astype(np.int32), tokens.sum(axis=1), labels)


def pack(texts: Texts, seed: int, target: PackedBatch) -> np.ndarray:
    """Write a batch into a block on the processor; `rates` and `late` are left to whoever trains.

    Args:
        seed: of this step's dropout.
        target: views of the block.

    Returns:
        int64: the different words, in the order of `target.words`.
    """
    ids, lengths = texts.ids, texts.lengths
    tokens = len(ids)
    starts = np.cumsum(lengths) - lengths
    order = np.argsort(ids, kind="stable")
    in_order = ids[order]
    firsts = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]]))
    words = in_order[firsts]
    _fill(target.ids, ids)
    _fill(target.places, np.arange(tokens) - np.repeat(starts, lengths))
    _fill(target.starts, starts)
    _fill(target.lengths, lengths)
    _fill(target.labels, texts.labels)
    _fill(target.order, order)
    _fill(target.words, words)
    _fill(target.segments, np.append(firsts, tokens))
    target.counts.numpy()[:] = tokens, len(words), np.uint32(seed).astype(np.int32), 0
    return words.astype(np.int64)


def _fill(target: Tensor, values: np.ndarray) -> None:
    # Behind them stands what was there before, which nothing reads.
    target.numpy()[: len(values)] = values
