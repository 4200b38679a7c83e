"""The sound part of a report.json, which another version may have written, or a bad disk damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt, MinLen

from core.base.json_forms import Amount, Count, Share, sound_items

SPLITS = ("validation", "test")
SHARES = ("accuracy", "macro_f1")
"""Without these, scores are none."""


@dataclass
class _Fit:
    """A temperature and where it comes from."""

    temperature: Annotated[float, Gt(0), Lt(1e15)]
    texts: Amount
    fitted_on: str | None = None
    reason: str | None = None


@dataclass
class _Collapse:
    label: str
    share: Share


@dataclass
class _Facts:
    device: str
    precision: str
    hardware_reason: str
    steps: Amount
    best_step: Amount
    truncated: Amount
    train_seconds: Amount
    total_seconds: Amount
    samples_per_second: Amount
    tokens_per_second: Amount
    peak_memory_bytes: Amount
    calibration: _Fit | None
    collapsed: _Collapse | None


@dataclass
class _Class:
    label: str
    precision: Amount
    recall: Amount
    f1: Amount
    support: Amount


@dataclass
class _Score:
    """What a score must be."""

    texts: Amount
    loss: Amount
    brier: Amount
    mcc: Annotated[float, Ge(-1), Le(1)]
    auroc: Share | None
    accuracy: Share
    macro_f1: Share
    majority_accuracy: Share
    balanced_accuracy: Share
    macro_precision: Share
    macro_recall: Share
    weighted_f1: Share
    ece: Share


@dataclass
class _Scores(_Score):
    per_class: Annotated[list[_Class], MinLen(1)]
    confusion: list[list[Count]]


_NAMES = {field.name for field in fields(_Score)}


def sound_report(content: object) -> dict[str, Any] | None:
    """The report without the parts that nobody could show; None when nothing of it is left.

    It always has `validation` and `test`: scores, or None. Scores have `accuracy` and `macro_f1`; whatever
    else is there has the form in which this version writes it. `intervals` and `calibrated` hold their sound
    parts, and are not there without any.
    """
    if not isinstance(content, dict):
        return None
    scores = {split: _sound_scores(content.get(split)) for split in SPLITS}
    facts = {name: value for name, value in sound_items(content, _Facts).items() if name not in SPLITS}
    return {**facts, **scores} if facts or any(scores.values()) else None


def _sound_scores(content: object) -> dict[str, Any] | None:
    scores = sound_items(content, _Scores)
    if not scores.keys() >= set(SHARES):
        return None
    if "confusion" in scores and not _is_square(scores["confusion"], len(scores.get("per_class", ()))):
        del scores["confusion"]
    parts = {name: sound(scores.pop(name, None)) for name, sound in _PARTS.items()}
    return scores | {name: part for name, part in parts.items() if part}


def _is_square(rows: list[list[int]], side: int) -> bool:
    """Whether there are a row and a column per class."""
    return side > 0 and len(rows) == side and all(len(row) == side for row in rows)


def _single_scores(content: object) -> dict[str, Any]:
    found = sound_items(content, _Score)
    return {name: value for name, value in found.items() if name in _NAMES and value is not None}


def _sound_intervals(content: object) -> dict[str, Any]:
    """Those that are [low, high] of a score."""
    found = content if isinstance(content, dict) else {}
    pairs = {name: value for name, value in found.items() if isinstance(value, list) and len(value) == 2}
    lows, highs = (_single_scores({name: pair[end] for name, pair in pairs.items()}) for end in (0, 1))
    return {
        name: pairs[name] for name in pairs if name in lows and name in highs and lows[name] <= highs[name]
    }


_PARTS: dict[str, Callable[[object], dict[str, Any]]] = {
    "intervals": _sound_intervals,
    "calibrated": _single_scores,
}
"""Tables of scores among the scores, each of which is dropped alone."""
