"""The built-in sample is what the pages promise: large enough, balanced, clean and free of repeats."""

import csv
import io
import re
from collections import Counter
from itertools import combinations

import pytest

from core.data.storage.sample import SAMPLE, read_sample

CLASSES = {"question", "complaint", "praise"}
NEAR = 0.6  # share of common words from which two texts count as near duplicates


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    return list(csv.reader(io.StringIO(read_sample().decode("utf-8"), newline=""), strict=True))


@pytest.fixture(scope="module")
def texts(rows) -> list[str]:
    return [row[0] for row in rows[1:]]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def overlap(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second)


def test_read_sample_gives_the_file():
    assert read_sample() == SAMPLE.read_bytes()


def test_file_is_utf8_with_header_and_lf(rows):
    content = read_sample()
    assert content.startswith(b"text,label\n")
    assert content.endswith(b"\n")
    assert b"\r" not in content
    assert all(len(row) == 2 for row in rows)


def test_file_exercises_quoting(texts):
    assert any("," in text for text in texts)
    assert any('"' in text for text in texts)


def test_classes_are_balanced(rows):
    counts = Counter(label for _, label in rows[1:])
    assert counts.total() >= 200
    assert set(counts) == CLASSES
    assert len(set(counts.values())) == 1


def test_rows_are_shuffled(rows):
    labels = [label for _, label in rows[1:]]
    start = Counter(labels[:30])
    assert set(start) == CLASSES
    assert max(start.values()) < 20


def test_every_text_has_a_sensible_length(texts):
    assert all(text == text.strip() and text for text in texts)
    assert [text for text in texts if not 3 <= len(text.split()) <= 60] == []


def test_no_duplicates(texts):
    repeated = [text for text, n in Counter(" ".join(words(text)) for text in texts).items() if n > 1]
    assert repeated == []


def test_no_near_duplicates(texts):
    pairs = combinations([(text, set(words(text))) for text in texts], 2)
    assert [(a, b) for (a, first), (b, second) in pairs if overlap(first, second) >= NEAR] == []
