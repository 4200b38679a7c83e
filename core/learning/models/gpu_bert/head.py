"""The classification head on a GPU, in float32, forward and backward written out."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.learning.models.bert_family.architectures import Architecture
from core.learning.models.bert_family.flat_parameters import FlatParameters
from core.learning.models.gpu_bert.encoder import NO_DROPOUT
from core.learning.models.gpu_bert.operations import Dropout, Operations
from core.learning.models.gpu_bert.packing import PackedBatch
from core.learning.models.torch_operations import gelu_backward

_STREAM = 1000
"""First of the head's streams of dropout."""

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "relu": torch.relu,
}


class HeadTape(NamedTuple):
    """What the backward pass needs of one forward pass."""

    first: Tensor
    """[B, H]: what the dense layer read."""
    inner: Tensor
    """Before the activation."""
    activated: Tensor
    dropped: Tensor
    """What the classes' layer read."""


class Head:
    """Dense layer, activation and classes' layer: all weights in one block, those that decay first."""

    def __init__(self, architecture: Architecture, classes: int, operations: Operations, device: str) -> None:
        dense, last = architecture.family.head
        hidden = architecture.hidden
        shapes: dict[str, tuple[int, ...]] = {
            f"{dense}.weight": (hidden, hidden),
            f"{last}.weight": (classes, hidden),
            f"{dense}.bias": (hidden,),
            f"{last}.bias": (classes,),
        }
        self.block = FlatParameters(shapes, torch.float32, device)
        self.decayed = self.block.start(f"{dense}.bias")
        """Values, from the first, that the weight decay pulls."""
        self._architecture = architecture
        self._operations = operations
        self._weights = self._views(self.block.values)
        self.parameters = {name: self.block.view(self.block.values, name) for name in shapes}
        for name, value in self.parameters.items():
            if name.endswith(".weight"):
                # Drawn on the processor: the same seed gives the same head on every device.
                value.copy_(nn.init.normal_(torch.empty(value.shape), std=architecture.deviation))

    def forward(self, first: Tensor, batch: PackedBatch, training: bool) -> tuple[Tensor, HeadTape]:
        """Logits, float32 [B, classes], of the first tokens' states [B, H]."""
        before, behind = self._dropouts(training)
        dense, last, dense_bias, last_bias = self._weights
        first = self._operations.drop(first, batch, before)
        inner = torch.addmm(dense_bias, first, dense.t())
        activated = _ACTIVATIONS[self._architecture.family.head_activation](inner)
        dropped = self._operations.drop(activated, batch, behind)
        return torch.addmm(last_bias, dropped, last.t()), HeadTape(first, inner, activated, dropped)

    def backward(self, tape: HeadTape, dlogits: Tensor, batch: PackedBatch) -> Tensor:
        """Fill the block of gradients; returns the gradient of the states."""
        before, behind = self._dropouts(True)
        dense, last, *_ = self._weights
        ddense, dlast, ddense_bias, dlast_bias = self._views(self.block.gradients)
        torch.mm(dlogits.t(), tape.dropped, out=dlast)
        torch.sum(dlogits, dim=0, out=dlast_bias)
        dactivated = self._operations.drop(dlogits @ last, batch, behind)
        dinner = self._activation_backward(dactivated, tape)
        torch.mm(dinner.t(), tape.first, out=ddense)
        torch.sum(dinner, dim=0, out=ddense_bias)
        return self._operations.drop(dinner @ dense, batch, before)

    def _activation_backward(self, dy: Tensor, tape: HeadTape) -> Tensor:
        name = self._architecture.family.head_activation
        if name == "tanh":
            return dy * (1 - tape.activated * tape.activated)
        return gelu_backward(dy, tape.inner) if name == "gelu" else dy * (tape.inner > 0)

    def _dropouts(self, training: bool) -> tuple[Dropout, Dropout]:
        """Before the dense layer, and behind the activation."""
        if not training:
            return NO_DROPOUT, NO_DROPOUT
        rate = self._architecture.head_dropout
        before = rate if self._architecture.family.dropout_before_head else 0.0
        return Dropout(before, _STREAM), Dropout(rate, _STREAM + 1)

    def _views(self, block: Tensor) -> list[Tensor]:
        return [self.block.view(block, name) for name in self.block.shapes]
