"""Training steps of a transformers model that are recorded once for each width of batch and replayed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core.learning.batching import Texts
from core.learning.models.recording import RecordedByShape

if TYPE_CHECKING:
    from core.learning.models.transformers_model import HubNetwork

_WIDTH_STEP = 16
"""Tokens: batches are padded to a multiple of it, so that few widths occur."""


class _Batch:
    """Where a batch of one shape lies on the device."""

    def __init__(self, texts: int, width: int, device: str) -> None:
        self.numbers = torch.zeros(texts, width + 2, dtype=torch.int32, device=device)
        """Token ids, and behind them each text's length and label."""
        self.weight = torch.ones((), device=device)
        """Sum of the class weights of its texts."""

    def inputs(self) -> dict[str, Tensor]:
        """As a model takes them; made anew from the numbers."""
        ids, lengths = self.numbers[:, :-2].long(), self.numbers[:, -2:-1]
        places = torch.arange(ids.shape[1], device=ids.device)
        return {"input_ids": ids, "attention_mask": (places < lengths).long()}

    def labels(self) -> Tensor:
        return self.numbers[:, -1].long()


class RecordedModelSteps:
    """Whole training steps of a model as transformers has it; see `interface.RecordedSteps`.

    Args:
        class_weights: float32 [classes], on the device.
        largest: norm to which all gradients are scaled down; 0 leaves them as they are.
    """

    def __init__(self, network: HubNetwork, class_weights: Tensor, largest: float) -> None:
        self.totals = torch.zeros(2, device=network.device)
        self._network = network
        self._class_weights = class_weights
        self._largest = largest
        self.work: RecordedByShape[tuple[int, int], _Batch] = RecordedByShape(
            network.device, self._work_on, lambda shape: shape[1]
        )

    def run(self, texts: Texts, step: int, batch_weight: float, learning_rate: float) -> None:
        network = self._network
        shape = len(texts.lengths), min(_round_up(int(texts.lengths.max())), network.places)
        host = torch.from_numpy(_pad(texts, shape[1], network.padding_id))

        def fill(batch: _Batch) -> None:
            pinned = host.pin_memory() if network.device == "cuda" else host
            batch.numbers.copy_(pinned, non_blocking=True)
            batch.weight.fill_(batch_weight)

        network.set_learning_rate(learning_rate)
        self.work.do(shape, fill, self.totals)

    def _work_on(self, shape: tuple[int, int]) -> tuple[_Batch, Callable[[], None]]:
        """Room for a batch, and a step on it."""
        batch = _Batch(*shape, self._network.device)
        return batch, partial(self._learn, batch)

    def _learn(self, batch: _Batch) -> None:
        self._network.learn(batch.inputs(), partial(self._loss, batch), self._largest)

    def _loss(self, batch: _Batch, logits: Tensor) -> Tensor:
        labels = batch.labels()
        loss = functional.cross_entropy(logits, labels, weight=self._class_weights, reduction="sum")
        loss = loss / batch.weight
        right = (logits.detach().argmax(dim=-1) == labels).sum()
        self.totals += torch.stack([loss.detach(), right.float()])
        return loss


def _round_up(tokens: int) -> int:
    return -(-tokens // _WIDTH_STEP) * _WIDTH_STEP


def _pad(texts: Texts, width: int, padding_id: int) -> np.ndarray:
    """int32 [texts, width + 2]: see `_Batch.numbers`."""
    numbers = np.full((len(texts.lengths), width + 2), padding_id, dtype=np.int32)
    inside = np.arange(width) < texts.lengths[:, None]
    numbers[:, :width][inside] = texts.ids
    numbers[:, -2], numbers[:, -1] = texts.lengths, texts.labels
    return numbers
