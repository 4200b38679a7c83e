"""Work on a device that is recorded once and replayed: a GPU's steps without the processor's help.

A CUDA graph holds every kernel of a step with its arguments, so that a replay is one launch instead of some
hundreds, each of which takes the processor longer than the GPU needs for it when a batch is small.
"""

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from core.base.memory import means_out_of_memory

Shape = TypeVar("Shape", bound=Hashable)
Room = TypeVar("Room")


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


class RecordedByShape(Generic[Shape, Room]):
    """Work that is recorded once for every shape that comes again.

    The first of a shape is done step by step, so that nothing waits for a recording that may never be
    replayed, and what a library does once is then done.

    Args:
        make: of a shape, room for its input, and the work on it.
        size: what tells a large shape from a small one.
    """

    def __init__(
        self,
        device: str,
        make: Callable[[Shape], tuple[Room, Callable[[], None]]],
        size: Callable[[Shape], int],
    ) -> None:
        self.recorder = make_recorder(device)
        self.recorded: dict[Shape, tuple[Room, Recording]] = {}
        self.seen: set[Shape] = set()
        self._make = make
        self._size = size

    def do(self, shape: Shape, fill: Callable[[Room], None], totals: Tensor) -> None:
        """Do the work.

        Args:
            fill: writes the input; not called where the work cannot be recorded.
            totals: what the work adds to; as it was when it breaks off.
        """
        room, work = self._prepare(shape)
        fill(room)
        counted = totals if shape in self.recorded else totals.clone()
        try:
            work()
        except (MemoryError, RuntimeError):
            totals.copy_(counted)
            raise
        self.seen.add(shape)

    def _prepare(self, shape: Shape) -> tuple[Room, Callable[[], None]]:
        if shape not in self.seen:
            return self._make(shape)
        # All that may come again, the largest first: the smaller ones then find room in what it has freed.
        for each in sorted(self.seen - self.recorded.keys(), key=self._size, reverse=True):
            room, work = self._make(each)
            self.recorded[each] = room, self.recorder.record(work)
        room, recording = self.recorded[shape]
        return room, recording.replay


def make_recorder(device: str) -> Recorder:
    """Graphs on a CUDA GPU, the stand-in elsewhere."""
    return GraphRecorder() if device == "cuda" else EagerRecorder()
