"""Dropout masks cut from a pool of random numbers, because drawing them took 16 % of a training step."""

from typing import NamedTuple

import numpy as np
import torch

POOL = 1 << 22
"""Mask values in a pool."""

POOL_STEPS = 8
"""Training steps after which a pool is drawn anew."""


class DropoutMasks:
    """Masks of zeros and 1 / (1 - rate), for products with what dropout is applied to.

    Every mask is a piece of a pool of independent draws. A pass over the pool starts at a place drawn
    afresh for each step and goes on from piece to piece, so that two masks of a step share values only
    when the step needs more than the pool holds, and then shifted against each other by chance. The pool
    itself is drawn anew every `POOL_STEPS` steps. All of it depends on the seed and the step's number
    alone: a resumed training sees the masks that the uninterrupted one would have seen.

    Args:
        rate: share of values that become zero, 0 to below 1.
        dtype: of the masks.
    """

    def __init__(self, rate: float, dtype: torch.dtype, seed: int) -> None:
        self.rate = rate
        self.seed = seed
        self._pool = torch.empty(POOL, dtype=dtype)
        self._drawn_for = -1
        self._offsets = np.random.default_rng([seed, 0])
        self._position = 0

    def begin(self, step: int) -> None:
        """Make ready for the training step with this number, counted from 0."""
        block = step // POOL_STEPS
        if block != self._drawn_for:
            self._drawn_for = block
            self._draw(np.random.Generator(np.random.SFC64([self.seed, 1, block])))
        self._offsets = np.random.default_rng([self.seed, 2, step])
        self._restart()

    def take(self, *shape: int) -> torch.Tensor:
        """The next mask, a view of the pool: not to be written to, and valid until the next `begin`."""
        size = int(np.prod(shape))
        if size > POOL:
            return self._large(size).view(shape)
        if self._position + size > POOL:
            self._restart(POOL - size)
        mask = self._pool[self._position : self._position + size]
        self._position += size
        return mask.view(shape)

    def _restart(self, highest: int = POOL // 2) -> None:
        # Whole cache lines: products of aligned rows are faster.
        self._position = int(self._offsets.integers(highest // 64 + 1)) * 64

    def _large(self, size: int) -> torch.Tensor:
        pieces = [self.take(min(POOL // 4, size - start)) for start in range(0, size, POOL // 4)]
        return torch.cat(pieces)

    def _draw(self, random: np.random.Generator) -> None:
        # Sixteen random bits decide one value, so the rate is exact to 1 / 65,536.
        bits = random.integers(1 << 64, size=POOL // 4, dtype=np.uint64, endpoint=False).view(np.uint16)
        kept = bits >= round(self.rate * (1 << 16))
        torch.mul(torch.from_numpy(kept), 1 / (1 - self.rate), out=self._pool)


class Masks(NamedTuple):
    """The dropout of an encoder; None where there is none."""

    hidden: DropoutMasks | None
    """Of embeddings and sums."""
    attention: DropoutMasks | None
    """Of attention probabilities."""


NO_MASKS = Masks(None, None)
