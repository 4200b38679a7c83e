"""A file of any size is labelled part by part into a folder; what is there is not done again.

<folder>/plan.json       what is labelled, how and by which model: another one is not mixed in
         00000000.parquet  the rows of the first batch with the new columns, written whole; then the next
         00000000.npz      the same rows' true labels and probabilities, where the file has such labels
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.folders import sha256_of
from core.data.labels import join_text
from core.data.reading.streaming import open_table
from core.data.reading.text.records import RejectedRow
from core.data.tables import GUESS, Limits, ReadOptions, Table
from core.learning.evaluation.calibration import Calibration, read_calibration
from core.learning.evaluation.full_report import judge
from core.serving.spreadsheets import csv_text, spreadsheet_safe

if TYPE_CHECKING:
    from core.serving.classifier import Classifier

CSV, PARQUET, JSON_LINES = "csv", "parquet", "jsonl"
FORMATS = (CSV, PARQUET, JSON_LINES)

MOST_SCORED = 20_000_000
"""Probabilities that are held in memory to score the labels; of larger files the first rows are scored."""

PLAN = "plan.json"
SHOWN_REJECTED = 100
WEIGHTS, READERS = "model.safetensors", ("config.json", "tokenizer.json")
"""What a model answers with: its weights, and how it reads texts and names its classes."""

DIGITS = 6
UNKNOWN, MISSING = -1, -2
"""Instead of the number of a true label: the model does not know it; there is none."""


class Stopped(Exception):
    """The labelling was asked to stop; its parts so far are kept."""


@dataclass(frozen=True)
class Plan:
    """What is labelled, and how."""

    source: str
    model: str
    """Its folder."""
    text: tuple[str, ...]
    label: str | None = None
    """The column of the true labels, to score the answers."""
    classes: bool = False
    """Whether every class gets a column with its probability."""
    choice: ReadOptions = GUESS
    marks: tuple[str, ...] = ()
    """What changes when the file or the model does."""

    def facts(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_facts(facts: dict[str, Any]) -> Plan:
        """The plan in these plain values.

        Raises:
            KeyError, TypeError, ValueError: they are none.
        """
        known = {**facts, "text": tuple(map(str, facts["text"])), "marks": tuple(map(str, facts["marks"]))}
        return Plan(**{**known, "choice": ReadOptions(**facts["choice"])})

    def check(self) -> None:
        """Look whether the file and the model are there.

        Raises:
            UserError: one of them is gone.
        """
        with _absence_is_said("the file", "Choose the file again."):
            Path(self.source).stat()
        with _absence_is_said("the model", "Choose another model."):
            (Path(self.model) / WEIGHTS).stat()

    def now(self) -> Plan:
        """The plan with the marks of the file and the model as they are now: every byte counts.

        Raises:
            UserError: one of them is gone.
        """
        model = Path(self.model)
        with _absence_is_said("the file", "Choose the file again."):
            source = sha256_of(Path(self.source))
        with _absence_is_said("the model", "Choose another model."):
            files = [sha256_of(model / name) for name in (WEIGHTS, *READERS) if (model / name).exists()]
        return replace(self, marks=(source, *files, str(read_calibration(model))))


@contextmanager
def _absence_is_said(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{what} of this labelling", "that it has been deleted", remedy) from error


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
            _write_part(folder, number, *label_table(classifier, table, plan, columns))
            fresh += len(table.frame)
        # What is in the part counts, as after an accident.
        tally.add(table, *_read_part(folder, number, columns, plan))
        listener.report(Progress(tally.rows, stream.rows, fresh))
    return {**tally.facts(), "unit": stream.dialect.unit}


def _read_part(
    folder: Path, number: int, columns: dict[str, Any], plan: Plan
) -> tuple[pd.DataFrame, np.ndarray | None, np.ndarray | None]:
    part = part_of(folder, number)
    new = [name for name in (columns["label"], columns["unsure"]) if name]
    frame = pq.read_table(part, columns=new).to_pandas()
    if plan.label is None:
        return frame, None, None
    with np.load(part.with_suffix(".npz"), allow_pickle=False) as kept:
        return frame, kept["truth"], kept["answers"]


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


def part_of(folder: Path, number: int) -> Path:
    """Where the rows of this batch are."""
    return folder / f"{number:08d}.parquet"


def parts_of(folder: Path) -> list[Path]:
    """The parts that are there, in the order of the file."""
    return sorted(folder.glob("[0-9]*.parquet"))


def columns_of(folder: Path) -> list[str]:
    """The columns of the labelled file."""
    return pq.read_schema(part_of(folder, 0)).names


def _write_part(
    folder: Path, number: int, labelled: pd.DataFrame, truth: np.ndarray | None, answers: np.ndarray | None
) -> None:
    part = part_of(folder, number)
    with full_is_said("the labelled file", int(labelled.memory_usage(deep=True).sum()), folder):
        if truth is not None and answers is not None:
            with whole_file(part.with_suffix(".npz")) as draft, draft.open("wb") as file:
                np.savez(file, truth=truth, answers=answers.astype(np.float32))
        # Last: a part counts as done when this file is there.
        with whole_file(part) as draft:
            table = pa.Table.from_pandas(labelled, preserve_index=False).replace_schema_metadata(None)
            pq.write_table(table, draft, compression="zstd", compression_level=1)


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
        """Count one batch, and what `label_table` gave for it."""
        blank = int((labelled[self.columns["label"]] == "").sum())
        self.rows += len(labelled)
        self.without_text += blank
        if self.columns["unsure"]:
            self.left += int(labelled[self.columns["unsure"]].sum()) - blank
        self.rejected += len(table.rejected)
        self.first_rejected += table.rejected[: SHOWN_REJECTED - len(self.first_rejected)]
        if self.trained_on:
            self.familiar += sum(text in self.trained_on for text in join_text(table, self.text))
        if truth is not None and answers is not None:
            self._add_scored(truth, answers)

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


# The parts as one file


def write_out(
    parts: Sequence[Path],
    out: Path,
    form: str,
    safe: bool = True,
    mark: bool = False,
    columns: list[str] | None = None,
) -> int:
    """Join the parts to one file, which is written whole or not at all; memory holds one part at a time.

    Args:
        form: csv, parquet or jsonl.
        safe: for CSV: cells that a spreadsheet takes for a formula are made text.
        mark: for CSV: whether a byte order mark tells spreadsheets that it is UTF-8.
        columns: those to write; all by default.

    Returns:
        How many cells and names were changed for spreadsheets.

    Raises:
        NoSpace: the disk is full.
    """
    needed = sum(part.stat().st_size for part in parts)
    with full_is_said("the labelled file", needed, out.parent), whole_file(out) as draft:
        if form == PARQUET:
            _join_parquet(parts, draft, columns)
            return 0
        changed = 0
        with draft.open("wb") as file:
            if mark and form == CSV:
                file.write("\ufeff".encode())
            for number, frame in enumerate(frames_of(parts, columns)):
                content, more = as_text(frame, form, safe, header=number == 0)
                file.write(content)
                changed += more
        return changed


def frames_of(parts: Sequence[Path], columns: list[str] | None = None) -> Iterator[pd.DataFrame]:
    """The rows of the parts, one part at a time."""
    for part in parts:
        yield pq.read_table(part, columns=columns).to_pandas()


def as_text(frame: pd.DataFrame, form: str, safe: bool, header: bool) -> tuple[bytes, int]:
    """Rows as CSV or JSON Lines, and how many cells (with the header: and names) were made safe."""
    if form == JSON_LINES:
        return frame.to_json(orient="records", lines=True, force_ascii=False).encode(), 0
    changed = 0
    if safe:
        names = list(frame.columns)
        frame, changed = spreadsheet_safe(frame)
        if not header:
            changed -= sum(before != after for before, after in zip(names, frame.columns, strict=True))
    return csv_text(frame, header=header).encode(), changed


def _join_parquet(parts: Sequence[Path], out: Path, columns: list[str] | None) -> None:
    writer = None
    try:
        for part in parts:
            table = pq.read_table(part, columns=columns)
            writer = writer or pq.ParquetWriter(out, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
