"""How sure a model says it is, made honest: what is kept of it in the model folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

FILE = "calibration.json"
"""In the model folder, beside the weights; other programs do not mind it."""


@dataclass(frozen=True)
class Calibration:
    """What turns a network's probabilities into honest ones, and what is done with the unsure."""

    temperature: float = 1.0
    """Logits are divided by it before softmax (Guo et al. 2017, arXiv:1706.04599); 1 changes nothing."""
    threshold: float | None = None
    """Calibrated confidence, 0 to 1, below which a text is left to people; None leaves none."""


def read_calibration(folder: Path) -> Calibration:
    """The model folder's calibration; a neutral one when there is none."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Calibration()
    return Calibration(found["temperature"], found["threshold"])


def write_calibration(folder: Path, calibration: Calibration) -> None:
    (folder / FILE).write_text(json.dumps(asdict(calibration)), encoding="utf-8")


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [texts, classes] as if the logits had been divided by the temperature."""
    logits = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
