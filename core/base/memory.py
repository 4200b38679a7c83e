"""What to do when memory runs out: smaller parts of a batch, the same batch in the end; else, say where.

Imports no torch: whoever sees a training from outside tells of its memory too.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from core.base.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_OUT_OF_MEMORY = (
    "allocate memory",
    "out of memory",
    "ALLOC_FAILED",
    "failed to map segment",
    "bad_alloc",
    "memory allocation of",
    "could not create a memory",
)
"""What allocators (of the CPU, CUDA, MPS, cuBLAS), the loader of libraries, C++, Rust and oneDNN say."""


class OutOfMemory(UserError):
    """Memory ran out.

    Args:
        doing: what it ran out at, as an -ing phrase ("loading the model").
        batch_size: texts per step of the training that met it; None outside of a training.
        at_steps: whether its steps need the most, so that a smaller batch is the first thing to try.
        expected, found: in other words than the usual ones.
    """

    def __init__(
        self,
        doing: str,
        batch_size: int | None = None,
        at_steps: bool = True,
        expected: str | None = None,
        found: str = "that memory ran out",
    ) -> None:
        self.smaller_batch = smaller_batch(batch_size)
        remedy = smaller_words(batch_size, at_steps)
        super().__init__(expected or f"enough memory for {doing}", found, remedy)


def smaller_batch(batch_size: int | None) -> int | None:
    """The batch size (texts) to propose after memory ran out; None where there is no smaller one."""
    return batch_size // 2 if batch_size and batch_size > 1 else None


def smaller_words(batch_size: int | None, at_steps: bool = True) -> str:
    """What to do after memory ran out, as a sentence."""
    half = smaller_batch(batch_size)
    if half is None:
        return "Close other programs, or choose a smaller max length or a smaller model."
    batches = f"batches of {half} instead of {batch_size}"
    if at_steps:
        return (
            f"Start it again with {batches}, with a smaller max length or a smaller model, or close other "
            "programs."
        )
    return (
        f"Close other programs, or choose a smaller model; start it again with {batches} to be on the safe "
        "side."
    )


def means_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the processor or on a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    return says_out_of_memory(str(error))


def says_out_of_memory(text: str) -> bool:
    """Whether an allocator's words are in a text."""
    return any(words in text for words in _OUT_OF_MEMORY)


@contextmanager
def shortage_is_said(doing: str, batch_size: int | None = None, at_steps: bool = True) -> Iterator[None]:
    """Turn a lack of memory in the block into an error for people. See `OutOfMemory`.

    Raises:
        OutOfMemory: memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError, ImportError, SafetensorError) as error:
        if not means_out_of_memory(error):
            raise
        raise OutOfMemory(doing, batch_size, at_steps) from error


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
            OutOfMemory: when even one text alone does not fit.
        """
        halved = False
        while not self._fits(rows, work, min(self.size, at_most or self.size)):
            halved = True
            self._undo()
            _free_memory()
            if self.size == 1:
                raise OutOfMemory(
                    "one text",
                    expected="enough memory for one text at a time",
                    found="too little memory even for that",
                )
            self.size = max(1, min(self.size, at_most or self.size, len(rows)) // 2)
        return halved

    def _fits(self, rows: np.ndarray, work: Callable[[np.ndarray], None], size: int) -> bool:
        try:
            for start in range(0, len(rows), size):
                work(rows[start : start + size])
        except (MemoryError, RuntimeError) as error:
            if not means_out_of_memory(error):
                raise
            return False
        return True


def peak_bytes(device: str) -> int:
    """The most memory that this process has taken so far; on a CUDA GPU, of the GPU's.

    Of its own since it began: what `getrusage` tells on Linux begins with the size of the process that
    started it.
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_reserved()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def give_back_freed_memory() -> None:
    """Give the system what is freed: glibc keeps it for the thread that freed it, and a server has many.

    For a process that lives on, after work that took much memory. Takes 10 to 20 ms. Elsewhere than in glibc
    nothing happens.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
