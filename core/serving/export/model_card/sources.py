"""What a card is written from beside settings and scores: the model's origin, and a look at its texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.base.errors import UserError
from core.data.quality import languages
from core.data.storage.datasets import Dataset, load_splits

SAMPLED_TEXTS = 400
"""Training texts, evenly spread, whose language is looked at."""


@dataclass(frozen=True)
class Origin:
    """What is known about a model beside its data set, settings and scores."""

    hub_id: str | None = None
    """Of the pre-trained model, where it is one of the hub."""
    baseline: Mapping[str, Any] | None = None
    """Of a simple classifier on the test texts: name and accuracy."""
    weights_sha256: str | None = None
    files: tuple[str, ...] = ()
    """What lies beside the card, as paths with `/`, for the lines on how to use it."""


@dataclass(frozen=True)
class Seen:
    """What a look at the training texts tells."""

    languages: Counter[str] = field(default_factory=Counter)
    """Code of ISO 639 → texts of the sample that are surely in it."""
    sampled: int = 0
    longest: int = 0
    """Characters."""


def look_at(dataset: Dataset) -> Seen | None:
    """The languages and the longest of the training texts; None when the texts are gone or damaged."""
    try:
        texts = load_splits(dataset.folder).train.texts
    except UserError:
        return None
    sample = texts[:: max(1, len(texts) // SAMPLED_TEXTS)][:SAMPLED_TEXTS]
    codes = Counter(code for code in languages.detect(sample) if code and languages.is_code(code))
    return Seen(codes, len(sample), max(map(len, texts), default=0))
