"""Texts that are nearly the same: MinHash of character shingles, and locality-sensitive hashing.

Broder, "On the resemblance and containment of documents" (1997); banding as in Leskovec, Rajaraman and
Ullman, "Mining of Massive Datasets", chapter 3. Written with numpy, over all texts at once: no library
is as fast, since each takes its shingles as Python objects, a hundred for each text.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np

SIMILARITY = 0.85
"""Jaccard similarity of two texts' shingles from which they are nearly the same."""

SHINGLE = 5
"""Characters."""

BANDS, BAND_ROWS = 8, 4
"""Of pairs with a similarity of 0.85, 99.7 % share a band: 1 - (1 - 0.85^4)^8."""

SHORTEST = 30
"""Characters; in shorter texts one word makes too much of a difference: their letters have to be equal."""

_DEVIATION = (SIMILARITY * (1 - SIMILARITY) / (BANDS * BAND_ROWS)) ** 0.5
_CHUNK_CHARACTERS = 2_000_000
_NO_LETTERS = re.compile(r"[\W_]+")


def letters(text: str) -> str:
    """The letters and digits of a text, in lower case and one Unicode form, with one space between words."""
    folded = text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return _NO_LETTERS.sub(" ", folded).strip()


def numbered(values: Iterable[str]) -> np.ndarray:
    """A number for each value, int64, from 0 by first appearance; equal ones have the same."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)


def near_pairs(texts: Sequence[str]) -> np.ndarray:
    """Pairs of texts that are nearly the same, by their letters.

    Not every pair of a group is among them, but each member is paired with the group's first one where the
    two are alike. Linear in the number of texts.

    Args:
        texts: as `letters` gives them.

    Returns:
        int64 `[pairs, 2]`: the position of the later text and of the earlier one, in the order of the later.
    """
    equal = _pairs_of(numbered(texts)[None], keep=np.array([text != "" for text in texts], dtype=bool))
    long = np.flatnonzero([len(text) >= SHORTEST for text in texts])
    pairs = [equal]
    if len(long) > 1:
        signatures = _signatures([texts[i] for i in long.tolist()])
        candidates = _pairs_of(_bands(signatures))
        agree = (signatures[candidates[:, 0]] == signatures[candidates[:, 1]]).mean(axis=1)
        # Three standard deviations of the estimate below the threshold.
        candidates = long[candidates[agree >= SIMILARITY - 3 * _DEVIATION]]
        pairs.append(candidates[list(_alike(texts, candidates))])
    return np.unique(np.concatenate(pairs), axis=0)


def _signatures(texts: list[str]) -> np.ndarray:
    """MinHash signatures, uint32 `[texts, hashes]`."""
    generator = np.random.default_rng(1)
    multipliers = generator.integers(2**31, 2**32, BANDS * BAND_ROWS, dtype=np.uint32) | np.uint32(1)
    offsets = generator.integers(0, 2**32, BANDS * BAND_ROWS, dtype=np.uint32)
    signatures = np.empty((len(texts), BANDS * BAND_ROWS), dtype=np.uint32)
    for start, end in _chunks(texts):
        hashes, edges = _shingles(texts[start:end])
        for k, (multiplier, offset) in enumerate(zip(multipliers, offsets, strict=True)):
            permuted = hashes * multiplier
            permuted += offset
            signatures[start:end, k] = np.minimum.reduceat(permuted, edges)[::2]
    return signatures


def _chunks(texts: list[str]) -> Iterator[tuple[int, int]]:
    """Ranges of texts of about the same number of characters."""
    totals = np.cumsum([len(text) for text in texts])
    cuts = np.searchsorted(totals, np.arange(_CHUNK_CHARACTERS, totals[-1], _CHUNK_CHARACTERS))
    edges = np.unique([0, *cuts, len(texts)]).tolist()
    yield from zip(edges, edges[1:], strict=False)


def _shingles(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The hash of every shingle, uint32, and where each text's begin and end, in turn."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    hashes = np.zeros(len(codes) - SHINGLE + 1, dtype=np.uint32)
    for i in range(SHINGLE):
        hashes *= np.uint32(0x01000193)
        hashes += codes[i : len(hashes) + i]
    # The finalizer of MurmurHash3: without it, like shingles have like hashes.
    for shift, multiplier in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        hashes ^= hashes >> np.uint32(shift)
        hashes *= np.uint32(multiplier)
    ends = np.cumsum([len(text) for text in texts])
    edges = np.empty(2 * len(texts), dtype=np.int64)
    edges[0::2] = np.concatenate([[0], ends[:-1]])
    # What lies between a text's last shingle and the next text's first one has letters of both.
    edges[1::2] = np.minimum(ends - SHINGLE + 1, len(hashes) - 1)
    return hashes, edges


def _bands(signatures: np.ndarray) -> np.ndarray:
    """One key per band and text, and one per two neighbouring bands, uint64 `[2 * bands, texts]`.

    Where many texts share a band without being alike, those that are share the next one too.
    """
    keys = np.zeros((BANDS, len(signatures)), dtype=np.uint64)
    for i in range(BAND_ROWS):
        keys = _mixed(keys, signatures[:, i::BAND_ROWS].T)
    return np.concatenate([keys, _mixed(keys, np.roll(keys, 1, axis=0))])


def _mixed(keys: np.ndarray, more: np.ndarray) -> np.ndarray:
    keys = keys * np.uint64(0x9E3779B97F4A7C15) + more
    return keys ^ (keys >> np.uint64(29))


def _pairs_of(keys: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray:
    """Under every row of keys, each text paired with the first and with the one before of the same key."""
    pairs = []
    for row in keys:
        order = np.argsort(row, kind="stable")
        if keep is not None:
            order = order[keep[order]]
        same = row[order[1:]] == row[order[:-1]]
        starts = np.concatenate([[True], ~same])[: len(order)]
        first = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
        later = np.flatnonzero(~starts)
        pairs.append(np.stack([order[later], first[later]], axis=1))
        pairs.append(np.stack([order[later], order[later - 1]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0).astype(np.int64).reshape(-1, 2)


def _alike(texts: Sequence[str], pairs: np.ndarray) -> Iterator[bool]:
    """Whether each of these pairs is nearly the same."""

    # Neighbouring pairs have texts in common; more than these few could take too much memory.
    @lru_cache(maxsize=4)
    def shingles(row: int) -> set[str]:
        text = texts[row]
        return {text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)}

    for later, earlier in pairs.tolist():
        one, two = shingles(later), shingles(earlier)
        shared = len(one & two)
        yield shared >= SIMILARITY * (len(one) + len(two) - shared)
