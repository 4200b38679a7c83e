"""What is wrong with the data, or may be, in words for people."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import pandas as pd

from core.data.labels import NUMBER, LabeledTexts, normal_text
from core.data.tables import RejectedRow, Table
from core.words import count, percent, shorten

EXAMPLES = 5
LONG_TEXT_WORDS = 400
FEW_ROWS = 50
FEW_EXAMPLES = 5
IMBALANCE = 20
MANY_CLASSES = 100
MOST_CLASSES = 1_000
# From here on, as many labels as half of the rows are names of rows rather than classes.
ID_CLASSES = 50
# A measurement has more values than a scale of marks or stars.
MOST_DECIMAL_VALUES = 20
MANY_REJECTED = 0.05
BINS = 30


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


def find_problems(labeled: LabeledTexts, rejected: list[RejectedRow]) -> list[Finding]:
    """Everything that is wrong or doubtful with these texts, errors first.

    `rejected` are the rows of the same file that are not among the texts.
    """
    facts = _Facts(labeled, rejected)
    errors = _first(facts, (_no_texts, _one_class, _labels_are_ids, _measurements, _too_many_classes))
    if errors:
        # What the labels look like says nothing more once they are no classes.
        return errors + _all(facts, (_many_rejected,))
    return _all(facts, _WARNINGS)


class _Facts:
    """What the checks look at, each computed once."""

    def __init__(self, labeled: LabeledTexts, rejected: list[RejectedRow]) -> None:
        self.labeled = labeled
        self.rejected = rejected
        counts = labeled.class_counts()
        self.counts = {label: number for label, number in counts.items() if number}

    @property
    def rows(self) -> int:
        return len(self.labeled)

    @cached_property
    def decimals(self) -> list[str]:
        """The labels if all are numbers and some have decimals, else nothing."""
        numbers = all(NUMBER.fullmatch(label) for label in self.counts)
        return list(self.counts) if numbers and any("." in n or "," in n for n in self.counts) else []

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Per row its label and the number of its text; case and white space make no other text."""
        codes, _ = pd.factorize(np.array([normal_text(t) for t in self.labeled.texts], dtype=object))
        return pd.DataFrame({"text": codes, "label": self.labeled.labels})

    def examples(self, rows: Iterable[int]) -> tuple[str, ...]:
        """A few of these texts, each once, short enough to show."""
        texts = dict.fromkeys(self.labeled.texts[row].strip() for row in islice(rows, 100))
        return tuple(shorten(text) for text in islice(texts, EXAMPLES))


Check = Callable[[_Facts], Finding | None]


def _first(facts: _Facts, checks: Sequence[Check]) -> list[Finding]:
    return next(([finding] for check in checks if (finding := check(facts))), [])


def _all(facts: _Facts, checks: Sequence[Check]) -> list[Finding]:
    return [finding for check in checks if (finding := check(facts))]


# Errors


def _no_texts(facts: _Facts) -> Finding | None:
    if facts.rows:
        return None
    return Finding(
        "error",
        "No texts",
        "at least one row with a text and a label",
        "none",
        "Choose the columns that hold the texts and the labels.",
        0,
    )


def _one_class(facts: _Facts) -> Finding | None:
    if len(facts.counts) > 1:
        return None
    label = next(iter(facts.counts))
    return Finding(
        "error",
        "Only one class",
        "labels of two or more classes",
        f"the label {label!r} on all {count(facts.rows, 'row')}",
        "Choose another label column, or add rows with another label.",
        1,
        (label,),
    )


def _labels_are_ids(facts: _Facts) -> Finding | None:
    classes = len(facts.counts)
    each_its_own = classes == facts.rows and classes > 2
    if not each_its_own and not (classes > ID_CLASSES and classes > facts.rows / 2):
        return None
    return Finding(
        "error",
        "The labels look like ids",
        "labels that come back on many rows",
        f"{count(classes, 'different label')} on {count(facts.rows, 'row')}",
        "Choose the column that holds the class of each text, not one that tells the rows apart.",
        classes,
        _some(facts.counts),
    )


def _measurements(facts: _Facts) -> Finding | None:
    if len(facts.decimals) <= MOST_DECIMAL_VALUES:
        return None
    return Finding(
        "error",
        "The labels are measurements",
        "a few classes, the same ones on many rows",
        f"{count(len(facts.decimals), 'different number')} with decimals",
        "Choose another label column, or put the numbers into a few ranges first: low, medium, high.",
        len(facts.decimals),
        _some(facts.decimals),
    )


def _too_many_classes(facts: _Facts) -> Finding | None:
    if len(facts.counts) <= MOST_CLASSES:
        return None
    return Finding(
        "error",
        "Too many classes",
        f"at most {MOST_CLASSES:,} classes",
        f"{len(facts.counts):,} classes on {count(facts.rows, 'row')}",
        "Choose another label column, or join classes that belong together.",
        len(facts.counts),
        _some(facts.counts),
    )


# Warnings


def _many_rejected(facts: _Facts) -> Finding | None:
    total = facts.rows + len(facts.rejected)
    if len(facts.rejected) <= MANY_REJECTED * total:
        return None
    reasons = Counter(row.reason for row in facts.rejected).most_common(EXAMPLES)
    return Finding(
        "warning",
        "Many rows cannot be used",
        "a text and a label on every row",
        f"{count(len(facts.rejected), 'row')} of {total:,} ({percent(len(facts.rejected) / total)}) without",
        "Look at the rows that were left out, and mend them in the file if they matter.",
        len(facts.rejected),
        tuple(f"{number:,} × {reason}" for reason, number in reasons),
    )


def _few_rows(facts: _Facts) -> Finding | None:
    if facts.rows >= FEW_ROWS:
        return None
    return Finding(
        "warning",
        "Few texts",
        f"at least {FEW_ROWS} texts",
        f"{facts.rows}",
        "Train to try it out, but do not trust the scores: a few texts decide them. Add more if you can.",
        facts.rows,
    )


def _many_classes(facts: _Facts) -> Finding | None:
    classes = len(facts.counts)
    if classes <= MANY_CLASSES:
        return None
    return Finding(
        "warning",
        "Many classes",
        f"at most about {MANY_CLASSES} classes",
        f"{classes:,} classes, {facts.rows / classes:.0f} texts in each on average",
        "Check that this is the right label column; join classes that belong together.",
        classes,
        _some(facts.counts),
    )


def _single_examples(facts: _Facts) -> Finding | None:
    rare = [label for label, number in facts.counts.items() if number < 2]
    if not rare:
        return None
    return Finding(
        "warning",
        "Classes with a single text",
        "at least two texts in every class",
        f"{count(len(rare), 'class', 'classes')} with one text",
        "Add texts to them, or remove them: they can be learned from one text, but never tested.",
        len(rare),
        _some(rare),
    )


def _few_examples(facts: _Facts) -> Finding | None:
    rare = [f"{label} ({number})" for label, number in facts.counts.items() if 2 <= number < FEW_EXAMPLES]
    if not rare:
        return None
    return Finding(
        "warning",
        "Classes with few texts",
        f"at least {FEW_EXAMPLES} texts in every class",
        f"{count(len(rare), 'class', 'classes')} with fewer",
        "Add texts to them, or join them with a class that is close.",
        len(rare),
        _some(rare),
    )


def _imbalance(facts: _Facts) -> Finding | None:
    largest, smallest = (pick(facts.counts, key=facts.counts.__getitem__) for pick in (max, min))
    if facts.counts[largest] < IMBALANCE * facts.counts[smallest]:
        return None
    return Finding(
        "warning",
        "Very uneven classes",
        f"no class more than {IMBALANCE} times as large as another",
        f"{facts.counts[largest]:,} texts of {shorten(largest, 40)!r}, "
        f"{facts.counts[smallest]:,} of {shorten(smallest, 40)!r}",
        "Look at the macro F1 rather than the accuracy, and weigh rare classes more (Advanced settings).",
        2,
        (shorten(largest), shorten(smallest)),
    )


def _decimal_labels(facts: _Facts) -> Finding | None:
    if not facts.decimals:
        return None
    return Finding(
        "warning",
        "The labels are numbers with decimals",
        "names of classes",
        f"{count(len(facts.decimals), 'different number')} with decimals",
        "Go on if each number stands for a class. The model will not know that 4.5 is close to 5.",
        len(facts.decimals),
        _some(facts.decimals),
    )


def _similar_labels(facts: _Facts) -> Finding | None:
    names: dict[str, list[str]] = defaultdict(list)
    for label in facts.counts:
        names[normal_text(unicodedata.normalize("NFKC", label))].append(label)
    alike = [group for group in names.values() if len(group) > 1]
    if not alike:
        return None
    return Finding(
        "warning",
        "Labels that differ only in how they are written",
        "one way to write each label",
        f"{count(len(alike), 'label')} written in two or more ways",
        "Write them alike in the file (capital letters, spaces), unless they are different classes.",
        sum(map(len, alike)),
        tuple(
            ", ".join(f"{name!r} ({facts.counts[name]:,})" for name in group) for group in alike[:EXAMPLES]
        ),
    )


def _duplicates(facts: _Facts) -> Finding | None:
    repeated = facts.pairs.duplicated()
    if not repeated.any():
        return None
    return Finding(
        "warning",
        "Repeated texts",
        "every text once",
        f"{count(int(repeated.sum()), 'row')} with a text and label that an earlier row has",
        "Nothing needs to be done: equal texts always go to the same part of the split. "
        "Remove them if they are mistakes.",
        int(repeated.sum()),
        facts.examples(np.flatnonzero(repeated)),
    )


def _conflicts(facts: _Facts) -> Finding | None:
    distinct = facts.pairs.drop_duplicates()
    texts = distinct["text"][distinct["text"].duplicated()].unique()
    if not len(texts):
        return None
    rows = np.flatnonzero(facts.pairs["text"].isin(texts))
    first = facts.pairs["text"].iloc[rows].drop_duplicates().index
    return Finding(
        "warning",
        "The same text with different labels",
        "one label for each text",
        f"{count(len(texts), 'text')} with two or more labels, on {count(len(rows), 'row')}",
        "Decide for one label in the file. Until then these texts are only trained on, never tested.",
        len(rows),
        facts.examples(first),
    )


def _long_texts(facts: _Facts) -> Finding | None:
    rows = [i for i, text in enumerate(facts.labeled.texts) if _is_long(text)]
    if not rows:
        return None
    return Finding(
        "warning",
        "Long texts",
        f"texts of at most about {LONG_TEXT_WORDS} words",
        f"{count(len(rows), 'text')} longer than that ({percent(len(rows) / facts.rows)})",
        "The model reads only their beginning, up to the max length. Shorten them if the end matters.",
        len(rows),
        facts.examples(rows),
    )


def _is_long(text: str) -> bool:
    return len(text) > 2 * LONG_TEXT_WORDS and len(text.split(None, LONG_TEXT_WORDS)) > LONG_TEXT_WORDS


_WARNINGS: tuple[Check, ...] = (
    _many_rejected,
    _few_rows,
    _single_examples,
    _few_examples,
    _many_classes,
    _decimal_labels,
    _similar_labels,
    _conflicts,
    _duplicates,
    _imbalance,
    _long_texts,
)


def _some(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(shorten(label) for label in list(labels)[:EXAMPLES])
