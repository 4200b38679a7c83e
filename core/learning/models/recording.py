"""Work on a device that is recorded once and replayed: a GPU's steps without the processor's help.

A CUDA graph holds every kernel of a step with its arguments, so that a replay is one launch instead of some
hundreds, each of which takes the processor longer than the GPU needs for it when a batch is small.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import torch

from core.base.memory import means_out_of_memory


class NotRecorded(RuntimeError):
    """The work cannot be recorded, for a reason other than a lack of memory."""


class Recording(Protocol):
    """Recorded work."""

    def replay(self) -> None:
        """Do it again, on what is now in the tensors that it read and wrote."""


class Recorder(Protocol):
    """Records work."""

    def record(self, work: Callable[[], None]) -> Recording:
        """Record without doing it.

        Raises:
            NotRecorded: the work waits for the processor.
            RuntimeError: memory ran out.
        """


class EagerRecorder:
    """The stand-in on a device without graphs: a replay does the work anew."""

    def record(self, work: Callable[[], None]) -> Recording:
        return _Eager(work)


class _Eager:
    def __init__(self, work: Callable[[], None]) -> None:
        self.replay = work


class GraphRecorder:
    """Records CUDA graphs, which share their memory: they are replayed one after the other."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], None]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            # Not `torch.cuda.graph`, which empties the allocator's cache and waits for the GPU each time.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                work()
            except BaseException as error:
                with suppress(RuntimeError):
                    graph.capture_end()
                if isinstance(error, RuntimeError) and not means_out_of_memory(error):
                    raise NotRecorded(str(error)) from error
                raise
            graph.capture_end()
        torch.cuda.current_stream().wait_stream(self._stream)
        return graph


def make_recorder(device: str) -> Recorder:
    """Graphs on a CUDA GPU, the stand-in elsewhere."""
    return GraphRecorder() if device == "cuda" else EagerRecorder()
