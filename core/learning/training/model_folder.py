"""The folder of a training's best weights: replaced in one piece, as transformers reads it."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.base.disk import NoSpace, force, full_is_said
from core.learning.evaluation.calibration import forget_calibration
from core.learning.models.interface import Network
from core.learning.pretrained import WEIGHTS
from core.learning.tokenizer import TextTokenizer
from core.learning.training.best_weights import StoredWeights, record, recorded
from core.learning.training.checkpoints import TrainingCheckpoints

_SAVING = ".saving-"

_KEPT = "kept.json"
"""Beside the snapshots: what is known of the best weights so far."""

_RESUME = "Make room, then resume: it goes on from its last snapshot."
"""What to do about a training that a full disk ended."""


class ModelFolder:
    """The store of the best weights: a Hugging Face folder, and beside the snapshots what is known of it."""

    snapshots: TrainingCheckpoints
    """The older ones are given up where there is no room for better weights."""

    def __init__(
        self, folder: Path, tokenizer: TextTokenizer, weights_bytes: int, snapshots_folder: Path | None
    ) -> None:
        self.folder = folder
        self.tokenizer = tokenizer
        self.weights_bytes = weights_bytes
        self.known = snapshots_folder / _KEPT if snapshots_folder else None
        self.stored = recorded(self.known, folder / WEIGHTS) if self.known else None

    def save(self, network: Network, stored: StoredWeights) -> None:
        def say(draft: Path) -> None:
            if self.known:
                record(self.known, stored, draft, self.folder / WEIGHTS)

        try:
            save_model(network, self.tokenizer, self.folder, say)
        except NoSpace:
            if not self.snapshots.give_up_older():
                raise
            save_model(network, self.tokenizer, self.folder, say)

    def bytes_to_come(self) -> int:
        # The best weights so far and better ones beside them, until those take their place.
        return self.weights_bytes * (1 if (self.folder / WEIGHTS).is_file() else 2)


def save_model(
    network: Network, tokenizer: TextTokenizer, folder: Path, before_weights: Callable[[Path], None]
) -> None:
    """Write a standard Hugging Face folder, the weights last and in one piece.

    Args:
        before_weights: called with the written weights file just before it takes its place.

    Raises:
        NoSpace: the disk is full; what was in the folder before is as it was.
    """
    with full_is_said("the best weights so far", network.nbytes, folder, _RESUME):
        _save_model(network, tokenizer, folder, before_weights)


def _save_model(
    network: Network, tokenizer: TextTokenizer, folder: Path, before_weights: Callable[[Path], None]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Of a process that was killed as it saved.
    for unfinished in folder.parent.glob(f"{_SAVING}*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=_SAVING) as temporary:
        network.save(Path(temporary))
        tokenizer.save(Path(temporary))
        # Whoever sees the weights file sees a complete folder.
        for file in sorted(Path(temporary).iterdir(), key=lambda path: path.name == WEIGHTS):
            force(file)
            if file.name == WEIGHTS:
                before_weights(file)
                forget_calibration(folder)
            file.replace(folder / file.name)
