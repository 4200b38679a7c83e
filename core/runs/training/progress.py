"""How far a training has come, in words, and what is to be known of its texts."""

import time
from bisect import bisect_left

from core.base.formatting import count, duration, percent
from core.runs.training.events import Event, newest

STILL_SECONDS = 2.0
"""For so long the events that are drawn stay the same."""


def progress_of(events: list[Event]) -> tuple[float, str]:
    """The share of the steps that are done, 0 to 1, and where the training is, in words."""
    started, step = newest(events, "started"), newest(events, "step")
    if started is None:
        return 0.0, "Loading the model"
    total = started["total_steps"]
    if step is None:
        return 0.0, f"Step 0 of {total:,}"
    if step["step"] >= total:
        return 1.0, "Scoring the model on the validation and test texts"
    words = (
        f"Step {step['step']:,} of {total:,} · epoch {step['epoch']:.1f} of {started['epochs']} · "
        f"{duration(step['seconds_left'])} left · {step['samples_per_second']:,.0f} texts per second"
    )
    return step["step"] / total, words


def about_texts(events: list[Event]) -> list[str]:
    """How many texts were cut and how much of what is computed is padding, in sentences."""
    started = newest(events, "started")
    if started is None:
        return []
    said = []
    if started["truncated"]:
        said.append(
            f"{count(started['truncated'], 'training text')} of {started['train_texts']:,} "
            "are longer than the max length and were cut."
        )
    found = [started.get(name) for name in ("padding", "padding_to_longest")]
    shares = [share for share in found if isinstance(share, float)]
    if len(shares) == 2:
        said.append(
            f"Texts of like length share a batch: {percent(shares[0], 0)} of what is computed is "
            f"padding, instead of {percent(shares[1], 0)} with all texts padded to the "
            "longest."
        )
    return said


def settled(events: list[Event]) -> list[Event]:
    """The events but for those of the last moment: so long no chart changes.

    Whenever each of those who watch looks, they see the same events, and the charts are drawn once for all.
    """
    until = time.time() // STILL_SECONDS * STILL_SECONDS
    # A clock that was set back makes all of them events of the future.
    return events[: bisect_left(events, until, key=lambda event: event["time"])] or events
