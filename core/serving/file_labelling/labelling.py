"""A file of any size is labelled part by part into a folder; what is there is not done again.

<folder>/plan.json       what is labelled, how and by which model: another one is not mixed in
         00000000.parquet  the rows of the first batch with the new columns, written whole; then the next
         00000000.npz      the same rows' true labels and probabilities, where the file has such labels
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.data.labels import join_text
from core.data.reading.streaming import open_table
from core.data.tables import Limits, Table
from core.learning.evaluation.calibration import Calibration
from core.serving.file_labelling.parts import part_of, read_part, write_part
from core.serving.file_labelling.plan import Plan
from core.serving.file_labelling.tally import MISSING, UNKNOWN, Tally

if TYPE_CHECKING:
    from core.serving.classifier import Classifier

PLAN = "plan.json"
DIGITS = 6


class Stopped(Exception):
    """The labelling was asked to stop; its parts so far are kept."""


@dataclass(frozen=True)
class Progress:
    """How far a labelling is."""

    done: int
    """Rows, those of an earlier go included."""
    rows: int
    """In all."""
    fresh: int
    """Rows done by this go."""


@dataclass(frozen=True)
class Listener:
    """Who follows a labelling, and may end it."""

    report: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False


def label_into(
    folder: Path,
    plan: Plan,
    classifier: Classifier,
    limits: Limits,
    listener: Listener | None = None,
    trained_on: Collection[str] = frozenset(),
) -> dict[str, Any]:
    """Label a file; parts that are in the folder already are not done again.

    Args:
        folder: where the parts go; made if it is not there.
        listener: told how far it is after every part, and asked before it whether to stop.
        trained_on: the model's training texts: on rows with these its scores say little.

    Returns:
        What is to be said of it: rows, trained_on (rows with a training text), without_text, unsure,
        rejected (their number) and rejected_rows (the first of them), unit, columns (the new ones, by role),
        and where there are true labels scores, unknown (rows with a label that the model does not know) and
        without_label.

    Raises:
        UserError: the file cannot be read, lacks a column, or the folder has the parts of another labelling.
        NoSpace: the disk is full.
        Stopped: it was asked to stop.
    """
    listener = listener or Listener()
    plan = plan.now()
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, plan)
    stream = open_table(Path(plan.source), limits, plan.choice)
    check_columns(stream.columns, [*plan.text, *([plan.label] if plan.label else [])])
    columns = new_columns(stream.columns, classifier.names, plan.classes, classifier.calibration)
    tally = Tally(columns, classifier.names, plan, trained_on)
    fresh = 0
    for number, table in enumerate(stream.batches()):
        if not part_of(folder, number).is_file():
            if listener.should_stop():
                raise Stopped
            write_part(folder, number, *label_table(classifier, table, plan, columns))
            fresh += len(table.frame)
        # What is in the part counts, as after an accident.
        tally.add(table, *read_part(folder, number, columns, plan))
        listener.report(Progress(tally.rows, stream.rows, fresh))
    return {**tally.facts(), "unit": stream.dialect.unit}


def _claim(folder: Path, plan: Plan) -> None:
    """Refuse to mix two labellings in one folder."""
    # An unpacked bundle lies somewhere else each time.
    file, facts = folder / PLAN, json.dumps({**plan.facts(), "model": "", "source": ""})
    try:
        kept = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        with full_is_said("the labelled file", len(facts), folder), whole_file(file) as draft:
            draft.write_text(facts, encoding="utf-8")
        return
    if kept != facts:
        raise UserError(
            "the same file, model and options as when the labelling began",
            "that one of them has changed",
            "Start the labelling anew.",
        )


def check_columns(columns: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse columns that the file does not have.

    Raises:
        UserError: one of them is missing.
    """
    missing = [name for name in wanted if name not in columns]
    if missing:
        has = ", ".join(map(repr, list(columns)[:20]))
        raise UserError(
            f"a file with the column {missing[0][:80]!r}", f"the columns {has}", "Choose one of these."
        )


def new_columns(
    taken: Sequence[str], names: Sequence[str], classes: bool, calibration: Calibration
) -> dict[str, Any]:
    """The names of the new columns by role: label, confidence, unsure (or None), classes (a list).

    A name that the file has already gets the first number that makes it new.
    """
    known = set(taken)

    def free(name: str) -> str:
        number, unique = 1, name
        while unique in known:
            number += 1
            unique = f"{name}_{number}"
        known.add(unique)
        return unique

    return {
        "label": free("predicted_label"),
        "confidence": free("confidence"),
        "unsure": None if calibration.threshold is None else free("unsure"),
        "classes": [free(f"probability_{name}") for name in names] if classes else [],
    }


def label_table(
    classifier: Classifier, table: Table, plan: Plan, columns: dict[str, Any]
) -> tuple[pd.DataFrame, np.ndarray | None, np.ndarray | None]:
    """The rows with the new columns last; where there are true labels also their numbers, and probabilities.

    A row without text gets no label and no confidence, and is unsure; only rows with text are scored.
    """
    texts = join_text(table, plan.text)
    filled = np.array([i for i, text in enumerate(texts) if text.strip()], dtype=np.int64)
    predictions = classifier.predict([texts[i] for i in filled])
    frame, rows = table.frame.copy(), len(texts)
    labels, confidence = np.full(rows, "", dtype=object), np.full(rows, np.nan)
    labels[filled] = predictions.labels
    confidence[filled] = predictions.confidence.round(DIGITS)
    added: dict[str, Any] = {
        columns["label"]: pd.Series(labels, dtype=str),
        columns["confidence"]: confidence,
    }
    if columns["unsure"]:
        sure = np.zeros(rows, dtype=bool)
        sure[filled] = predictions.confidence >= classifier.calibration.threshold
        added[columns["unsure"]] = ~sure
    for i, name in enumerate(columns["classes"]):
        added[name] = np.full(rows, np.nan)
        added[name][filled] = predictions.probabilities[:, i].round(DIGITS)
    labelled = pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1)
    if plan.label is None:
        return labelled, None, None
    number = {name: i for i, name in enumerate(classifier.names)}
    truth = np.full(rows, MISSING, dtype=np.int64)
    given = table.frame[plan.label].str.strip()
    truth[filled] = [number.get(given[i], UNKNOWN) if given[i] else MISSING for i in filled]
    return labelled, truth[filled], predictions.probabilities
