"""Whether a file can be trained on: what is in it, how it was read, and what is wrong with it."""

import re
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from core.base.errors import UserError
from core.base.formatting import shorten
from core.data.labels import ColumnMapping, guess_mapping, label_texts
from core.data.quality.checks import Finding, find_problems, profile_columns
from core.data.reading.files import DEFAULT_LIMITS, read_table
from core.data.splits import SplitPlan, split_with_files
from core.data.tables import GUESS, Limits, ReadOptions, RejectedRow, Table

SHOWN_REJECTED = 20
SAMPLE_VALUES = 2_000
LIKE_TYPE = 0.95
LONGEST_VALUE = 40
NUMBER = re.compile(r"[-+]?[$€£]?\s?(\d+|\d{1,3}([,. ']\d{3})+)?([.,]\d+)?([eE][-+]?\d+)?\s?%?")
DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))"
    r"([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s?([aApP][mM]|Z|[-+]\d{2}:?\d{2})?)?"
)
YES_NO = frozenset(
    ("yes", "no", "y", "n", "true", "false", "t", "f", "on", "off", "ja", "nein", "oui", "non")
    + ("si", "sí", "sì", "não", "sim", "да", "нет", "是", "否")
)


@dataclass(frozen=True)
class Column:
    """A column: its name, and what it holds.

    `type` is "text", "number", "date", "yes-no" or "empty"; `filled` the share of rows with a value, 0 to 1.
    """

    name: str
    type: str
    filled: float
    distinct: int
    example: str


@dataclass(frozen=True)
class Report:
    """What a check found. What is None or empty was not reached: `reason` and `remedy` then say why.

    `table` is the file as it was read; `unusable` are rows of it without a text or a label.
    """

    table: Table | None = None
    columns: list[Column] = field(default_factory=list)
    mapping: ColumnMapping | None = None
    class_counts: dict[str, int] = field(default_factory=dict)
    unusable: list[RejectedRow] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    reason: str = ""
    remedy: str = ""

    @property
    def trainable(self) -> bool:
        """Whether the file can be trained on as it is."""
        return not self.reason

    def facts(self) -> dict[str, Any]:
        """All of it as one JSON object; of rows that were set aside the first ones, and a count by reason."""
        table = self.table
        dialect = asdict(table.dialect) if table else dict.fromkeys(NOTHING_READ)
        return {
            "trainable": self.trainable,
            "reason": self.reason or None,
            "remedy": self.remedy or None,
            "rows_read": len(table.frame) if table else None,
            "rows_rejected": len(table.rejected) if table else None,
            "rejected": _rows(table.rejected if table else []),
            "rejected_by_reason": _by_reason(table.rejected if table else []),
            "counted_in": f"{table.dialect.unit}s" if table else None,
            "lines": asdict(table.line_count) if table and table.line_count else None,
            **dialect,
            "columns": [asdict(column) for column in self.columns],
            "mapping": asdict(self.mapping) if self.mapping else None,
            "rows_unusable": len(self.unusable),
            "unusable": _rows(self.unusable),
            "classes": self.class_counts,
            "findings": [_facts_of(finding) for finding in self.findings],
        }


NOTHING_READ = (
    *("format", "encoding", "delimiter", "quotechar", "has_header", "escapechar", "skipinitialspace"),
    *("skipped_lines", "sheet", "sheets", "packed", "member", "members"),
)


def check_file(
    source: bytes | Path,
    limits: Limits = DEFAULT_LIMITS,
    choice: ReadOptions = GUESS,
    text: tuple[str, ...] = (),
    label: str | None = None,
) -> Report:
    """Read a file and look at it as for a training, as far as it goes.

    Args:
        choice: how to read it where the guess is wrong.
        text, label: its columns where the guess is wrong.
    """
    report = Report()
    try:
        table = read_table(source, limits, choice)
        report = Report(table, describe_columns(table))
        mapping = choose_mapping(table, text, label)
        report = replace(report, mapping=mapping)
        labeled, unusable = label_texts(table, mapping)
        findings = find_problems(labeled, table.rejected + unusable)
        counts = labeled.class_counts()
        report = replace(report, class_counts=counts, unusable=unusable, findings=findings)
        errors = [finding for finding in findings if finding.severity == "error"]
        if errors:
            raise UserError(errors[0].expected, errors[0].found, errors[0].remedy)
        split_with_files(labeled, None, None, SplitPlan())
    except UserError as error:
        return replace(report, reason=error.reason, remedy=error.remedy)
    return report


def choose_mapping(table: Table, text: tuple[str, ...], label: str | None) -> ColumnMapping:
    """The given columns, and the guessed ones where none is given.

    Raises:
        UserError: no guess can be made.
    """
    guess = guess_mapping(table)
    if text and label is not None:
        return ColumnMapping(
            text, label, guess.split if guess and guess.split not in (*text, label) else None
        )
    if guess is None:
        names = ", ".join(shorten(name, 40) for name in list(table.frame.columns)[:10])
        raise UserError(
            "a column that looks like texts and one that looks like their labels",
            f"the columns {names}",
            "If they are there, name them (on the command line with --text and --label).",
        )
    return replace(guess, text=text or guess.text, label=guess.label if label is None else label)


def describe_columns(table: Table) -> list[Column]:
    """Every column with its type and what it holds."""
    profile = profile_columns(table)
    return [
        Column(name, column_type(table.frame[name]), float(filled), int(distinct), example)
        for name, filled, distinct, example in profile.itertuples(index=False, name=None)
    ]


def column_type(values: pd.Series) -> str:
    """What nearly all values of a column are, by the first filled ones."""
    filled = list(islice(filter(None, map(str.strip, values.tolist())), SAMPLE_VALUES))
    if not filled:
        return "empty"
    for name, test in (("number", _is_number), ("date", _is_date), ("yes-no", _is_yes_no)):
        if sum(map(test, filled)) >= LIKE_TYPE * len(filled):
            return name
    return "text"


def _is_number(value: str) -> bool:
    is_like = len(value) <= LONGEST_VALUE and bool(NUMBER.fullmatch(value))
    return is_like and any(map(str.isdigit, value))


def _is_date(value: str) -> bool:
    return len(value) <= LONGEST_VALUE and bool(DATE.fullmatch(value))


def _is_yes_no(value: str) -> bool:
    return value.casefold() in YES_NO


def _rows(rejected: list[RejectedRow]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rejected[:SHOWN_REJECTED]]


def _by_reason(rejected: list[RejectedRow]) -> dict[str, int]:
    return dict(Counter(row.reason for row in rejected).most_common(SHOWN_REJECTED))


def _facts_of(finding: Finding) -> dict[str, Any]:
    facts = {name: getattr(finding, name) for name in ("severity", "title", "expected", "found", "remedy")}
    offers = [offer.button for offer in finding.offers]
    return {**facts, "count": finding.count, "examples": list(finding.examples), "offers": offers}
