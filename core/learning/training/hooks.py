"""What a training is told and tells while it runs: two plain callables. Standard library only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]
"""One thing that happened, ready for JSON; "type" says what."""


@dataclass(frozen=True)
class Hooks:
    """How a training speaks with whoever started it."""

    report: Callable[[Event], None]
    """Receives one event at a time."""
    should_stop: Callable[[], bool]
    """Asked before every step; True ends the training, and the best weights so far are kept. Asked between
    two batches of an evaluation, too, which it does not end: whoever asked knows that it was heard."""
