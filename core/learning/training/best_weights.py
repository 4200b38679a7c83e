"""What is known of the weights in a model folder, as long as its training may go on.

Weights are kept when they are the best so far, snapshots are taken when they are cheap: after a kill, the
weights may be those of a later step than the one the training goes on from. The record of them names the
weights file by its size and time of writing, and is written before that file takes its place, beside what
was known of the one before: at every moment one of the two tells of the file that is there.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.base.disk import whole_file
from core.learning.evaluation.metrics import EvaluationReport

log = logging.getLogger(__name__)

_FIELDS = {"file", "step", "scores"}


@dataclass(frozen=True)
class Kept:
    """Weights that were kept."""

    step: int
    """After which they stood."""
    scores: EvaluationReport | None
    """On the validation texts; None without such."""

    @property
    def rank(self) -> tuple[float, ...]:
        """Larger for better weights; without validation texts, for later ones."""
        return self.scores.rank if self.scores else (self.step,)


def record(file: Path, kept: Kept, draft: Path, weights: Path) -> None:
    """Write down what `draft` holds, which is about to take the place of `weights`.

    Raises:
        OSError: it cannot be written; what was known before is as it was.
    """
    known = [{"file": _mark(draft), **asdict(kept)}]
    if weights.is_file():
        known += [entry for entry in _entries(file) if entry["file"] == _mark(weights)][:1]
    file.parent.mkdir(exist_ok=True)
    with whole_file(file) as new:
        new.write_text(json.dumps(known), encoding="utf-8")


def recorded(file: Path, weights: Path) -> Kept | None:
    """What was written down about the weights; None when nothing was, or they are others."""
    if not weights.is_file():
        return None
    for entry in _entries(file):
        if entry["file"] == _mark(weights):
            return Kept(entry["step"], EvaluationReport(**entry["scores"]) if entry["scores"] else None)
    return None


def _entries(file: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("what is known of the kept weights cannot be read: %s", error)
        return []
    if not isinstance(found, list):
        return []
    return [entry for entry in found if isinstance(entry, dict) and entry.keys() >= _FIELDS]


def _mark(weights: Path) -> list[int]:
    status = weights.stat()
    return [status.st_size, status.st_mtime_ns]
