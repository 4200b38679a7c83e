"""A baseline in seconds: what linear classifiers reach that read no text as a whole.

One sees TF-IDF weights of words, word pairs and letter groups, the other the frozen vectors of the embedded
model; both are logistic regressions, cross-validated, so that each text is judged by classifiers that were
not trained on it. What fine-tuning must beat, and what suspected wrong labels are told by.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.base.errors import UserError
from core.data.labels import normal_text

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FOLDS = 5
MOST_TEXTS = 50_000
"""More are a sample, drawn at random."""

MOST_CELLS = 5_000_000
"""Texts times classes: with thousands of classes the sample is smaller."""

READ_CHARACTERS = 2_000
"""Of each text, for TF-IDF."""

TFIDF, EMBEDDINGS, AVERAGE, MAJORITY = "tfidf", "embeddings", "average", "majority"

Report = Callable[[float, str], None]
"""Receives the share of the work that is done, 0 to 1, and what comes next."""


@dataclass(frozen=True)
class Features:
    """What the two classifiers see of each text."""

    tfidf: csr_matrix
    """float32 [texts, terms]."""
    embeddings: np.ndarray
    """float32 [texts, width]; see `embeddings.embed`."""

    def take(self, rows: np.ndarray) -> Features:
        """The features of these rows."""
        return Features(self.tfidf[rows], self.embeddings[rows])


@dataclass(frozen=True)
class Baselines:
    """Cross-validated answers of both classifiers, and of their average."""

    rows: np.ndarray
    """int64 [judged]: which of the texts were judged, in order; all of them unless there are very many."""
    labels: np.ndarray
    """int64 [judged]: their class numbers, as given."""
    known: np.ndarray
    """bool [judged]: whether the classifiers that judged a text had seen its class at all."""
    probabilities: dict[str, np.ndarray]
    """TFIDF, EMBEDDINGS and AVERAGE → float32 [judged, classes], out of sample."""
    folds: int
    seconds: dict[str, float]


def cross_validate(
    texts: Sequence[str], labels: Sequence[int], classes: int, report: Report = lambda share, doing: None
) -> Baselines:
    """Judge each text by classifiers that were trained on the others.

    The folds are stratified, and no text (but for case and white space) stands in two of them; a class with
    fewer different texts than folds is in as many as it can be.

    Args:
        labels: class numbers, below `classes`.

    Raises:
        UserError: fewer than two classes have two different texts.
        OutOfMemory: the texts do not fit into memory.
    """
    rows, chosen, numbers, folds = draw_folds(texts, labels, classes)
    seconds: dict[str, float] = {}
    features = read_features(chosen, report, seconds)
    probabilities = {}
    for place, (name, matrix) in enumerate(
        ((TFIDF, features.tfidf), (EMBEDDINGS, features.embeddings)), start=1
    ):
        began = time.perf_counter()
        answers = np.zeros((len(rows), classes), dtype=np.float32)
        for fold in range(FOLDS):
            share = 0.7 + 0.15 * (place - 1 + fold / FOLDS)
            report(share, f"Fold {fold + 1} of {FOLDS}, {WORDS[name]}")
            held_out = folds == fold
            if held_out.any():
                answers[held_out] = fit(matrix[~held_out], numbers[~held_out], classes)(matrix[held_out])
        probabilities[name] = answers
        seconds[name] += time.perf_counter() - began
    probabilities[AVERAGE] = pool([probabilities[TFIDF], probabilities[EMBEDDINGS]], numbers)
    return Baselines(rows, numbers, _known(folds, numbers), probabilities, FOLDS, seconds)


WORDS = {TFIDF: "words and letter groups", EMBEDDINGS: "vectors of the embedded model"}
"""What each classifier sees, for people."""


def draw_folds(
    texts: Sequence[str], labels: Sequence[int], classes: int
) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
    """Which texts are judged, and, of each of these, the text itself, its class number and its fold.

    Raises:
        UserError: fewer than two classes have two different texts.
    """
    rows = sample(len(texts), classes)
    chosen, numbers = [texts[i] for i in rows], np.asarray(labels, dtype=np.int64)[rows]
    folds = deal(chosen, numbers)
    check(folds, numbers)
    return rows, chosen, numbers, folds


def sample(texts: int, classes: int, seed: int = 0) -> np.ndarray:
    """int64: which of so many texts are judged, in order; all of them as long as that takes seconds."""
    most = max(1000, min(MOST_TEXTS, MOST_CELLS // max(classes, 1)))
    if texts <= most:
        return np.arange(texts)
    return np.sort(np.random.default_rng(seed).choice(texts, most, replace=False))


def deal(texts: Sequence[str], labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """The fold of each text: int64, below `FOLDS`.

    Each class is shuffled and dealt out like cards, on from where the class before it ended, so that folds
    are of one size and every class is in as many as it can be. Equal texts are one card; its class is that
    of the first of them.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        groups[normal_text(text)].append(row)
    cards: dict[int, list[list[int]]] = defaultdict(list)
    for group in groups.values():
        cards[int(labels[group[0]])].append(group)
    generator = np.random.default_rng(seed)
    folds = np.empty(len(texts), dtype=np.int64)
    dealt = 0
    for _, hand in sorted(cards.items()):
        for card in generator.permutation(len(hand)):
            folds[hand[card]] = dealt % FOLDS
            dealt += 1
    return folds


def check(folds: np.ndarray, labels: np.ndarray) -> None:
    """Refuse texts of which no fold could be judged by the others.

    Raises:
        UserError: fewer than two classes have texts in two folds.
    """
    spread = [label for label in np.unique(labels) if len(np.unique(folds[labels == label])) > 1]
    if len(spread) < 2:
        raise UserError(
            "two classes or more with at least two different texts each",
            f"{len(spread)} of {len(np.unique(labels)):,}",
            "Add texts: a classifier has to learn a class from one text and be tried on another.",
        )


def read_features(texts: Sequence[str], report: Report, seconds: dict[str, float]) -> Features:
    """The features of texts; how long each kind took is noted in `seconds`.

    Raises:
        OutOfMemory: they do not fit into memory.
    """
    # Imported late: whoever only deals folds needs no torch.
    from core.learning.baselines.embeddings import embed

    began = time.perf_counter()
    report(0.0, "Counting words")
    tfidf = weigh(texts)
    seconds[TFIDF] = time.perf_counter() - began
    began = time.perf_counter()
    report(0.05, "Reading the texts with the embedded model")
    vectors = embed(
        texts, lambda share: report(0.05 + 0.65 * share, "Reading the texts with the embedded model")
    )
    seconds[EMBEDDINGS] = time.perf_counter() - began
    return Features(tfidf, vectors)


def weigh(texts: Sequence[str]) -> csr_matrix:
    """TF-IDF of words, word pairs and groups of three or four letters: float32 [texts, terms].

    Terms that occur in one text only say nothing about another, and are left out, unless all do. The weights
    know which texts contain a term, held-out ones included, but nothing of any label.
    """
    from scipy.sparse import hstack

    short = [text[:READ_CHARACTERS] for text in texts]
    words = _weighed(short, analyzer="word", ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
    letters = _weighed(short, analyzer="char_wb", ngram_range=(3, 4))
    return hstack([words, letters], format="csr")


def _weighed(texts: list[str], **terms: Any) -> csr_matrix:  # noqa: ANN401 - scikit-learn's own settings
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    for rarest in (2, 1):
        try:
            weights = TfidfVectorizer(min_df=rarest, sublinear_tf=True, dtype=np.float32, **terms)
            return weights.fit_transform(texts)
        except ValueError:  # No term is left: none is in two texts, or texts are of signs alone.
            continue
    return csr_matrix((len(texts), 1), dtype=np.float32)


def pool(answers: Sequence[np.ndarray], labels: np.ndarray, by: np.ndarray | None = None) -> np.ndarray:
    """One answer out of several: the mean of their logarithms, weighted so that the labels are likeliest.

    A logarithmic opinion pool (Genest and Zidek 1986). Its few weights are found by the very labels that it
    answers for, which for so few tells them nothing; they also say how sure the answers may be.

    Args:
        answers: float [texts, classes] each.
        by: bool [texts], the texts by which the weights are found; None for all.

    Returns:
        float32 [texts, classes]; rows add up to 1.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    logs = np.stack([np.log(np.clip(one, _LEAST, 1)) for one in answers])
    chosen = np.arange(len(labels)) if by is None else np.flatnonzero(by)

    def pooled(weights: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
        return log_softmax(np.tensordot(weights, logs[:, rows], axes=1), axis=1)

    def loss(weights: np.ndarray) -> float:
        given = pooled(weights, chosen)[np.arange(len(chosen)), labels[chosen]]
        return -float(np.maximum(given, np.log(_LEAST)).mean())

    start = np.full(len(answers), 1 / len(answers))
    best = minimize(loss, start, method="Nelder-Mead", bounds=[(0.0, 4.0)] * len(answers), options=_SEARCH)
    return np.exp(pooled(best.x, slice(None))).astype(np.float32)


_LEAST = 1e-6
"""Probability below which an answer is taken for this one: nobody is that sure."""

_SEARCH = {"maxiter": 100, "xatol": 1e-2, "fatol": 1e-5}

STRENGTH = {TFIDF: 3.0, EMBEDDINGS: 0.015}
"""Inverse of the penalty on large weights (scikit-learn's C); chosen on other data than the benchmark's."""


def fit(
    matrix: csr_matrix | np.ndarray, labels: np.ndarray, classes: int
) -> Callable[[csr_matrix | np.ndarray], np.ndarray]:
    """Train a logistic regression, and return what gives float32 [rows, classes] for other rows.

    Classes without a text get the probability 0; a single class gets all of it.
    """
    present = np.unique(labels)
    model = None
    if len(present) > 1:
        with _one_core():
            model = _classifier(matrix, len(present)).fit(matrix, labels)

    def answer(rows: csr_matrix | np.ndarray) -> np.ndarray:
        answers = np.zeros((rows.shape[0], classes), dtype=np.float32)
        with _one_core():
            answers[:, present] = model.predict_proba(rows) if model else 1.0
        return answers

    return answer


def _one_core() -> Any:  # noqa: ANN401 - the library's own type is private
    """Products as narrow as there are classes gain nothing from more cores, and lose most of their time to
    waiting for each other."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def _classifier(matrix: csr_matrix | np.ndarray, classes: int) -> Any:  # noqa: ANN401 - of several classes
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    if isinstance(matrix, np.ndarray):
        # Centred and of one size, it converges in half the steps.
        solver = LogisticRegression(C=STRENGTH[EMBEDDINGS], max_iter=200, tol=1e-3)
        return make_pipeline(_scaler(matrix), solver)
    # Class by class, which for many sparse terms takes a tenth of the time of all classes at once.
    one = LogisticRegression(C=STRENGTH[TFIDF], solver="liblinear", dual=True, max_iter=100, tol=1e-2)
    return one if classes == 2 else OneVsRestClassifier(one)


def _scaler(matrix: np.ndarray) -> Any:  # noqa: ANN401 - scikit-learn's transformer
    from sklearn.preprocessing import FunctionTransformer

    mean = matrix.mean(axis=0)
    size = max(float((matrix - mean).std()), _LEAST)
    return FunctionTransformer(lambda rows: (rows - mean) / size)


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """accuracy and macro_f1 of the likeliest classes."""
    return _scores(labels, probabilities.argmax(axis=1))


def score_all(found: Baselines, rows: np.ndarray) -> dict[str, dict[str, float]]:
    """The scores of each baseline on some of the judged texts, and of always naming their commonest class."""
    labels = found.labels[rows]
    scores = {name: score(answers[rows], labels) for name, answers in found.probabilities.items()}
    return scores | {MAJORITY: _scores(labels, np.full(len(labels), np.bincount(labels).argmax()))}


def _scores(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import f1_score

    return {
        "accuracy": float((labels == predicted).mean()),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
    }


def _known(folds: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each text's class has texts in another fold than the text's own."""
    counts = np.zeros((labels.max() + 1, FOLDS), dtype=np.int64)
    np.add.at(counts, (labels, folds), 1)
    return counts[labels].sum(axis=1) > counts[labels, folds]
