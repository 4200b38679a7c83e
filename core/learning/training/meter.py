"""Speed and time left of a training."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.learning.training.hooks import Event

REPORT_SECONDS = 0.5
"""Shortest time between two step events."""


class Meter:
    """Counts steps, texts and tokens, and tells the speed and the time left."""

    _COUNTS = ("steps", "samples", "tokens", "evaluations", "train_seconds", "evaluation_seconds")

    def __init__(self, total_steps: int, total_evaluations: int) -> None:
        self.total_steps = total_steps
        self.total_evaluations = total_evaluations
        self.steps = self.samples = self.tokens = self.evaluations = 0
        self.train_seconds = self.evaluation_seconds = self.seconds_before = 0.0
        self._began = time.perf_counter()
        self._reported_at = -math.inf
        self._reported = (0, 0, 0, 0.0)

    def values(self) -> dict[str, Any]:
        """What a snapshot keeps."""
        seconds = self.seconds_before + time.perf_counter() - self._began
        counts = {name: getattr(self, name) for name in self._COUNTS}
        return counts | {"seconds": seconds, "reported": self._reported}

    def load_values(self, values: dict[str, Any]) -> None:
        """Go on from what `values` gave."""
        for name in self._COUNTS:
            setattr(self, name, values[name])
        # Snapshots of earlier versions do not have it.
        self.seconds_before = values.get("seconds", self.train_seconds + self.evaluation_seconds)
        self._reported = tuple(values["reported"])

    def report_due(self) -> bool:
        return time.perf_counter() - self._reported_at >= REPORT_SECONDS

    def count(self, seconds: float, samples: int, tokens: int) -> None:
        self.steps += 1
        self.samples += samples
        self.tokens += tokens
        self.train_seconds += seconds

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.evaluations += 1
        self.evaluation_seconds += time.perf_counter() - started

    def step_event(self, epoch: float, loss_sum: float, correct: float, learning_rate: float) -> Event:
        """The means since the last event of this kind."""
        now = (self.steps, self.samples, self.tokens, self.train_seconds)
        steps, samples, tokens, seconds = (a - b for a, b in zip(now, self._reported, strict=True))
        self._reported, self._reported_at = now, time.perf_counter()
        return {
            "type": "step",
            "step": self.steps,
            "epoch": epoch,
            "loss": loss_sum / steps,
            "accuracy": correct / samples,
            "learning_rate": learning_rate,
            "samples_per_second": samples / seconds,
            "tokens_per_second": tokens / seconds,
            "seconds_left": self._seconds_left(),
        }

    def _seconds_left(self) -> float:
        left = (self.total_steps - self.steps) * self.train_seconds / self.steps
        if self.evaluations:
            left += (self.total_evaluations - self.evaluations) * self.evaluation_seconds / self.evaluations
        return left
