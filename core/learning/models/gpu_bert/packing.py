"""A batch as one row of tokens, without padding, and all that a training step reads of it in one block.

The block is written on the processor and copied to the GPU in one piece, so that a step has one copy, no
allocation and nothing to wait for. Its length depends on the batch's `PackedShape` alone, which takes few
values: a step is recorded once for each of them and replayed for every batch that has it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from core.learning.batching import Batch, Texts

Bits = TypeVar("Bits", int, Tensor)

_ALIGNMENT = 4
"""int32 values: every array begins on 16 bytes."""

_LARGE = 4096
"""Tokens from which a step takes time in proportion to them, so that rounding up costs something."""

SHORTEST = 16
"""Tokens: the narrowest tile of the attention."""


def mix_bits(x: Bits) -> Bits:
    """32 bits in, 32 well mixed ones out: Chris Wellons' lowbias32 (2018); of a tensor, each value's."""
    x = x & 0xFFFFFFFF
    x = (x ^ x >> 16) * 0x7FEB352D & 0xFFFFFFFF
    x = (x ^ x >> 15) * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


class PackedShape(NamedTuple):
    """What the size of a step's arrays depends on."""

    texts: int
    tokens: int
    """Rows of the packed arrays; those behind the last text's end hold nothing."""
    longest: int
    """A power of two that no text is longer than."""


class Rates(NamedTuple):
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
    """float32 [tokens, 4]: what each word's row makes up for before it is read; see `MissedSteps.of`."""


def shape_of(lengths: np.ndarray, exact: bool = False) -> PackedShape:
    """The shape of a batch of texts of these lengths (tokens).

    Args:
        exact: no rows behind the last text's end, for a batch whose like will not come again.
    """
    tokens, longest = int(lengths.sum()), int(lengths.max())
    step = 1 if exact else max(64, (1 << tokens.bit_length() - 1) // (16 if tokens >= _LARGE else 8))
    power = 1 << max(longest - 1, SHORTEST - 1).bit_length()
    return PackedShape(len(lengths), -(-tokens // step) * step, power)


@lru_cache(maxsize=512)
def _layout(shape: PackedShape) -> tuple[dict[str, slice], int]:
    """Where each array of a block is, and the length of all."""
    sizes = {
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
    found: dict[str, slice] = {}
    start = 0
    for name, size in sizes.items():
        found[name] = slice(start, start + size)
        start += -(-size // _ALIGNMENT) * _ALIGNMENT
    return found, start


def block_size(shape: PackedShape) -> int:
    """int32 values in a block."""
    return _layout(shape)[1]


def views(shape: PackedShape, block: Tensor) -> PackedBatch:
    """A block's arrays.

    Args:
        block: int32 [`block_size(shape)`], on any device.
    """
    found = {name: block[place] for name, place in _layout(shape)[0].items()}
    found["rates"] = found["rates"].view(torch.float32)
    found["late"] = found["late"].view(torch.float32).view(-1, 4)
    return PackedBatch(shape, block, **found)


class HostBlock:
    """A block on the processor, to be filled: through numpy, since a step has no time for views of torch.

    Args:
        pinned: in memory that a GPU fetches from while the processor goes on.
    """

    def __init__(self, shape: PackedShape, pinned: bool) -> None:
        self.shape = shape
        self._layout, size = _layout(shape)
        self.tensor = torch.empty(size, dtype=torch.int32, pin_memory=pinned)
        self._values = self.tensor.numpy()

    def fill(self, name: str, values: np.ndarray) -> None:
        """Write an array of whole numbers; behind them stands what was there before, which nothing reads."""
        start = self._layout[name].start
        self._values[start : start + len(values)] = values

    def fill_at(self, name: str, place: int, value: int) -> None:
        """Write one number of an array."""
        self._values[self._layout[name].start + place] = value

    def fill_floats(self, name: str, values: np.ndarray) -> None:
        """Write an array of any shape as float32."""
        start = self._layout[name].start
        self._values[start : start + values.size].view(np.float32)[:] = values.ravel()

    def on(self, device: str) -> PackedBatch:
        """The batch on a device."""
        return views(self.shape, self.tensor.to(device, non_blocking=True))


def unpad(batch: Batch) -> Texts:
    """The texts of a padded batch."""
    ids, labels = batch.ids.numpy(), batch.labels.numpy()
    if batch.padding is None:
        return Texts(ids.ravel().astype(np.int32), np.full(len(ids), ids.shape[1]), labels)
    tokens = ~batch.padding.numpy()
    return Texts(ids[tokens].astype(np.int32), tokens.sum(axis=1), labels)


def pack_tokens(texts: Texts, host: HostBlock) -> None:
    """Write of a batch what answers need of it: its tokens."""
    lengths = texts.lengths
    tokens = len(texts.ids)
    starts = np.cumsum(lengths) - lengths
    host.fill("ids", texts.ids)
    host.fill("places", np.arange(tokens) - np.repeat(starts, lengths))
    host.fill("starts", starts)
    host.fill("lengths", lengths)
    write_counts(host, tokens, 0, 0)


def pack(texts: Texts, seed: int, host: HostBlock) -> np.ndarray:
    """Write a batch to train on into a block; `rates` and `late` are left to whoever trains.

    Args:
        seed: of this step's dropout, 32 bits.

    Returns:
        int32: the different words, in the order of `PackedBatch.words`.
    """
    pack_tokens(texts, host)
    ids, tokens = texts.ids, len(texts.ids)
    # numpy sorts 16 bits several times faster than 32.
    short = ids.astype(np.uint16) if ids.max() < 1 << 16 else ids
    order = np.argsort(short, kind="stable")
    in_order = ids[order]
    begins = np.empty(tokens, dtype=bool)
    begins[0] = True
    np.not_equal(in_order[1:], in_order[:-1], out=begins[1:])
    firsts = np.flatnonzero(begins)
    words = in_order[firsts]
    host.fill("labels", texts.labels)
    host.fill("order", order)
    host.fill("words", words)
    host.fill("segments", firsts)
    host.fill_at("segments", len(firsts), tokens)
    write_counts(host, tokens, len(words), seed)
    return words


def write_counts(host: HostBlock, tokens: int, words: int, seed: int) -> None:
    """Write how much of a block holds something."""
    host.fill("counts", np.array([tokens, words, seed, 0], dtype=np.uint32).view(np.int32))
