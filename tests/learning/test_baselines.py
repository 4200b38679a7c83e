"""The baselines: each text judged by classifiers that have not seen it, whatever the data."""

import csv

import numpy as np
import pytest

from core.base.errors import UserError
from core.learning.baselines import baselines
from core.learning.baselines.baselines import AVERAGE, EMBEDDINGS, FOLDS, MAJORITY, TFIDF
from tests.conftest import SHARED_DATA

pytestmark = pytest.mark.slow

BANKING = SHARED_DATA / "banking77" / "train.csv"
WORDS = {
    "read": ("book", "page", "shelf"),
    "seen": ("film", "cinema", "screen"),
    "heard": ("song", "choir", "band"),
}


def made(per_class: int, classes: int = 3) -> tuple[list[str], list[int]]:
    labels = [i % classes for i in range(per_class * classes)]
    words = list(WORDS.values())
    return [
        f"{words[label][i % 3]} {words[label][i % 2]} number {i}" for i, label in enumerate(labels)
    ], labels


def test_folds_are_of_one_size_and_each_class_is_in_all_of_them():
    labels = np.array([0] * 50 + [1] * 23 + [2] * 3)
    folds = baselines.deal([f"text {i}" for i in range(76)], labels)
    sizes = np.bincount(folds, minlength=FOLDS)
    assert sizes.max() - sizes.min() <= 1
    for label in (0, 1):
        shares = np.bincount(folds[labels == label], minlength=FOLDS)
        assert shares.max() - shares.min() <= 1
    assert len(set(folds[labels == 2])) == 3


def test_equal_texts_are_in_one_fold():
    texts = [f"text {i % 20}" if i < 20 else f"  TEXT   {i % 20} " for i in range(60)]
    folds = baselines.deal(texts, np.arange(60) % 2)
    assert all(len({folds[i], folds[i + 20], folds[i + 40]}) == 1 for i in range(20))


def test_no_text_is_judged_by_a_classifier_that_was_trained_on_it(monkeypatch):
    texts, labels = made(10)
    trained: list[np.ndarray] = []
    real = baselines.fit

    def fit(matrix, *arguments):
        answer = real(matrix, *arguments)

        def asked(rows):
            if isinstance(rows, np.ndarray):
                trained.append((matrix, rows))
            return answer(rows)

        return asked

    monkeypatch.setattr(baselines, "fit", fit)
    found = baselines.cross_validate(texts, labels, 3)
    assert len(trained) == FOLDS
    judged = 0
    for known, asked in trained:
        assert not {row.tobytes() for row in known} & {row.tobytes() for row in asked}
        judged += len(asked)
    assert judged == len(texts) == len(found.rows)


def test_easy_classes_are_told_apart_by_both_and_by_their_average():
    found = baselines.cross_validate(*made(12), 3)
    scores = baselines.score_all(found, np.arange(36))
    assert scores[MAJORITY]["accuracy"] == pytest.approx(1 / 3)
    assert scores[MAJORITY]["macro_f1"] == pytest.approx(1 / 6)
    for name in (TFIDF, EMBEDDINGS, AVERAGE):
        assert scores[name]["accuracy"] >= 0.9, name
        assert np.allclose(found.probabilities[name].sum(axis=1), 1, atol=1e-4)
    assert found.known.all()


def test_a_class_of_one_text_is_not_judged_and_the_others_are():
    texts, labels = made(8, classes=2)
    found = baselines.cross_validate([*texts, "all alone"], [*labels, 2], 3)
    assert list(np.flatnonzero(~found.known)) == [16]
    assert baselines.score_all(found, np.arange(16))[AVERAGE]["accuracy"] == 1


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["a b", "c d"], [0, 1]),
        (["a b", "c d", "e f", "g h"], [0, 1, 2, 3]),
        (["same text"] * 9, [0, 1, 2] * 3),
        (["a b", "A  b", "c d"], [0, 0, 1]),
        ([], []),
    ],
    ids=["two texts", "one text per class", "one text for all", "equal but for case", "none"],
)
def test_what_cannot_be_tried_is_said(texts, labels):
    with pytest.raises(UserError, match="two classes or more"):
        baselines.cross_validate(texts, labels, 4)


@pytest.mark.parametrize(
    "texts",
    [
        ["?!", "...", "—", "!!", "??", "::", ";;", "//"],
        ["a", "b", "c", "d", "e", "f", "g", "h"],
        ["\u4f60\u597d", "\u518d\u89c1", "\u8c22\u8c22", "\u4e0d\u597d"] * 2,
        ["x" * 100_000 + str(i) for i in range(8)],
    ],
    ids=["signs", "letters", "no spaces", "long"],
)
def test_strange_texts_are_judged_all_the_same(texts):
    texts = [f"{text}{i}" if len(set(texts)) < len(texts) else text for i, text in enumerate(texts)]
    found = baselines.cross_validate(texts, [0, 1] * 4, 2)
    assert np.isfinite(found.probabilities[AVERAGE]).all()


def test_labels_that_no_text_has_get_no_probability():
    texts, labels = made(6, classes=2)
    found = baselines.cross_validate(texts, [3 * label for label in labels], 5)
    assert found.probabilities[AVERAGE].shape == (12, 5)
    assert found.probabilities[TFIDF][:, [1, 2, 4]].max() == 0
    assert found.probabilities[AVERAGE][:, [1, 2, 4]].max() < 0.01


def test_many_texts_or_classes_are_a_sample():
    assert len(baselines.sample(100, 2)) == 100
    assert len(baselines.sample(10**6, 2)) == baselines.MOST_TEXTS
    assert len(baselines.sample(10**6, 1000)) == baselines.MOST_CELLS // 1000
    assert len(baselines.sample(10**6, 10**6)) == 1000
    rows = baselines.sample(10**6, 2)
    assert (np.diff(rows) > 0).all()
    assert rows[-1] > 900_000


def test_the_average_trusts_the_better_one_more():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 2000)
    sure, guess = np.full((2000, 2), 0.5), np.full((2000, 2), 0.5)
    right = generator.random(2000) < 0.9
    sure[np.arange(2000), np.where(right, labels, 1 - labels)] = 0.9
    sure = sure / sure.sum(axis=1, keepdims=True)
    guess[np.arange(2000), generator.integers(0, 2, 2000)] = 0.9
    guess = guess / guess.sum(axis=1, keepdims=True)
    pooled = baselines.pool([sure, guess], labels)
    assert (pooled.argmax(axis=1) == sure.argmax(axis=1)).mean() > 0.99
    assert np.allclose(pooled.sum(axis=1), 1, atol=1e-5)


def test_progress_only_rises():
    said: list[float] = []
    baselines.cross_validate(*made(8), 3, lambda share, doing: said.append(share))
    assert (np.diff(said) > -1e-9).all()
    assert said[0] == 0
    assert said[-1] < 1


@pytest.mark.skipif(not BANKING.exists(), reason=f"the real file {BANKING.name} is not beside this project")
def test_a_real_file_of_many_classes():
    with BANKING.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::12]
    names = sorted({row["label"] for row in rows})
    found = baselines.cross_validate(
        [row["text"] for row in rows], [names.index(row["label"]) for row in rows], len(names)
    )
    scores = baselines.score_all(found, np.arange(len(rows)))
    assert scores[AVERAGE]["accuracy"] > 0.6
    assert scores[AVERAGE]["accuracy"] >= scores[TFIDF]["accuracy"]
