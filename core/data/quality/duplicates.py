"""Which rows say the same as others: repeated, nearly repeated, contradicting, shared between parts.

Rows are positions. A "code" is the number of a text: equal codes, equal texts but for case and white space.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from core.data.labels import normal_text
from core.data.quality.near_duplicates import letters, near_pairs, numbered

MOST_CHARACTERS = 40_000_000
"""Nearly equal texts are looked for among the first texts that have together at most this many characters."""


def text_codes(texts: Sequence[str]) -> np.ndarray:
    """The code of every text, int64, numbered by first appearance."""
    return numbered(map(normal_text, texts))


def first_rows(codes: np.ndarray) -> np.ndarray:
    """For every row the first one with the same code."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return first[inverse]


def repeated_rows(codes: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Rows with the text and the label of an earlier row, and the first such row of each."""
    first = first_rows(codes * (labels.max(initial=0) + 1) + labels)
    repeated = np.flatnonzero(first != np.arange(len(first)))
    return dict(zip(repeated.tolist(), first[repeated].tolist(), strict=True))


def conflicting_rows(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rows whose text has another label elsewhere."""
    classes = labels.max(initial=0) + 1
    distinct = np.unique(codes * classes + labels) // classes
    return np.flatnonzero(np.isin(codes, distinct[1:][distinct[1:] == distinct[:-1]]))


def minority_rows(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the conflicting rows those without the most frequent label of their text; where it is a tie, all."""
    rows = conflicting_rows(codes, labels)
    if not len(rows):
        return rows
    classes = labels.max() + 1
    # The different pairs of text and label, in the order of the texts.
    pairs, of_row, times = np.unique(
        codes[rows] * classes + labels[rows], return_inverse=True, return_counts=True
    )
    first = np.flatnonzero(np.diff(pairs // classes, prepend=-1))
    text = np.repeat(np.arange(len(first)), np.diff(first, append=len(pairs)))
    wins = times == np.maximum.reduceat(times, first)[text]
    decided = np.add.reduceat(wins, first, dtype=np.int64) == 1
    return rows[~(wins & decided[text])[of_row]]


def near_repeated_rows(texts: Sequence[str], codes: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Rows whose text is nearly that of an earlier row with the same label, and that row; equal ones are not.

    Each is near to a row that is not among them, so that leaving them all out loses nothing of its own.
    """
    firsts = compared(texts, codes)
    pairs = firsts[near_pairs([letters(texts[i]) for i in firsts])]
    nearest: dict[int, int] = {}
    for later, earlier in pairs.tolist():
        if labels[later] == labels[earlier] and later not in nearest and earlier not in nearest:
            nearest[later] = earlier
    by_code = {int(codes[later]): earlier for later, earlier in nearest.items()}
    rows = np.flatnonzero(np.isin(codes, list(by_code)))
    near = {int(row): by_code[int(codes[row])] for row in rows}
    return {row: earlier for row, earlier in near.items() if labels[row] == labels[earlier]}


def compared(texts: Sequence[str], codes: np.ndarray) -> np.ndarray:
    """First rows of the texts among which nearly equal ones are looked for."""
    firsts = np.unique(first_rows(codes))
    sizes = accumulate(len(texts[i]) for i in firsts)
    return firsts[: sum(1 for size in sizes if size <= MOST_CHARACTERS)]


def comparable(texts: Sequence[str], others: Sequence[str]) -> int:
    """How many of the texts, from the first, are compared with the others."""
    left = MOST_CHARACTERS - sum(map(len, others))
    return sum(1 for size in accumulate(map(len, texts)) if size <= left)


def shared_rows(texts: Sequence[str], others: Sequence[str]) -> dict[int, int]:
    """Rows of `texts` that are nearly one of `others`, and its position there."""
    # The others first: then every text of a group of like ones is paired with one of them.
    both = [letters(text) for text in (*others, *texts[: comparable(texts, others)])]
    pairs = near_pairs(both)
    across = pairs[(pairs[:, 0] >= len(others)) & (pairs[:, 1] < len(others))]
    return {later - len(others): earlier for later, earlier in reversed(across.tolist())}
