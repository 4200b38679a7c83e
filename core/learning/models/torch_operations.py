"""What torch has no public name for: single operations of backward passes, and AdamW's fused update.

Reached here only. The written-out encoder does without autograd and its graph, and making a
`torch.optim.AdamW` imports torch's compiler, which takes most of a second.
`tests/learning/test_torch_operations.py` holds each against what torch documents.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_aten = torch.ops.aten

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""AdamW's usual constants (Loshchilov and Hutter 2019, arXiv:1711.05101), torch's defaults."""

SCALER_STATE = {"scale": "scale", "growth_tracker": "_growth_tracker"}
"""What changes in a GradScaler: its name in a checkpoint → its key in `GradScaler.state_dict`."""


class Moments(NamedTuple):
    """What AdamW keeps of a block of weights: the two moments, as float32 like it, and the steps so far."""

    first: Tensor
    second: Tensor
    steps: Tensor
    """float32 scalar, this step counted."""


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """`functional.layer_norm` over the last dimension, and what its backward pass needs.

    Args:
        x: of shape (…, width), weight and bias: (width,).

    Returns:
        The result, and the mean and the reciprocal of the deviation of each row.
    """
    return torch.native_layer_norm(x, weight.shape, weight, bias, epsilon)


def layer_norm_backward(
    dy: Tensor, x: Tensor, mean: Tensor, reciprocal_deviation: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `layer_norm` with regard to x, weight and bias; `dy` is that of its result."""
    return _aten.native_layer_norm_backward(
        dy, x, weight.shape, mean, reciprocal_deviation, weight, bias, [True] * 3
    )


def gelu_backward(dy: Tensor, x: Tensor) -> Tensor:
    """The gradient of `functional.gelu(x)`, not approximated; `dy` is that of its result."""
    return _aten.gelu_backward(dy, x)


def softmax_backward(dy: Tensor, y: Tensor) -> Tensor:
    """The gradient of `y = x.softmax(dim=-1)`; `dy` is that of y, and of its type."""
    return _aten._softmax_backward_data(dy, y, -1, y.dtype)


def update_adamw(
    values: Tensor, gradient: Tensor, moments: Moments, learning_rate: float, weight_decay: float
) -> None:
    """Update a block of float32 weights, and its moments, in place."""
    _aten._fused_adamw_(
        [values],
        [gradient],
        [moments.first],
        [moments.second],
        [],
        [moments.steps],
        lr=learning_rate,
        beta1=BETA1,
        beta2=BETA2,
        weight_decay=weight_decay,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
    )
