"""How sure a model says it is, made honest: what is kept of it in the model folder."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from core.base.disk import whole_file
from core.base.json_forms import Share, sound_items
from core.learning.evaluation.metrics import confidence_bins, losses

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FILE = "calibration.json"
"""In the model folder, beside the weights; other programs do not mind it."""

TEMPERATURES = (0.05, 20.0)
"""Between these it is searched and accepted; what lies outside is no temperature but an accident."""

LEAST_TEXTS = 30
"""Validation texts that a temperature is fitted on, at least."""

MOST_POINTS = 500
"""Of the table of coverage."""

_MOST_BYTES = 10_000
_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


@dataclass(frozen=True)
class Calibration:
    """What turns a network's probabilities into honest ones, and what is done with the unsure."""

    temperature: Annotated[float, Ge(TEMPERATURES[0]), Le(TEMPERATURES[1])] = 1.0
    """Logits are divided by it before softmax (Guo et al. 2017, arXiv:1706.04599); 1 changes nothing."""
    threshold: Share | None = None
    """Calibrated confidence, below which a text is left to people; None leaves none."""


@dataclass(frozen=True)
class Fit:
    """A temperature and where it comes from."""

    temperature: float
    fitted_on: str | None
    """The split; None when there was nothing to fit it on, so that it is 1."""
    texts: int
    """Of that split, used or too few."""
    reason: str | None = None
    """Why it was not fitted, in words; None when it was."""


@dataclass(frozen=True)
class Abstention:
    """What is left when texts below a confidence are left to people."""

    threshold: float
    kept: int
    """Texts that the model answers."""
    texts: int
    """In all."""
    accuracy: float | None
    """Of the kept ones; None when there are none."""
    interval: list[float] | None
    """Of that accuracy, 95 % (Wilson 1927)."""

    @property
    def coverage(self) -> float:
        """Share of the texts that the model answers."""
        return self.kept / self.texts if self.texts else 0.0


def read_calibration(folder: Path) -> Calibration:
    """The model folder's calibration; a neutral one when there is none, or none that makes sense.

    Never raises for what is in the file: a model answers without it, too. What is wrong is logged.
    """
    try:
        content = _read(folder / FILE)
    except FileNotFoundError:
        return Calibration()
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be read and is passed over: %s", FILE, error)
        return Calibration()
    sound = sound_items(content, Calibration)
    if "temperature" not in sound:
        log.warning("%s has no temperature that makes sense and is passed over", FILE)
        return Calibration()
    if "threshold" not in sound and "threshold" in content:
        log.warning("%s has a threshold that makes no sense; no text is left to people", FILE)
    threshold = sound.get("threshold")
    return Calibration(float(sound["temperature"]), None if threshold is None else float(threshold))


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write it into the model folder, whole or not at all.

    Raises:
        OSError: it cannot be written; what was there before is as it was.
    """
    with whole_file(folder / FILE) as draft:
        draft.write_text(json.dumps(asdict(calibration)), encoding="utf-8")


def set_threshold(folder: Path, threshold: float | None) -> Calibration:
    """Leave texts below this calibrated confidence (0 to 1) to people from now on; None leaves none."""
    changed = replace(read_calibration(folder), threshold=threshold)
    write_calibration(folder, changed)
    return changed


def forget_calibration(folder: Path) -> None:
    """Take away what was fitted to weights that are about to be replaced."""
    (folder / FILE).unlink(missing_ok=True)


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [texts, classes] as if the logits had been divided by the temperature."""
    logits = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray, split: str = "validation") -> Fit:
    """The temperature of least log loss on texts that the weights were not trained on.

    Searched between `TEMPERATURES`, in its logarithm, where the loss has a single valley.

    Args:
        probabilities: float [texts, classes], uncalibrated.
        labels: int [texts], the true class numbers.
        split: what these texts are called.
    """
    texts = len(labels)
    if texts < LEAST_TEXTS:
        return Fit(1.0, None, texts, f"Too few {split} texts: {texts}, where {LEAST_TEXTS} are the least.")
    if len(np.unique(labels)) < 2:
        return Fit(1.0, None, texts, f"The {split} texts are all of one class.")
    # Imported late: only the end of a training needs it.
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        return float(losses(with_temperature(probabilities, math.exp(logarithm)), labels).mean())

    bounds = tuple(map(math.log, TEMPERATURES))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return Fit(math.exp(found.x), split, texts)


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """How often the model is right when it is so sure: one row per bin of the confidence with texts in it.

    Returns:
        from, to (edges of the bin), confidence (mean), accuracy, low, high (95 % Wilson interval of the
        accuracy), texts.
    """
    import pandas as pd

    confidence, right = _sureness(probabilities, labels)
    numbers = confidence_bins(confidence, bins)
    texts = np.bincount(numbers, minlength=bins)
    filled = np.flatnonzero(texts)
    hits = np.bincount(numbers, weights=right, minlength=bins)[filled]
    low, high = wilson(hits, texts[filled])
    return pd.DataFrame(
        {
            "from": filled / bins,
            "to": (filled + 1) / bins,
            "confidence": np.bincount(numbers, weights=confidence, minlength=bins)[filled] / texts[filled],
            "accuracy": hits / texts[filled],
            "low": low,
            "high": high,
            "texts": texts[filled],
        }
    )


def coverage(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Share of texts answered and accuracy of these, by the confidence asked for.

    Returns:
        threshold (rising), coverage, accuracy, texts (kept): one row per distinct confidence, at most
        `MOST_POINTS`, the first and the last among them. No row has no texts.
    """
    import pandas as pd

    confidence, right = _sureness(probabilities, labels)
    order = np.argsort(-confidence, kind="stable")
    ordered, hits = confidence[order], np.cumsum(right[order])
    # All texts of one confidence are answered together: the last of them stands for them.
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True)) if len(ordered) else np.empty(0, int)
    chosen = last[np.unique(np.linspace(0, len(last) - 1, min(MOST_POINTS, len(last))).round().astype(int))]
    chosen = chosen[::-1]
    return pd.DataFrame(
        {
            "threshold": ordered[chosen],
            "coverage": (chosen + 1) / max(1, len(labels)),
            "accuracy": hits[chosen] / (chosen + 1),
            "texts": chosen + 1,
        }
    )


def at_threshold(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> Abstention:
    """What is left when texts below this confidence are left to people."""
    confidence, right = _sureness(probabilities, labels)
    kept = confidence >= threshold
    number = int(kept.sum())
    if not number:
        return Abstention(threshold, 0, len(labels), None, None)
    hits = int(right[kept].sum())
    low, high = wilson(np.array(hits), np.array(number))
    return Abstention(threshold, number, len(labels), hits / number, [float(low), float(high)])


def wilson(hits: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of a share, which stays within 0 and 1 and has a width even at both ends.

    Wilson 1927, JASA 22(158).
    """
    share = hits / texts
    centre = share + _Z**2 / (2 * texts)
    spread = _Z * np.sqrt(share * (1 - share) / texts + _Z**2 / (4 * texts**2))
    whole = 1 + _Z**2 / texts
    return np.maximum(0.0, (centre - spread) / whole), np.minimum(1.0, (centre + spread) / whole)


def _sureness(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, and whether the label is right, of each text."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == np.asarray(labels)


def _read(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        raw = stream.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES:,} bytes")
    content = json.loads(raw.decode("utf-8"))
    if not isinstance(content, dict):
        raise ValueError("it holds no object")
    return content
