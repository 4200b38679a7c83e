"""The sound part of a report.json, which another version may have written, or a bad disk damaged."""

from __future__ import annotations

import math
from typing import Any

SPLITS = ("validation", "test")
SHARES = ("accuracy", "macro_f1")
"""Without these, scores are none."""

_WORDS = ("device", "precision", "hardware_reason")
_NUMBERS = (
    "steps",
    "best_step",
    "truncated",
    "train_seconds",
    "total_seconds",
    "samples_per_second",
    "tokens_per_second",
    "peak_memory_bytes",
)
_CLASS_NUMBERS = ("precision", "recall", "f1", "support")


def sound_report(content: object) -> dict[str, Any] | None:
    """The report without the parts that nobody could show; None when nothing of it is left.

    It always has `validation` and `test`: scores, or None. Scores have `accuracy` and `macro_f1`; whatever
    else is there has the form in which this version writes it.
    """
    if not isinstance(content, dict):
        return None
    scores = {split: _sound_scores(content.get(split)) for split in SPLITS}
    facts = {name: value for name, value in content.items() if name not in SPLITS and _is_fact(name, value)}
    return {**facts, **scores} if facts or any(scores.values()) else None


def _is_fact(name: str, value: object) -> bool:
    if name in _WORDS:
        return isinstance(value, str)
    return _is_number(value) if name in _NUMBERS else True


def _sound_scores(content: object) -> dict[str, Any] | None:
    if not isinstance(content, dict) or not all(_is_share(content.get(name)) for name in SHARES):
        return None
    classes, confusion = content.get("per_class"), content.get("confusion")
    if not _are_classes(classes):
        classes = None
    return {
        name: value
        for name, value in content.items()
        if not (name in ("loss", "texts") and not _is_number(value))
        and not (name == "majority_accuracy" and not _is_share(value))
        and not (name == "per_class" and classes is None)
        and not (name == "confusion" and not (classes and _is_matrix(confusion, len(classes))))
    }


def _are_classes(rows: object) -> bool:
    return isinstance(rows, list) and bool(rows) and all(map(_is_class, rows))


def _is_class(row: object) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("label"), str)
        and all(_is_number(row.get(name)) for name in _CLASS_NUMBERS)
    )


def _is_matrix(rows: object, side: int) -> bool:
    """Whether it is square, with a row and a column per class, and counts in all cells."""
    return (
        isinstance(rows, list)
        and len(rows) == side
        and all(isinstance(row, list) and len(row) == side and all(map(_is_count, row)) for row in rows)
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_share(value: object) -> bool:
    return _is_number(value) and value <= 1


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e15 and math.isfinite(value)
