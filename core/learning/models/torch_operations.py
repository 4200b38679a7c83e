"""torch's fused AdamW update, the operation itself.

Not public in torch, and reached here only: making a `torch.optim.AdamW` imports torch's compiler, which takes
most of a second. `tests/learning/test_optimizer.py` holds it against that class.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""AdamW's usual constants (Loshchilov and Hutter 2019, arXiv:1711.05101), torch's defaults."""


class Moments(NamedTuple):
    """What AdamW keeps of a block of weights: the two moments, as float32 like it, and the steps so far."""

    first: Tensor
    second: Tensor
    steps: Tensor
    """float32 scalar, this step counted."""


def update_adamw(
    values: Tensor, gradient: Tensor, moments: Moments, learning_rate: float, weight_decay: float
) -> None:
    """Update a block of float32 weights, and its moments, in place."""
    torch.ops.aten._fused_adamw_(
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
