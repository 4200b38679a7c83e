"""The sound part of a report.json, which another version may have written, or a bad disk damaged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

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
    else is there has the form in which this version writes it. `intervals` and `calibrated` hold their sound
    parts, and are not there without any.
    """
    if not isinstance(content, dict):
        return None
    scores = {split: _sound_scores(content.get(split)) for split in SPLITS}
    facts = {name: value for name, value in content.items() if name not in SPLITS and _is_fact(name, value)}
    return {**facts, **scores} if facts or any(scores.values()) else None


def _is_fact(name: str, value: object) -> bool:
    if name in _WORDS:
        return isinstance(value, str)
    if name in _NUMBERS:
        return _is_number(value)
    if name == "calibration":
        return value is None or _is_fit(value)
    return name != "collapsed" or value is None or _is_collapse(value)


def _is_fit(value: object) -> bool:
    """Whether it is a temperature and where it comes from."""
    return (
        isinstance(value, dict)
        and _is_number(value.get("temperature"))
        and value["temperature"] > 0
        and _is_number(value.get("texts"))
        and all(value.get(name) is None or isinstance(value[name], str) for name in ("fitted_on", "reason"))
    )


def _is_collapse(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("label"), str) and _is_share(value.get("share"))


def _sound_scores(content: object) -> dict[str, Any] | None:
    if not isinstance(content, dict) or not all(_is_share(content.get(name)) for name in SHARES):
        return None
    classes, confusion = content.get("per_class"), content.get("confusion")
    if not _are_classes(classes):
        classes = None
    parts = {name: _sound_part(content.get(name), check) for name, check in _PARTS.items()}
    scores = {
        name: value
        for name, value in content.items()
        if (name not in _SCORES or _SCORES[name](value))
        and name not in parts
        and not (name == "per_class" and classes is None)
        and not (name == "confusion" and not (classes and _is_matrix(confusion, len(classes))))
    }
    return scores | {name: part for name, part in parts.items() if part}


def _sound_part(content: object, check: Callable[[str, object], bool]) -> dict[str, Any]:
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if name in _SCORES and check(name, value)}


def _is_interval(name: str, value: object) -> bool:
    """Whether it is [low, high] of this score."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(end is not None and _SCORES[name](end) for end in value)
        and value[0] <= value[1]
    )


def _is_score(name: str, value: object) -> bool:
    return value is not None and _SCORES[name](value)


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


def _is_number(value: object) -> TypeGuard[float]:
    return (type(value) is int or type(value) is float) and 0 <= value < 1e15 and math.isfinite(value)


def _is_correlation(value: object) -> bool:
    return (type(value) is int or type(value) is float) and -1 <= value <= 1


def _is_share_or_none(value: object) -> bool:
    return value is None or _is_share(value)


_SCORES: dict[str, Callable[[object], bool]] = {
    "texts": _is_number,
    "loss": _is_number,
    "brier": _is_number,
    "mcc": _is_correlation,
    "auroc": _is_share_or_none,
    **dict.fromkeys(
        (
            *SHARES,
            "majority_accuracy",
            "balanced_accuracy",
            "macro_precision",
            "macro_recall",
            "weighted_f1",
            "ece",
        ),
        _is_share,
    ),
}
"""What a score must be; whatever is not named here is left as it is."""

_PARTS = {"intervals": _is_interval, "calibrated": _is_score}
"""Tables of scores among the scores, each of which is dropped alone."""
