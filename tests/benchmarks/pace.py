"""When a stack works and when it waits: the one seam between a stack's loop and the measurement."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

WARM_UP_SECONDS = 1.5


class Pace(Protocol):
    """Told by a stack's loop about every optimizer step."""

    def begin(self) -> None:
        """Everything is loaded and the first step comes next."""

    def step_done(self, texts: int, tokens: int) -> bool:
        """Count a step with its texts and real tokens. Returns whether to go on."""


class Orders:
    """The pipe to the process that measures: one JSON object a line, in both directions.

    What libraries print goes to standard error instead.
    """

    def __init__(self) -> None:
        self._replies: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def reply(self, **values: Any) -> None:
        """Send an answer."""
        self._replies.write(json.dumps(values) + "\n")
        self._replies.flush()

    def wait(self) -> dict[str, Any]:
        """The next order; an end when nobody is there any more to give one."""
        line = sys.stdin.readline()
        return json.loads(line) if line else {"seconds": 0}


class BlockPace:
    """Works for as long as ordered, then waits for the next order, in the middle of one training.

    The first step of a block is not timed: it brings weights and code back into the caches. The first block
    of all is the warm-up.
    """

    def __init__(self, orders: Orders, wait_for_device: Callable[[], None]) -> None:
        self._orders = orders
        self._wait_for_device = wait_for_device
        self._wanted = WARM_UP_SECONDS
        self._reset()

    def begin(self) -> None:
        self._reset()

    def step_done(self, texts: int, tokens: int) -> bool:
        if self._started is None:
            self._wait_for_device()
            self._started = time.perf_counter()
            return True
        self._steps += 1
        self._texts += texts
        self._tokens += tokens
        if time.perf_counter() - self._started < self._wanted:
            return True
        # A GPU is told of a step long before it has done it.
        self._wait_for_device()
        seconds = time.perf_counter() - self._started
        self._orders.reply(steps=self._steps, texts=self._texts, tokens=self._tokens, seconds=seconds)
        self._wanted = self._orders.wait()["seconds"]
        self._reset()
        return self._wanted > 0

    def _reset(self) -> None:
        self._started: float | None = None
        self._steps = self._texts = self._tokens = 0


class WholePace:
    """Never waits; counts the seconds of one whole training."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def begin(self) -> None:
        self._started = time.perf_counter()

    def step_done(self, texts: int, tokens: int) -> bool:
        self.seconds = time.perf_counter() - self._started
        return True


def peak_memory(device: str) -> float:
    """Most memory this process ever held, of the GPU's where it works there, in MiB."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_reserved() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
