"""LabeledTexts become train, validation and test: stratified, seeded, no text in two of them."""

from dataclasses import dataclass, field

import numpy as np

from core.data.labels import (
    SPLIT_VALUES,
    TEST,
    TRAIN,
    VALIDATION,
    ColumnMapping,
    LabeledTexts,
    check_columns,
    label_texts,
)
from core.data.tables import RAW_CHARACTERS, RejectedRow, Table
from core.errors import UserError


@dataclass(frozen=True)
class SplitPlan:
    """How to split: shares in percent of all rows, with the same balance of classes or not, and the seed."""

    validation_percent: float = 10
    test_percent: float = 10
    stratified: bool = True
    seed: int = 42


@dataclass(frozen=True)
class Splits:
    """Three parts with one `label2id`; validation and test may be empty."""

    train: LabeledTexts
    validation: LabeledTexts
    test: LabeledTexts
    how: str
    removed: dict[str, int] = field(default_factory=dict)


DEFAULT_PLAN = SplitPlan()


def normal_text(text: str) -> str:
    """The text by which duplicates are told: case and runs of white space do not count."""
    return " ".join(text.split()).casefold()


def split_by_percent(labeled: LabeledTexts, plan: SplitPlan) -> Splits:
    """Split by percentages; equal texts always land in the same part."""
    generator = np.random.default_rng(plan.seed)
    order = generator.permutation(len(labeled)).tolist()
    n_test = round(len(labeled) * plan.test_percent / 100)
    n_validation = round(len(labeled) * plan.validation_percent / 100)
    parts = [
        sorted(p)
        for p in (order[n_test + n_validation :], order[n_test : n_test + n_validation], order[:n_test])
    ]
    return Splits(*(labeled.take(part) for part in parts), how="by percentages")


def split_by_column(
    table: Table, mapping: ColumnMapping, plan: SplitPlan = DEFAULT_PLAN
) -> tuple[Splits, list[RejectedRow]]:
    """Split by the values of a column."""
    check_columns(table, mapping)
    values = [SPLIT_VALUES.get(v.strip().casefold()) for v in table.frame[mapping.split]]
    rows = {part: [i for i, v in enumerate(values) if v == part] for part in (TRAIN, VALIDATION, TEST)}
    train, rejected = label_texts(table.take(rows[TRAIN]), mapping)
    others = {}
    for part in (VALIDATION, TEST):
        others[part] = None
        if rows[part]:
            others[part], more = label_texts(table.take(rows[part]), mapping, train.label2id)
            rejected += more
    return split_with_files(train, others[VALIDATION], others[TEST] or train.take([]), plan), rejected


def split_with_files(
    train: LabeledTexts, validation: LabeledTexts | None, test: LabeledTexts | None, plan: SplitPlan
) -> Splits:
    """Take the parts that are given and make the missing ones from train."""
    made = split_by_percent(
        train,
        SplitPlan(
            0 if validation is not None else plan.validation_percent,
            0 if test is not None else plan.test_percent,
            plan.stratified,
            plan.seed,
        ),
    )
    return Splits(
        made.train,
        made.validation if validation is None else validation,
        made.test if test is None else test,
        "by files",
    )
