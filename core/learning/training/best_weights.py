"""The best weights of a training: when they are replaced, and what is known of those that are stored.

Weights are kept when they are the best so far, snapshots are taken when they are cheap: after a kill, the
weights may be those of a later step than the one the training goes on from. The record of them names the
weights file by its size and time of writing, and is written before that file takes its place, beside what
was known of the one before: at every moment one of the two tells of the file that is there.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.base.disk import whole_file
from core.base.json_forms import read_as
from core.learning.batching import EncodedDataset
from core.learning.config import TrainingConfig
from core.learning.evaluation.inference import predict_probabilities
from core.learning.evaluation.metrics import EvaluationReport, collapsed, evaluate
from core.learning.models.interface import Network
from core.learning.training.hooks import Hooks
from core.learning.training.step import explain_divergence

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredWeights:
    """What is known of weights that were stored."""

    step: int
    """After which they stood."""
    scores: EvaluationReport | None
    """On the validation texts; None without such."""

    @property
    def rank(self) -> tuple[float, ...]:
        """Larger for better weights; without validation texts, for later ones."""
        return self.scores.rank if self.scores else (self.step,)


@dataclass(frozen=True)
class _Entry(StoredWeights):
    file: list[int]
    """What tells the weights file from others; see `_mark`."""


class WeightsStore(Protocol):
    """Where the best weights so far are stored."""

    stored: StoredWeights | None
    """What was stored before this training began or went on; None when nothing was."""

    def save(self, network: Network, stored: StoredWeights) -> None:
        """Store the network's weights in place of those before."""


class BestWeights:
    """Scores the network on the validation texts and stores the best weights so far.

    `scores` and `step` are the best of the course of this training, `stored` tells of the weights that
    are stored. They differ when an interruption undid the steps that led to these, until they are done again.
    """

    def __init__(
        self,
        network: Network,
        validation: EncodedDataset | None,
        config: TrainingConfig,
        hooks: Hooks,
        store: WeightsStore,
    ) -> None:
        self.network = network
        self.validation = validation
        self.config = config
        self.hooks = hooks
        self.store = store
        self.stored = store.stored
        self.scores: EvaluationReport | None = None
        self.step = 0
        self.without_gain = 0

    @property
    def exhausted(self) -> bool:
        """Whether early stopping is on and its patience is at an end."""
        return 0 < self.config.early_stopping <= self.without_gain

    def values(self) -> dict[str, Any]:
        """What a snapshot keeps."""
        scores = asdict(self.scores) if self.scores else None
        return {"scores": scores, "step": self.step, "without_gain": self.without_gain}

    def load_values(self, values: dict[str, Any]) -> None:
        """Go on from what `values` gave."""
        self.scores = EvaluationReport(**values["scores"]) if values["scores"] else None
        self.step = values["step"]
        self.without_gain = values["without_gain"]
        if self.stored is None and self.step:
            self.stored = StoredWeights(self.step, self.scores)

    def update(self, step: int, epoch: float) -> None:
        """Score the present weights and store them when they are the best so far."""
        if self.validation is None:
            self.step = step
            self._store_unless_worse(StoredWeights(step, None))
            return
        scores = self._score(self.validation)
        better = self.scores is None or scores.rank > self.scores.rank
        self.without_gain = 0 if better else self.without_gain + 1
        if better:
            self.scores, self.step = scores, step
            self._store_unless_worse(StoredWeights(step, scores))
        collapse = collapsed(scores.confusion)
        self.hooks.report(
            {
                "type": "evaluated",
                "step": step,
                "epoch": epoch,
                "loss": scores.loss,
                "accuracy": scores.accuracy,
                "macro_f1": scores.macro_f1,
                "best": better,
                **({"collapsed": self.network.names[collapse.number]} if collapse else {}),
            }
        )

    def _store_unless_worse(self, new: StoredWeights) -> None:
        if self.stored is None or new.rank >= self.stored.rank:
            self.store.save(self.network, new)
            self.stored = new

    def _score(self, validation: EncodedDataset) -> EvaluationReport:
        probabilities = predict_probabilities(self.network, validation, between=self.hooks.should_stop)
        if not np.isfinite(probabilities).all():
            raise explain_divergence("class probabilities that are no numbers", self.config)
        return evaluate(probabilities, validation.labels, self.network.names)


def record(file: Path, stored: StoredWeights, draft: Path, weights: Path) -> None:
    """Write down what `draft` holds, which is about to take the place of `weights`.

    Raises:
        OSError: it cannot be written; what was known before is as it was.
    """
    known = [{"file": _mark(draft), **asdict(stored)}]
    if weights.is_file():
        known += [asdict(entry) for entry in _entries(file) if entry.file == _mark(weights)][:1]
    file.parent.mkdir(exist_ok=True)
    with whole_file(file) as new:
        new.write_text(json.dumps(known), encoding="utf-8")


def recorded(file: Path, weights: Path) -> StoredWeights | None:
    """What was written down about the weights; None when nothing was, or they are others."""
    if not weights.is_file():
        return None
    for entry in _entries(file):
        if entry.file == _mark(weights):
            return StoredWeights(entry.step, entry.scores)
    return None


def _entries(file: Path) -> list[_Entry]:
    try:
        return read_as(file, list[_Entry])
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("what is known of the kept weights cannot be read: %s", error)
        return []


def _mark(weights: Path) -> list[int]:
    status = weights.stat()
    return [status.st_size, status.st_mtime_ns]
