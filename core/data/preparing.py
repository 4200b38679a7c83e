"""Labelled texts, what was said about them, and how to split them: the story up to the Save button."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.data.column_names import TEST, TRAIN, VALIDATION
from core.data.labels import ColumnMapping, LabeledTexts, align_labels, label_texts
from core.data.quality.fixes import WEIGH, AppliedFix, Fix, Fixed, apply, apply_to_other, apply_to_splits
from core.data.splits import (
    SplitPlan,
    Splits,
    as_column_says,
    parts_by_column,
    split_by_percent,
    split_with_files,
)
from core.data.tables import Dialect, RejectedRow, Table


@dataclass(frozen=True)
class Parts:
    """The texts before any fix: those to train on, and validation and test where they are given.

    `origin` says in a sentence where these come from; None: from files of their own.
    """

    train: LabeledTexts
    validation: LabeledTexts | None = None
    test: LabeledTexts | None = None
    rejected: list[RejectedRow] = field(default_factory=list)
    origin: str | None = None


@dataclass(frozen=True)
class Prepared:
    """Splits to save, every row that is not among them, and what each fix did."""

    splits: Splits
    rejected: list[RejectedRow]
    done: tuple[AppliedFix, ...]


def parts_of_table(table: Table, mapping: ColumnMapping) -> Parts:
    """The parts that the split column says.

    Raises:
        UserError: as in `splits.parts_by_column`.
    """
    given, rejected = parts_by_column(table, mapping)
    validation = given[VALIDATION] if len(given[VALIDATION]) else None
    return Parts(given[TRAIN], validation, given[TEST], rejected, as_column_says(mapping))


def parts_of_files(
    train: LabeledTexts, rejected: list[RejectedRow], tables: Mapping[str, Table], mapping: ColumnMapping
) -> Parts:
    """The parts that files of their own make; what of these cannot be used says which file it is from.

    Args:
        rejected: the rows that are not among the texts to train on.
        tables: by part, validation or test.

    Raises:
        UserError: a file does not have these columns, or no row with a text and a label.
    """
    parts: dict[str, Any] = {}
    rejected = list(rejected)
    for part, table in tables.items():
        parts[part], unlabeled = label_texts(table, mapping)
        rejected += [
            replace(row, reason=f"{part} file: {row.reason}") for row in (*table.rejected, *unlabeled)
        ]
    return Parts(train, **parts, rejected=rejected)


def prepare(parts: Parts, fixes: Sequence[Fix], plan: SplitPlan, fixed: Fixed | None = None) -> Prepared:
    """Apply the fixes and split.

    Only training texts are left out by a fix. Given validation and test texts stay, since scores compare
    on the same texts alone; but their texts and labels are written as the fixes write the others.

    Args:
        fixed: what `apply` made of the texts to train on, where that is known already.

    Raises:
        UserError: a fix leaves nothing, the plan is out of range, or train has fewer than two classes.
    """
    fixed = fixed or apply(parts.train, fixes)
    rejected = [*parts.rejected, *fixed.rejected]
    if parts.validation is None and parts.test is None:
        splits = split_by_percent(fixed.labeled, plan)
    else:
        others: dict[str, LabeledTexts | None] = {VALIDATION: None, TEST: None}
        for part in others:
            given: LabeledTexts | None = getattr(parts, part)
            if given is not None:
                given = apply_to_other(given, fixes, parts.train)
                others[part], unknown = align_labels(given, fixed.labeled.label2id)
                rejected += unknown
        splits = split_with_files(fixed.labeled, others[VALIDATION], others[TEST], plan, parts.origin)
    splits, done, shared = apply_to_splits(splits, fixes)
    return Prepared(splits, [*rejected, *shared], (*fixed.done, *done))


def facts_of(
    file: str, dialect: Dialect, mapping: ColumnMapping, fixes: Sequence[Fix], done: Sequence[AppliedFix]
) -> dict[str, Any]:
    """Where texts come from, how they were read, and what was done to them, to be kept with them as JSON."""
    facts: dict[str, Any] = {
        "file": file,
        "format": dialect.format,
        "encoding": dialect.encoding,
        "delimiter": dialect.delimiter,
        "text": list(mapping.text),
        "label": mapping.label,
    }
    if done:
        facts["fixes"] = [one.facts() for one in done]
    if any(fix.kind == WEIGH for fix in fixes):
        facts["advice"] = {"class_weights": True}
    return facts
