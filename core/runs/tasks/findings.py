"""What the findings of each kind of data check must hold, to be shown; there may be more."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import MinLen, Predicate

from core.base.json_forms import Count, Share, conforms


def are_sound(findings: dict[str, Any], kind: str) -> bool:
    """Whether a file's findings have their form, and can be shown: JSON can spell half of a character."""
    try:
        json.dumps(findings, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return conforms(findings, _FORMS[kind])


@dataclass
class _Scores:
    accuracy: Share
    macro_f1: Share


@dataclass
class _ScoresByClassifier:
    tfidf: _Scores
    embeddings: _Scores
    average: _Scores
    majority: _Scores


@dataclass
class _Baselines:
    scores: Annotated[dict[str, _ScoresByClassifier], Predicate(lambda splits: "all" in splits)]
    best: Literal["tfidf", "embeddings", "average"]
    texts: Count
    judged: Count
    folds: Count
    suspects: Count


@dataclass
class _Trained:
    run: str
    number: Count
    judged: Count
    suspects: Count


@dataclass
class _Point:
    texts: Count
    share: Share
    macro_f1: Share
    scores: list[Share]


@dataclass
class _Curve:
    points: Annotated[list[_Point], MinLen(1)]
    verdict: str


_FORMS = {"baselines": _Baselines, "trained": _Trained, "curve": _Curve}
