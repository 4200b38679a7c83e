"""What the findings of each kind of data check must hold, to be shown; there may be more."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**53)]


def are_sound(findings: dict[str, Any], kind: str) -> bool:
    """Whether a file's findings have their form, and can be shown: JSON can spell half of a character."""
    try:
        _FORMS[kind].model_validate(findings, strict=True)
        json.dumps(findings, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


class _Scores(BaseModel):
    accuracy: Share
    macro_f1: Share


class _ScoresByClassifier(BaseModel):
    tfidf: _Scores
    embeddings: _Scores
    average: _Scores
    majority: _Scores


class _ScoresBySplit(BaseModel, extra="allow"):
    all: _ScoresByClassifier
    __pydantic_extra__: dict[str, _ScoresByClassifier] = Field(init=False)


class _Baselines(BaseModel):
    scores: _ScoresBySplit
    best: Literal["tfidf", "embeddings", "average"]
    texts: Count
    judged: Count
    folds: Count
    suspects: Count


class _Trained(BaseModel):
    run: str
    number: Count
    judged: Count
    suspects: Count


class _Point(BaseModel):
    texts: Count
    share: Share
    macro_f1: Share
    scores: list[Share]


class _Curve(BaseModel):
    points: list[_Point] = Field(min_length=1)
    verdict: str


_FORMS: dict[str, type[BaseModel]] = {"baselines": _Baselines, "trained": _Trained, "curve": _Curve}
