"""A run's answers to the texts of one split, as they are judged on a page: with what the temperature makes of
them, with the true label's probability, and by the bin of their confidence. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from core.base.errors import UserError
from core.learning.evaluation.calibration import (
    FILE,
    Calibration,
    coverage,
    read_calibration,
    reliability,
    with_temperature,
)
from core.learning.evaluation.metrics import Collapse, collapsed, confidence_bins
from core.runs.results import outputs
from core.runs.training.run import Run, marks_of

if TYPE_CHECKING:
    import pandas as pd

BINS = 15
BEFORE, AFTER = "before", "after"
"""The temperature."""

_FILES = ("predictions.parquet", "dataset/dataset.json", f"model/{FILE}")
"""Of a run: what its answers are made of."""


@dataclass(frozen=True)
class Answers:
    """The answers to one split's texts."""

    split: str
    table: pd.DataFrame
    """text, label, predicted, confidence; and true_probability, where the probabilities are known. Both are
    what the temperature makes of them, as the Predict page shows them."""
    labels: np.ndarray | None = None
    """int [texts]; None when the probabilities are not known."""
    probabilities: np.ndarray | None = None
    """float64 [texts, classes], as the network gave them; earlier versions did not keep them."""
    temperature: float = 1.0

    @cached_property
    def calibrated(self) -> np.ndarray:
        """float64 [texts, classes]: the probabilities after the temperature."""
        assert self.probabilities is not None
        return with_temperature(self.probabilities, self.temperature)

    def mistakes(self) -> pd.DataFrame:
        """The texts with a wrong label, the surest first."""
        wrong = self.table[self.table["label"] != self.table["predicted"]]
        return wrong.sort_values("confidence", ascending=False, kind="stable")

    def cell(self, true: str | None, predicted: str | None) -> pd.DataFrame:
        """The texts of one cell of the confusion matrix, the surest first; None stands for every label."""
        rows = self.table
        for column, label in (("label", true), ("predicted", predicted)):
            rows = rows if label is None else rows[rows[column] == label]
        return rows.sort_values("confidence", ascending=False, kind="stable")

    def reliability(self) -> pd.DataFrame:
        """Rows of `calibration.reliability` before and, where there is a temperature, after it: `when`."""
        import pandas as pd

        assert self.probabilities is not None and self.labels is not None
        tables = [reliability(self.probabilities, self.labels, BINS).assign(when=BEFORE)]
        if self.temperature != 1:
            tables.append(reliability(self.calibrated, self.labels, BINS).assign(when=AFTER))
        return pd.concat(tables, ignore_index=True)

    def in_bin(self, start: float, when: str) -> pd.DataFrame:
        """The texts whose confidence is in the bin that starts here, mistakes first."""
        probabilities = self.probabilities if when == BEFORE else self.calibrated
        assert probabilities is not None
        sure = probabilities.max(axis=1)
        rows = self.table.assign(confidence=sure)[confidence_bins(sure, BINS) == round(start * BINS)]
        wrong = (rows["label"] != rows["predicted"]).rename("wrong")
        return (
            rows.assign(wrong=wrong)
            .sort_values(["wrong", "confidence"], ascending=False)
            .drop(columns="wrong")
        )

    def coverage(self) -> pd.DataFrame:
        """The table of `calibration.coverage`, of the calibrated probabilities."""
        assert self.labels is not None
        return coverage(self.calibrated, self.labels)


def answers_of(run: Run, split: str) -> Answers | None:
    """The run's answers to this split's texts; None when there are none. Not to be changed: it is kept."""
    return _answers(run, split, marks_of(run, *_FILES))


# One at a time: with a hundred thousand texts and 77 classes it takes 150 MB, and a second to read.
@lru_cache(maxsize=1)
def _answers(run: Run, split: str, marks: tuple[object, ...]) -> Answers | None:
    predictions = outputs.predictions_of(run)
    if predictions is None:
        return None
    found = predictions[predictions["split"] == split].drop(columns="split").reset_index(drop=True)
    if found.empty:
        return None
    if "probabilities" not in found:
        return Answers(split, found)
    return _with_probabilities(run, split, found)


def _with_probabilities(run: Run, split: str, found: pd.DataFrame) -> Answers:
    probabilities = np.stack(found.pop("probabilities").to_list()).astype(np.float64)
    try:
        names = outputs.classes_of(run)
    except UserError:
        return Answers(split, found)
    numbers = found["label"].map({name: number for number, name in enumerate(names)})
    if numbers.isna().any():
        return Answers(split, found)
    labels, temperature = numbers.to_numpy(int), calibration_of(run).temperature
    after = with_temperature(probabilities, temperature)
    table = found.assign(confidence=after.max(axis=1), true_probability=after[np.arange(len(labels)), labels])
    return Answers(split, table, labels, probabilities, temperature)


def calibration_of(run: Run) -> Calibration:
    """What is kept with the run's model; a neutral one when it has none."""
    folder = outputs.model_folder(run)
    return read_calibration(folder) if folder else Calibration()


def collapse_of(report: dict[str, Any], split: str) -> tuple[str, float, tuple[str, ...]] | None:
    """The label that the model gives to (nearly) all texts of this split, their share, and what to try.

    None when it gives several. Earlier versions did not write it down, but it can be counted.
    """
    scores, recorded = report[split], report.get("collapsed")
    if "confusion" in scores:
        found = collapsed(scores["confusion"])
        return (scores["per_class"][found.number]["label"], found.share, found.advice) if found else None
    if not recorded:
        return None
    return recorded["label"], recorded["share"], Collapse(0, recorded["share"], 0.0).advice
