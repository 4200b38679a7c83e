"""Training steps that are recorded once for each shape of batch and replayed for every batch that has it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core.learning.batching import Texts
from core.learning.models.gpu_bert.packing import (
    PackedBatch,
    PackedShape,
    Rates,
    block_size,
    pack,
    shape_of,
    views,
)
from core.learning.models.recording import RecordedByShape

if TYPE_CHECKING:
    from core.learning.models.gpu_bert.classifier import PackedBertNetwork

_TILES = (32, 64, 128)
"""Tokens of the longest text for which kernels differ; the last stands for all that are longer."""


class RecordedSteps:
    """Whole training steps of one network, each recorded once for every shape of batch that comes again.

    Args:
        class_weights: float32 [classes], on the device.
        largest: norm to which all gradients are scaled down; 0 leaves them as they are.
    """

    def __init__(self, network: PackedBertNetwork, class_weights: Tensor, largest: float) -> None:
        self.totals = torch.zeros(2, device=network.device)
        """Sum of the batches' losses, and number of right answers."""
        self._network = network
        self._class_weights = class_weights
        self._largest = largest
        self.work = RecordedByShape(network.device, self._work_on, lambda shape: shape.tokens)

    @torch.no_grad()
    def run(self, texts: Texts, step: int, batch_weight: float, learning_rate: float) -> None:
        """One optimizer step.

        Args:
            step: its number, from 0.

        Raises:
            RuntimeError: memory ran out; the weights are as they were.
        """
        network, missed = self._network, self._network.optimizer.missed
        shape = shape_of(texts.lengths)
        if not self.work.seen:
            self._compile_kernels(shape.longest)
        host = network.host_block(shape)
        words = pack(texts, network.dropout_seed(step, 0), host)
        network.write_late(host, words)
        rates = Rates(batch_weight, learning_rate, *missed.ahead(learning_rate))
        host.fill_floats("rates", np.array(rates))

        def fill(batch: PackedBatch) -> None:
            batch.block.copy_(host.tensor, non_blocking=True)
            # The first thing that the step does, and needs no memory for.
            missed.settle(words)

        self.work.do(shape, fill, self.totals)
        missed.advance(learning_rate)
        missed.touch(words)

    def _work_on(self, shape: PackedShape) -> tuple[PackedBatch, Callable[[], None]]:
        """Room for a batch, and a step on it."""
        block = torch.empty(block_size(shape), dtype=torch.int32, device=self._network.device)
        batch = views(shape, block)
        return batch, partial(self._network.learn, batch, self._class_weights, self.totals, self._largest)

    def _compile_kernels(self, longest: int) -> None:
        """Have the kernels for the first batch's texts compiled, and those for other lengths meanwhile."""
        here = next((tokens for tokens in _TILES if tokens >= longest), _TILES[-1])
        for tokens in sorted(_TILES, key=lambda tokens: tokens != here):
            host = self._network.host_block(PackedShape(1, 64, tokens))
            pack(Texts(np.zeros(2, np.int32), np.array([2]), np.zeros(1, np.int64)), 0, host)
            batch = host.on(self._network.device)
            nothing = torch.zeros_like(self.totals)
            work = partial(self._network.learn, batch, self._class_weights, nothing, self._largest)
            self._network.operations.compile_kernels(work, wait=tokens == here)
