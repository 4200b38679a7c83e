import random

import numpy as np
import pytest

from core.data.quality import duplicates, near_duplicates
from core.data.quality.near_duplicates import SHINGLE, SIMILARITY, letters, near_pairs

WORDS = [
    f"{a}{b}{c}" for a in ("ba", "do", "ke", "li") for b in ("ran", "tos", "mel") for c in ("", "dy", "ner")
]


def sentence(generator, words=20):
    return " ".join(generator.choices(WORDS, k=words))


def similarity(one, other):
    sets = [{text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)} for text in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def changed(text, generator, times):
    for _ in range(times):
        position = generator.randrange(len(text))
        text = text[:position] + generator.choice("xyz") + text[position + 1 :]
    return text


def test_the_pairs_are_those_of_all_comparisons():
    generator = random.Random(0)
    texts = [sentence(generator) for _ in range(150)]
    texts += [changed(text, generator, i % 6) for i, text in enumerate(texts)]
    found = {tuple(pair) for pair in near_pairs(texts).tolist()}
    real = {
        (i, j) for i in range(len(texts)) for j in range(i) if similarity(texts[i], texts[j]) >= SIMILARITY
    }
    assert len(real) > 60
    assert found <= real
    assert len(found) >= 0.95 * len(real)


def test_short_texts_have_to_have_equal_letters():
    texts = [
        letters(text) for text in ("Yes, please!", "yes please", "Yes, pleased", "", "...", "ﬁne", "FINE")
    ]
    assert near_pairs(texts).tolist() == [[1, 0], [6, 5]]


def test_long_groups_are_paired_with_their_first_text():
    texts = ["one and the same sentence of some length, number " + "abcdefghij"[i] for i in range(10)]
    pairs = near_pairs([letters(text) for text in texts])
    assert {later for later, earlier in pairs.tolist() if earlier == 0} == set(range(1, 10))


@pytest.mark.parametrize("texts", [[], ["a"], ["", ""], ["x" * 40], ["\ud800" * 40] * 2])
def test_few_texts_and_odd_ones_are_no_problem(texts):
    assert near_pairs(texts).shape == (1 if len(texts) == 2 and texts[0] else 0, 2)


def test_texts_are_alike_whichever_chunk_they_are_in(monkeypatch):
    generator = random.Random(1)
    texts = [sentence(generator) for _ in range(40)]
    texts += [changed(text, generator, 1) for text in texts]
    whole = near_pairs(texts)
    monkeypatch.setattr(near_duplicates, "_CHUNK_CHARACTERS", 300)
    assert np.array_equal(near_pairs(texts), whole)


def test_every_row_left_out_is_near_to_one_that_stays():
    generator = random.Random(2)
    texts, text = [], sentence(generator)
    for _ in range(60):  # A chain: each is near to the one before, the last is unlike the first.
        texts.append(text)
        text = changed(text, generator, 1)
    codes, labels = duplicates.text_codes(texts), np.zeros(len(texts), dtype=np.int64)
    near = duplicates.near_repeated_rows(texts, codes, labels)
    assert 0 < len(near) < len(texts) - 1
    assert all(first not in near for first in near.values())
    assert all(
        similarity(letters(texts[row]), letters(texts[first])) >= SIMILARITY for row, first in near.items()
    )


def test_beyond_the_limit_the_first_texts_are_compared(monkeypatch):
    texts = [
        "A sentence that is long enough to be compared, number one",
        "Another one of about that length here",
    ]
    texts += [texts[0] + "!", texts[1] + "!"]
    codes, labels = duplicates.text_codes(texts), np.zeros(4, dtype=np.int64)
    assert duplicates.near_repeated_rows(texts, codes, labels) == {2: 0, 3: 1}
    assert duplicates.shared_rows(texts[2:], texts[:2]) == {0: 0, 1: 1}
    monkeypatch.setattr(duplicates, "MOST_CHARACTERS", sum(map(len, texts[:3])))
    assert duplicates.near_repeated_rows(texts, codes, labels) == {2: 0}
    assert duplicates.compared(texts, codes).tolist() == [0, 1, 2]
    assert duplicates.shared_rows(texts[2:], texts[:2]) == {0: 0}
    assert duplicates.comparable(texts[2:], texts[:2]) == 1
