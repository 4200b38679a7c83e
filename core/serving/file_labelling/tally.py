"""What is to be said of labelled rows: how many there are of each kind, and the scores."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from core.data.labels import join_text
from core.data.reading.text.records import RejectedRow
from core.data.tables import Table
from core.learning.evaluation.full_report import judge
from core.serving.file_labelling.parts import scored_rows
from core.serving.file_labelling.plan import Plan

MOST_SCORED = 20_000_000
"""Probabilities that are held in memory to score the labels; of larger files the first rows are scored."""

SHOWN_REJECTED = 100

UNKNOWN, MISSING = -1, -2
"""Instead of the number of a true label: the model does not know it; there is none."""


class Tally:
    """What is to be said of labelled rows, gathered batch by batch.

    Scores are of the answers as they are given, calibrated if the model is; that changes no label.
    """

    def __init__(
        self, columns: dict[str, Any], names: list[str], plan: Plan, trained_on: Collection[str] = frozenset()
    ) -> None:
        self.columns, self.names, self.text, self.scored = columns, names, plan.text, plan.label is not None
        self.trained_on, self.familiar = trained_on, 0
        self.rows = self.without_text = self.left = self.unknown = self.without_label = self.rejected = 0
        self.first_rejected: list[RejectedRow] = []
        self.truths: list[np.ndarray] = []
        self.answers: list[np.ndarray] = []

    def add(
        self, table: Table, labelled: pd.DataFrame, truth: np.ndarray | None, answers: np.ndarray | None
    ) -> None:
        """Count one batch, and what `label_table` gave for it.

        Raises:
            ValueError: true labels without probabilities, or these without the labels.
        """
        scored = scored_rows(truth, answers)
        blank = int((labelled[self.columns["label"]] == "").sum())
        self.rows += len(labelled)
        self.without_text += blank
        if self.columns["unsure"]:
            self.left += int(labelled[self.columns["unsure"]].sum()) - blank
        self.rejected += len(table.rejected)
        self.first_rejected += table.rejected[: SHOWN_REJECTED - len(self.first_rejected)]
        if self.trained_on:
            self.familiar += sum(text in self.trained_on for text in join_text(table, self.text))
        if scored is not None:
            self._add_scored(*scored)

    def _add_scored(self, truth: np.ndarray, answers: np.ndarray) -> None:
        self.unknown += int((truth == UNKNOWN).sum())
        self.without_label += int((truth == MISSING).sum())
        if sum(map(len, self.truths)) * len(self.names) < MOST_SCORED:
            self.truths.append(truth[truth >= 0])
            self.answers.append(answers[truth >= 0].astype(np.float32))

    def facts(self) -> dict[str, Any]:
        """See `label_into`; plain values."""
        return {
            "rows": self.rows,
            "trained_on": self.familiar,
            "without_text": self.without_text,
            "unsure": self.left if self.columns["unsure"] else None,
            "rejected": self.rejected,
            "rejected_rows": [asdict(row) for row in self.first_rejected],
            "columns": self.columns,
            "scores": self._scores() if self.scored else None,
            "unknown": self.unknown,
            "without_label": self.without_label,
        }

    def _scores(self) -> dict[str, Any] | None:
        truth = np.concatenate([np.empty(0, dtype=np.int64), *self.truths])
        if not len(truth):
            return None
        probabilities = np.concatenate(self.answers).astype(np.float64)
        return judge(probabilities / probabilities.sum(axis=1, keepdims=True), truth, self.names)
