"""What is wrong with the data, or may be, in words for people.

The checks are in a file each for what they look at: `label_checks`, `duplicate_checks`, `text_checks`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.base.formatting import shorten
from core.data.labels import LabeledTexts
from core.data.quality import duplicate_checks, label_checks, text_checks
from core.data.quality.findings import Check, Facts, Finding, Offer, Tokens
from core.data.splits import Splits
from core.data.tables import RejectedRow, Table

__all__ = ["Finding", "Offer", "Tokens", "find_leaks", "find_problems", "length_histogram", "profile_columns"]

BINS = 30
UNKNOWN_TOKENS = Tokens()

ERRORS: tuple[Check, ...] = (
    label_checks.no_texts,
    label_checks.one_class,
    label_checks.labels_are_ids,
    label_checks.measurements,
    label_checks.too_many_classes,
)
"""The first that applies is the finding: what the labels look like says nothing once they are no classes."""

WARNINGS: tuple[Check, ...] = (
    label_checks.rows_left_out,
    label_checks.similar_labels,
    duplicate_checks.conflicts,
    label_checks.few_rows,
    label_checks.few_examples,
    label_checks.many_classes,
    label_checks.decimal_labels,
    label_checks.whole_numbers,
    label_checks.imbalance,
    text_checks.other_languages,
    text_checks.personal_data,
    duplicate_checks.near_repeated,
    duplicate_checks.repeated,
    text_checks.long_texts,
    text_checks.html,
    text_checks.only_links,
    text_checks.markdown,
    text_checks.one_word,
)
"""By how much they matter: what makes the model learn something wrong, what it cannot learn from, what may
harm people, what flatters the scores, what costs."""


def profile_columns(table: Table) -> pd.DataFrame:
    """One row per column: `column`, `filled` (share of rows, 0 to 1), `distinct` (values), `example`."""
    rows = []
    for name in table.frame.columns:
        values = table.frame[name]
        filled = values[values.str.strip() != ""]
        rows.append(
            {
                "column": name,
                "filled": len(filled) / max(len(values), 1),
                "distinct": int(filled.nunique()),
                "example": shorten(filled.iloc[0], 200) if len(filled) else "",
            }
        )
    return pd.DataFrame(rows, columns=["column", "filled", "distinct", "example"])


def length_histogram(texts: list[str]) -> pd.DataFrame:
    """Number of texts by length in words: `words_from`, `words_to` (both included), `texts`; equal ranges."""
    words = np.array([len(text.split()) for text in texts], dtype=np.int64)
    longest = int(words.max(initial=0))
    widths = (step * 10**power for power in range(18) for step in (1, 2, 5))
    width = next(width for width in widths if longest < BINS * width)
    bins = longest // width + 1 if len(words) else 0
    starts = np.arange(bins, dtype=np.int64) * width
    counts = np.bincount(words // width, minlength=bins)
    return pd.DataFrame({"words_from": starts, "words_to": starts + width - 1, "texts": counts})


def find_problems(
    labeled: LabeledTexts, rejected: list[RejectedRow], tokens: Tokens = UNKNOWN_TOKENS
) -> list[Finding]:
    """Everything that is wrong or doubtful with these texts, errors first, then by how much it matters.

    Args:
        rejected: the rows of the same file that are not among the texts.
        tokens: how the texts become tokens in training.
    """
    facts = Facts(labeled, rejected, tokens)
    errors = _all(facts, ERRORS[:1]) or _all(facts, ERRORS[1:])[:1]
    return errors + _all(facts, (label_checks.rows_left_out,) if errors else WARNINGS)


def find_leaks(splits: Splits) -> list[Finding]:
    """What training has in common with validation and test."""
    finding = duplicate_checks.leaks(splits)
    return [finding] if finding else []


def _all(facts: Facts, checks: Sequence[Check]) -> list[Finding]:
    return [finding for check in checks if (finding := check(facts))]
