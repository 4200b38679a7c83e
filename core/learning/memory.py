"""What to do when memory runs out: smaller parts of a batch, the same batch in the end."""

import gc
from collections.abc import Callable

import numpy as np
import torch

from core.errors import UserError

_OUT_OF_MEMORY = ("allocate memory", "out of memory", "ALLOC_FAILED")
"""What the CPU's allocator, MPS and cuBLAS say; they have no exception class of their own."""


class MicroBatch:
    """Runs a batch in parts that fit into memory, and halves the parts when they do not.

    Args:
        size: texts per part to begin with.
        undo: called before a batch is tried again, to take back what its first parts did.
    """

    def __init__(self, size: int, undo: Callable[[], None] = lambda: None) -> None:
        self.size = size
        self._undo = undo

    def run(self, rows: np.ndarray, work: Callable[[np.ndarray], None], at_most: int | None = None) -> bool:
        """Call `work` on parts that together are `rows`.

        Args:
            at_most: texts per part for this batch; None sets no limit but memory's.

        Returns:
            Whether the parts had to be made smaller.

        Raises:
            UserError: when even one text alone does not fit.
        """
        halved = False
        while not self._fits(rows, work, min(self.size, at_most or self.size)):
            halved = True
            self._undo()
            _free_memory()
            if self.size == 1:
                raise UserError(
                    "enough memory for one text at a time",
                    "too little memory even for that",
                    "Choose a smaller max length or a smaller model, or close other programs.",
                )
            self.size = max(1, min(self.size, at_most or self.size, len(rows)) // 2)
        return halved

    def _fits(self, rows: np.ndarray, work: Callable[[np.ndarray], None], size: int) -> bool:
        try:
            for start in range(0, len(rows), size):
                work(rows[start : start + size])
        except (torch.OutOfMemoryError, MemoryError):
            return False
        except RuntimeError as error:
            if not any(words in str(error) for words in _OUT_OF_MEMORY):
                raise
            return False
        return True


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
