"""Runs beside each other: the same test texts, what was set otherwise, and whether scores really differ."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.learning.evaluation.comparison import Difference, compare
from core.runs.results import outputs
from core.runs.training.run import Run, marks_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

log = logging.getLogger(__name__)

FEWEST, MOST = 2, 8
"""Runs that are compared at a time."""

_ROW = ["text", "label"]


@dataclass(frozen=True)
class Comparison:
    """Runs on the test texts that all of them have."""

    runs: list[Run]
    titles: list[str]
    """What the runs are called in the verdicts: plain text, different for each."""
    labels: list[str]
    """The classes, in the order of the first run; then those that only others know."""
    table: pd.DataFrame
    """The texts in common: text, label, and of each run `predicted_<i>` and `confidence_<i>`, i from 0 in the
    order of `runs`. In the order of the first run's."""
    unmatched: list[int]
    """Of each run, its test texts that are not in all the others."""
    scores: list[dict[str, Any]]
    """Of each run, on the texts in common: texts, accuracy, balanced_accuracy, macro_f1, weighted_f1, mcc,
    and intervals: the same names, less texts, to [low, high]."""
    differences: list[Difference]
    """Of every pair, by place in `runs`."""
    settings: dict[str, list[Any]]
    """Settings that are not the same for all: name to a value per run; None where it was not recorded.
    `dataset` is among them when the data differs."""

    @property
    def matched(self) -> int:
        """Texts in common."""
        return len(self.table)

    @property
    def verdicts(self) -> list[str]:
        """One sentence per difference; plain text."""
        return [difference.verdict(self.titles) for difference in self.differences]

    def facts(self) -> dict[str, Any]:
        """All of it but the texts; plain values, ready for JSON."""
        pairs = zip(self.differences, self.verdicts, strict=True)
        return {
            "texts": self.matched,
            "runs": [
                {"run": run.id, "number": run.number, "unmatched": unmatched, **scores}
                for run, unmatched, scores in zip(self.runs, self.unmatched, self.scores, strict=True)
            ],
            "differences": [{**asdict(pair), "clear": pair.clear, "verdict": said} for pair, said in pairs],
            "settings": self.settings,
        }

    def changed(self, first: int, second: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Texts that changed sides between two runs: right in the first alone, and right in the second alone.

        Returns:
            Two tables: text, label, first, second (what each gave), confidence (of the one that is wrong);
            the surest mistakes first.
        """
        right = [self.table[f"predicted_{i}"] == self.table["label"] for i in (first, second)]
        return (
            self._sides(first, second, right[0] & ~right[1], second),
            self._sides(first, second, right[1] & ~right[0], first),
        )

    def _sides(self, first: int, second: int, rows: pd.Series, wrong: int) -> pd.DataFrame:
        chosen = self.table[rows]
        named = chosen.rename(
            columns={
                f"predicted_{first}": "first",
                f"predicted_{second}": "second",
                f"confidence_{wrong}": "confidence",
            }
        )[[*_ROW, "first", "second", "confidence"]]
        return named.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def compare_runs(runs: list[Run]) -> Comparison:
    """Compare 2 to 8 runs on the test texts that all of them have.

    Rows are the same when text and label are; of rows that come several times, the first goes with the
    first, and so on. What it returns is kept, and not to be changed.

    Raises:
        UserError: too few or many runs, one twice, one without answers to test texts, or no text in common.
    """
    _check(runs)
    marks = (marks_of(run, "predictions.parquet", "dataset/dataset.json") for run in runs)
    return _compare(tuple(runs), *marks)


# With many texts and classes it takes seconds, and a page asks again at every click.
@lru_cache(maxsize=2)
def _compare(chosen: tuple[Run, ...], *marks: object) -> Comparison:
    runs = list(chosen)
    tables = [_answers(run) for run in runs]
    table = _matched(tables)
    if table.empty:
        raise UserError(
            "runs with test texts in common",
            "no text with the same label in all of them",
            "Compare runs that were tested on the same data set.",
        )
    labels = _classes(runs, table)
    numbers = {label: number for number, label in enumerate(labels)}
    truth = table["label"].map(numbers).to_numpy(int)
    predicted = [table[f"predicted_{i}"].map(numbers).to_numpy(int) for i in range(len(runs))]
    return Comparison(
        runs=runs,
        titles=_titles(runs),
        labels=labels,
        table=table,
        unmatched=[len(found) - len(table) for found in tables],
        scores=[_scores(truth, given, len(labels)) for given in predicted],
        differences=compare(truth, predicted, len(labels)),
        settings=_settings(runs),
    )


def _check(runs: list[Run]) -> None:
    if not FEWEST <= len(runs) <= MOST:
        raise UserError(f"{FEWEST} to {MOST} runs", str(len(runs)), "Choose others, or fewer.")
    if len({run.id for run in runs}) < len(runs):
        raise UserError("different runs", "the same one twice", "Name each run once.")


def _answers(run: Run) -> pd.DataFrame:
    """The run's answers to its test texts, each with the number of its occurrence."""
    predictions = outputs.predictions_of(run)
    test = predictions[predictions["split"] == "test"] if predictions is not None else None
    if test is None or test.empty:
        raise UserError(
            "runs with answers to test texts",
            f"run {run.number} ({run.name}), which has none",
            "Choose runs that have ended and that had test texts.",
        )
    kept = test[[*_ROW, "predicted", "confidence"]].reset_index(drop=True)
    return kept.assign(occurrence=kept.groupby(_ROW).cumcount())


def _matched(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows that are in all the tables, in the order of the first."""
    key = [*_ROW, "occurrence"]
    found = tables[0][key]
    for i, table in enumerate(tables):
        named = table.rename(columns={"predicted": f"predicted_{i}", "confidence": f"confidence_{i}"})
        found = found.merge(named, on=key, how="inner")
    return found.drop(columns="occurrence")


def _classes(runs: list[Run], table: pd.DataFrame) -> list[str]:
    try:
        names = outputs.classes_of(runs[0])
    except UserError as error:
        log.warning("the classes of run %s cannot be read: %s", runs[0].id, error)
        names = []
    columns = ["label", *(f"predicted_{i}" for i in range(len(runs)))]
    seen = sorted({label for column in columns for label in table[column].unique()})
    return [*names, *(label for label in seen if label not in set(names))]


def _titles(runs: list[Run]) -> list[str]:
    return [f"run {run.number}" if run.readable else f"run {run.id}" for run in runs]


def _scores(truth: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, Any]:
    import numpy as np

    from core.learning.evaluation.intervals import LABEL_SCORES, RESAMPLES, interval, resampled_label_scores
    from core.learning.evaluation.metrics import confusion_matrix, label_scores

    confusion = confusion_matrix(truth, predicted, classes)
    scores = {name: float(label_scores(confusion)[name]) for name in LABEL_SCORES}
    drawn = resampled_label_scores(confusion, np.random.default_rng(0), RESAMPLES)
    intervals = {name: interval(drawn[name], score) for name, score in scores.items()}
    return {"texts": len(truth), **scores, "intervals": intervals}


def _settings(runs: list[Run]) -> dict[str, list[Any]]:
    values = [_recorded(run) for run in runs]
    names = dict.fromkeys(name for each in values for name in each)
    found = {name: [each.get(name) for each in values] for name in names}
    return {name: row for name, row in found.items() if len(Counter(map(repr, row))) > 1}


def _recorded(run: Run) -> dict[str, Any]:
    """Its data set and settings; without those that nobody wrote down."""
    if not run.readable:
        return {}
    known = {name: value for name, value in asdict(run.config).items() if name not in run.unrecorded}
    # Two data sets may have the same name.
    return {"dataset": f"{run.name} ({run.dataset_id[:6]})", **known}
