"""Many named weights in one block of memory, so that a cast or an update of all is one operation."""

from collections.abc import Mapping

import torch

_ALIGNMENT = 32
"""Values: every weight begins on a cache line."""


class FlatParameters:
    """Weights of several shapes side by side in one float32 tensor, and their gradients in another one.

    `working` is what matrix products read: a copy of `values` in a shorter format, or `values` itself.

    Args:
        shapes: name → shape. Weights whose sizes are multiples of 32 lie gaplessly next to each other.
        working: format of the matrix products.
        device: where all of it lies.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], working: torch.dtype, device: str = "cpu"
    ) -> None:
        self.shapes = {name: torch.Size(shape) for name, shape in shapes.items()}
        self._starts: dict[str, int] = {}
        end = 0
        for name, shape in self.shapes.items():
            self._starts[name] = end
            end += -(-shape.numel() // _ALIGNMENT) * _ALIGNMENT
        self.values = torch.zeros(end, device=device)
        self.working = (
            self.values if working == torch.float32 else torch.zeros(end, dtype=working, device=device)
        )
        self.gradients = torch.empty(0, device=device)

    def allocate_gradients(self, dtype: torch.dtype) -> None:
        """Make room for gradients; a network that only answers needs none."""
        self.gradients = torch.zeros_like(self.values, dtype=dtype)

    def view(self, block: torch.Tensor, *names: str) -> torch.Tensor:
        """A weight's part of a block as long as `values`, in the weight's shape.

        Several names of neighbours of one width give one tensor, stacked in their order.
        """
        start = self._starts[names[0]]
        rows = sum(self.shapes[name][0] for name in names)
        shape = (rows, *self.shapes[names[0]][1:])
        return block[start : start + torch.Size(shape).numel()].view(shape)

    def start(self, name: str) -> int:
        """Where a weight begins in the block."""
        return self._starts[name]

    def refresh(self) -> None:
        """Copy the values into the working format; needed after every change of the values."""
        if self.working is not self.values:
            self.working.copy_(self.values)
