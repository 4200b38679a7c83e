"""The training texts that a model finds most alike to a text.

Alike is measured between the mean states of the tokens in the model's last layer, after fine-tuning. The
first token's state, which the classes are read from, was made to tell nothing but classes apart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.base.disk import full_is_said, whole_file
from core.base.folders import sha256_of
from core.data.labels import LabeledTexts
from core.data.storage.datasets import load_splits, read_dataset
from core.learning.pretrained import WEIGHTS

if TYPE_CHECKING:
    from core.serving.classifier import Classifier

log = logging.getLogger(__name__)

FILE = "neighbours.npz"
"""In the folder of the run, so that it goes with it."""

MOST_TEXTS = 20_000
"""Training texts that are compared; of more, a sample that is always the same."""

_SEED = 20_000


@dataclass(frozen=True)
class Neighbour:
    """A training text, and how alike it is."""

    text: str
    label: str
    similarity: float
    """Cosine of the angle between the two vectors, -1 to 1."""


class Neighbours:
    """Training texts as vectors.

    Args:
        vectors: float [texts, hidden], each of length one.
        total: training texts in all, of which these may be a sample.
    """

    def __init__(self, texts: Sequence[str], labels: Sequence[str], vectors: np.ndarray, total: int) -> None:
        self.texts = texts
        self.labels = labels
        self.total = total
        self._vectors = vectors.astype(np.float32)

    def __len__(self) -> int:
        return len(self.texts)

    def nearest(self, classifier: Classifier, text: str, most: int = 5) -> list[Neighbour]:
        """The most alike training texts, the most alike first; each text once."""
        similarity = self._vectors @ _vectors(classifier, [text])[0]
        found: dict[str, Neighbour] = {}
        for i in np.argsort(-similarity, kind="stable"):
            found.setdefault(
                self.texts[i], Neighbour(self.texts[i], self.labels[i], min(1.0, float(similarity[i])))
            )
            if len(found) == most:
                break
        return list(found.values())


def find_neighbours(
    classifier: Classifier,
    model: Path,
    dataset: Path,
    file: Path,
    report: Callable[[float], None] = lambda share: None,
) -> Neighbours:
    """The training texts of a data set as vectors: from the file, or made and kept there.

    They are made anew when the weights or the texts are others than those they were made from.

    Args:
        model: folder of the classifier.
        dataset: folder of the data set that it was trained on.
        file: where the vectors are kept.
        report: receives the share of the work that is done, 0 to 1.

    Raises:
        UserError: the data set is damaged, or there is no room for the file.
    """
    key = _key(model, read_dataset(dataset).sha256)
    train = load_splits(dataset).train
    rows = _sample(len(train))
    texts, labels = [train.texts[i] for i in rows], _labels(train, rows)
    vectors = _read(file, key, len(rows))
    if vectors is None:
        vectors = _vectors(classifier, texts, report).astype(np.float16)
        _keep(file, key, vectors)
    return Neighbours(texts, labels, vectors, len(train))


def _key(model: Path, texts: str) -> str:
    return f"{sha256_of(model / WEIGHTS)} {texts} {MOST_TEXTS}"


def _sample(size: int) -> np.ndarray:
    if size <= MOST_TEXTS:
        return np.arange(size)
    return np.sort(np.random.default_rng(_SEED).choice(size, MOST_TEXTS, replace=False))


def _labels(train: LabeledTexts, rows: np.ndarray) -> list[str]:
    return [train.id2label[train.labels[i]] for i in rows]


def _read(file: Path, key: str, rows: int) -> np.ndarray | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            if str(kept["key"]) == key and kept["vectors"].ndim == 2 and len(kept["vectors"]) == rows:
                return kept["vectors"]
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - zip, zlib and numpy each raise their own; it is made anew
        log.warning("%s cannot be read and is made anew: %s", FILE, error)
    return None


def _keep(file: Path, key: str, vectors: np.ndarray) -> None:
    try:
        with (
            full_is_said("the vectors of the training texts", vectors.nbytes, file.parent),
            whole_file(file) as draft,
            draft.open("wb") as stream,
        ):
            np.savez(stream, key=np.array(key), vectors=vectors)
    except OSError as error:
        # The run was deleted meanwhile, or its folder may not be written to: there is an answer all the same.
        log.warning("%s cannot be kept: %s", FILE, error)


def _vectors(
    classifier: Classifier, texts: Sequence[str], report: Callable[[float], None] = lambda share: None
) -> np.ndarray:
    """float32 [texts, hidden], each of length one."""
    from core.learning.batching import encode
    from core.learning.evaluation.inference import mean_states

    dataset = encode(texts, [0] * len(texts), classifier.tokenizer)
    states = mean_states(classifier.network, dataset, report=report)[:, 0]
    return states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
