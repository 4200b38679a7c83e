"""A finding: one problem of the data, in words for people, and what a click can do about it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from core.base.formatting import count, shorten
from core.data.labels import NUMBER, LabeledTexts
from core.data.quality import duplicates
from core.data.quality.fixes import AppliedFix, Fix
from core.data.reading.text.records import RejectedRow

EXAMPLES = 5


@dataclass(frozen=True)
class Offer:
    """A fix that a finding offers: what its button says, and how many rows it changes or leaves out.

    `rows` is None where it changes none; `at_least` says that not every row was looked at.
    """

    words: str
    fix: Fix
    rows: int | None = None
    at_least: bool = False

    @property
    def button(self) -> str:
        """The words on its button."""
        if self.rows is None:
            return self.words
        return f"{self.words}: {count(self.rows, 'row')}{' or more' if self.at_least else ''}"


@dataclass(frozen=True)
class Finding:
    """One problem of the data: an "error" stops the training, a "warning" does not.

    `count` is the number of rows (for classes: of classes) that it concerns.
    """

    severity: str
    title: str
    expected: str
    found: str
    remedy: str
    count: int
    examples: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()


def is_answered(finding: Finding, fixes: Sequence[Fix]) -> bool:
    """Whether one of these fixes answers it, unless a later one brought more of it to light."""
    return any(
        offer.fix in fixes and (offer.rows is None or offer.fix == fixes[-1]) for offer in finding.offers
    )


def applied_in_words(fixes: Sequence[Fix], done: Sequence[AppliedFix]) -> str:
    """How many fixes there are and, where that is known, what all of them together did; Markdown."""
    changed, left_out = (sum(getattr(one, what) for one in done) for what in ("changed", "left_out"))
    did = f": {count(changed, 'row')} changed, {left_out:,} left out" if done else ""
    return f"**{count(len(fixes), 'fix', 'fixes')} applied**{did}."


@dataclass(frozen=True)
class Tokens:
    """How texts become tokens in training: how many each has, special ones included, and how many are read.

    `count` is None where no tokenizer is at hand: tokens are then estimated from words.
    """

    max_length: int = 128
    count: Callable[[Sequence[str]], Sequence[int]] | None = None


class Facts:
    """What the checks look at, each computed once."""

    def __init__(self, labeled: LabeledTexts, rejected: list[RejectedRow], tokens: Tokens) -> None:
        self.labeled = labeled
        self.rejected = rejected
        self.tokens = tokens
        counts = labeled.class_counts()
        self.counts = {label: number for label, number in counts.items() if number}

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.labeled)

    @cached_property
    def labels(self) -> np.ndarray:
        """The number of each row's label."""
        return np.array(self.labeled.labels, dtype=np.int64)

    @cached_property
    def codes(self) -> np.ndarray:
        """The number of each row's text; case and white space make no other text."""
        return duplicates.text_codes(self.labeled.texts)

    @cached_property
    def decimals(self) -> list[str]:
        """The labels if all are numbers and some have decimals, else nothing."""
        numbers = all(NUMBER.fullmatch(label) for label in self.counts)
        return list(self.counts) if numbers and any("." in n or "," in n for n in self.counts) else []

    def sample(self, most: int) -> np.ndarray:
        """Rows to look at where all would take too long: spread evenly over the data."""
        if self.rows <= most:
            return np.arange(self.rows)
        return np.linspace(0, self.rows - 1, most).astype(np.int64)

    def examples(self, rows: Iterable[int], show: Callable[[str], str] = str) -> tuple[str, ...]:
        """A few of these texts, each once, short enough to show."""
        texts = dict.fromkeys(show(self.labeled.texts[row]).strip() for row in islice(rows, 100))
        return tuple(shorten(text, 200) for text in islice(texts, EXAMPLES))

    def among(self, looked_at: int) -> str:
        """What was looked at, as the end of a sentence, where that was not everything."""
        return "" if looked_at >= self.rows else f", among {looked_at:,} of {self.rows:,} texts looked at"


Check = Callable[[Facts], Finding | None]


def some(labels: Iterable[str]) -> tuple[str, ...]:
    """A few labels, short enough to show."""
    return tuple(shorten(label) for label in islice(labels, EXAMPLES))
