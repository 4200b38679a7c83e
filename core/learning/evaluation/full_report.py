"""All that a report says of the answers to one split's texts. No torch."""

from dataclasses import asdict
from typing import Any

import numpy as np

from core.learning.evaluation.auroc import auroc
from core.learning.evaluation.calibration import with_temperature
from core.learning.evaluation.intervals import intervals
from core.learning.evaluation.metrics import brier_terms, evaluate, expected_calibration_error, losses


def judge(
    probabilities: np.ndarray, labels: np.ndarray, names: list[str], temperature: float = 1.0
) -> dict[str, Any]:
    """The scores of `EvaluationReport`, and auroc, intervals and calibrated; plain values, ready for JSON.

    Args:
        probabilities: float [texts, classes], uncalibrated; the scores are of these.
        labels: int [texts], the true class numbers.
        names: class names in the order of their numbers.
        temperature: `calibrated` has the loss, the Brier score and the calibration error after it. It
            changes no label.
    """
    after = with_temperature(probabilities, temperature)
    return {
        **asdict(evaluate(probabilities, labels, names)),
        "auroc": auroc(probabilities, labels),
        "intervals": intervals(probabilities, labels),
        "calibrated": {
            "loss": float(losses(after, labels).mean()),
            "brier": float(brier_terms(after, labels).mean()),
            "ece": expected_calibration_error(after, labels),
        },
    }
