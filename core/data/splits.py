"""LabeledTexts become train, validation and test: stratified, seeded, and no text in two of them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from core.base.errors import UserError
from core.data.column_names import SPLIT_VALUES, TEST, TRAIN, VALIDATION, folded
from core.data.labels import (
    ColumnMapping,
    LabeledTexts,
    align_labels,
    check_columns,
    label_texts,
    normal_text,
    reject_rows,
)
from core.data.reading.text.records import RejectedRow

if TYPE_CHECKING:
    from core.data.tables import Table

# A class with fewer different texts stays in train whole: it has none to spare.
FEWEST_TEXTS_TO_SPLIT = 3
MOST_HELD_OUT_PERCENT = 90
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class SplitPlan:
    """How to split: two shares in percent of the rows, whether every class gives its share, and the seed."""

    validation_percent: float = 10
    test_percent: float = 10
    stratified: bool = True
    seed: int = 42


@dataclass(frozen=True)
class Splits:
    """Three parts with one `label2id`; validation and test may be empty.

    `how` says in one line for people how they were made; `removed` counts texts left out, by reason.
    """

    train: LabeledTexts
    validation: LabeledTexts
    test: LabeledTexts
    how: str
    removed: dict[str, int] = field(default_factory=dict)


DEFAULT_PLAN = SplitPlan()


def split_by_percent(labeled: LabeledTexts, plan: SplitPlan) -> Splits:
    """Split by percentages; the same seed gives the same split.

    Rows with the same text (but for case and white space) always land in the same part, and where they carry
    two labels, in train. With `stratified`, every class of three or more different texts gives its share to
    validation and test, and at least one row to each that is asked for.

    Raises:
        UserError: percentages or seed are out of range, or train would have fewer than two classes.
    """
    _check_plan(plan)
    validation, test = _draw(labeled, plan)
    held_out = {*validation, *test}
    train = labeled.take(i for i in range(len(labeled)) if i not in held_out)
    check_train(train)
    how = _drawn(plan, "rows") or "All rows for training."
    return Splits(train, labeled.take(sorted(validation)), labeled.take(sorted(test)), how)


def split_by_column(
    table: Table, mapping: ColumnMapping, plan: SplitPlan = DEFAULT_PLAN
) -> tuple[Splits, list[RejectedRow]]:
    """Split by a column that says train, validation (valid, val, dev, eval) or test, in any case.

    Without validation rows, `plan.validation_percent` of the training rows become validation; without test
    rows, test stays empty. Rows with another value are rejected, and so are rows with a label that no
    training row has. Texts that also stand in a later part are removed from the earlier one and counted.

    Raises:
        UserError: there is no split column, it has no training rows, or as in the functions beside this one.
    """
    given, rejected = parts_by_column(table, mapping)
    train = given[TRAIN]
    for part in (VALIDATION, TEST):
        given[part], unknown = align_labels(given[part], train.label2id)
        rejected += unknown
    validation = given[VALIDATION] if len(given[VALIDATION]) else None
    splits = _complete(train, validation, given[TEST], plan, as_column_says(mapping))
    return splits, sorted(rejected, key=lambda row: row.line)


def parts_by_column(
    table: Table, mapping: ColumnMapping
) -> tuple[dict[str, LabeledTexts], list[RejectedRow]]:
    """The texts of train, validation and test by the split column, each with a `label2id` of its own.

    Raises:
        UserError: as in `split_by_column`.
    """
    if mapping.split is None:
        raise UserError("a split column", "none", "Choose the column that says train, validation or test.")
    check_columns(table, mapping)
    rows, unknown = _rows_by_part(table, mapping.split)
    if not rows[TRAIN]:
        raise UserError(
            f"rows with the value train in the column {mapping.split!r}",
            f"the values {_frequent_values(table, mapping.split)}",
            "Choose another split column, or split by percentages.",
        )
    rejected = reject_rows(table, unknown)
    given = {}
    for part, positions in rows.items():
        given[part] = LabeledTexts([], [], {}, table.lines[:0])
        if positions:
            given[part], more = label_texts(table.take(positions), mapping)
            rejected += more
    return given, rejected


def as_column_says(mapping: ColumnMapping) -> str:
    """How parts by a split column were made, as a sentence."""
    return f"As the column {mapping.split} says."


def split_with_files(
    train: LabeledTexts,
    validation: LabeledTexts | None,
    test: LabeledTexts | None,
    plan: SplitPlan,
    origin: str | None = None,
) -> Splits:
    """Keep the parts that are given, and take a missing one from train by its percentage (0: it stays empty).

    So that the scores are honest, training texts that also stand in validation or test are removed, and so
    are validation texts that stand in test; `removed` counts them.

    Args:
        origin: a sentence that says where the given parts come from; None: they are files of their own.

    Raises:
        UserError: percentages or seed are out of range, or train would have fewer than two classes.
        ValueError: the parts do not number their labels alike.
    """
    if any(part is not None and part.label2id != train.label2id for part in (validation, test)):
        raise ValueError("validation and test must be labelled with the label2id of train")
    if origin is None:
        names = [name for name, part in ((VALIDATION, validation), (TEST, test)) if part is not None]
        origin = f"Own {'files' if len(names) > 1 else 'file'} for {' and '.join(names)}." if names else ""
    return _complete(train, validation, test, plan, origin)


def _complete(
    train: LabeledTexts,
    validation: LabeledTexts | None,
    test: LabeledTexts | None,
    plan: SplitPlan,
    origin: str,
) -> Splits:
    """Remove shared texts from the parts that are given, and draw the others from train."""
    rest = replace(
        plan,
        validation_percent=plan.validation_percent if validation is None else 0,
        test_percent=plan.test_percent if test is None else 0,
    )
    removed: dict[str, int] = {}
    if test is not None:
        train = _without(train, test, "training texts that also stand in test", removed)
    if test is not None and validation is not None:
        validation = _without(validation, test, "validation texts that also stand in test", removed)
    if validation is not None:
        train = _without(train, validation, "training texts that also stand in validation", removed)
    drawn = split_by_percent(train, rest)
    return Splits(
        drawn.train,
        drawn.validation if validation is None else validation,
        drawn.test if test is None else test,
        f"{origin} {_drawn(rest, 'training rows')}".strip() or drawn.how,
        removed,
    )


def _without(
    labeled: LabeledTexts, other: LabeledTexts, reason: str, removed: dict[str, int]
) -> LabeledTexts:
    """The texts that do not stand in `other`; how many do is noted in `removed`."""
    known = set(map(normal_text, other.texts))
    kept = [i for i, text in enumerate(labeled.texts) if normal_text(text) not in known]
    if len(kept) < len(labeled):
        removed[reason] = len(labeled) - len(kept)
    return labeled.take(kept)


def _rows_by_part(table: Table, column: str) -> tuple[dict[str, list[int]], dict[int, str]]:
    """Positions of the rows of each part, and why the others belong to none."""
    rows: dict[str, list[int]] = {TRAIN: [], VALIDATION: [], TEST: []}
    unknown = {}
    for i, value in enumerate(table.frame[column].tolist()):
        part = SPLIT_VALUES.get(folded(value))
        if part is None:
            unknown[i] = f"the split {value[:80]!r} is none of train, validation and test"
        else:
            rows[part].append(i)
    return rows, unknown


def _frequent_values(table: Table, column: str) -> str:
    return ", ".join(repr(value[:40]) for value in table.frame[column].value_counts().index[:5])


# Drawing


def _draw(labeled: LabeledTexts, plan: SplitPlan) -> tuple[list[int], list[int]]:
    """Positions of the validation and of the test rows."""
    generator = np.random.default_rng(plan.seed)
    validation: list[int] = []
    test: list[int] = []
    for rows, groups in _strata(labeled, plan.stratified):
        shuffled = [groups[i] for i in generator.permutation(len(groups))]
        if len(shuffled) >= FEWEST_TEXTS_TO_SPLIT:
            for_validation, for_test = _shares(rows, plan)
            test += _take(shuffled, for_test)
            validation += _take(shuffled, for_validation)
    return validation, test


def _strata(labeled: LabeledTexts, stratified: bool) -> list[tuple[int, list[list[int]]]]:
    """Per class, or for all together: the number of rows, and the rows of each text that may be drawn.

    Texts with two labels are counted but not offered, and so is a class with too few texts.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(labeled.texts):
        groups[normal_text(text)].append(i)
    rows = [0] * len(labeled.label2id)
    offered: list[list[list[int]]] = [[] for _ in rows]
    for group in groups.values():
        for i in group:
            rows[labeled.labels[i]] += 1
        if len({labeled.labels[i] for i in group}) == 1:
            offered[labeled.labels[group[0]]].append(group)
    if stratified:
        return list(zip(rows, offered, strict=True))
    enough = [group for groups in offered if len(groups) >= FEWEST_TEXTS_TO_SPLIT for group in groups]
    return [(len(labeled), enough)]


def _shares(rows: int, plan: SplitPlan) -> tuple[int, int]:
    """How many of these rows become validation and test: rounded, at least one each, one left over."""
    validation, test = plan.validation_percent > 0, plan.test_percent > 0
    for_test = min(max(_part(rows, plan.test_percent), test), rows - 1 - validation) if test else 0
    held_out = _part(rows, plan.validation_percent + plan.test_percent)
    for_validation = min(max(held_out - for_test, validation), rows - 1 - for_test) if validation else 0
    return for_validation, for_test


def _part(rows: int, percent: float) -> int:
    # Half up; Python's round() goes to the even neighbour.
    return math.floor(rows * percent / 100 + 0.5)


def _take(groups: list[list[int]], share: int) -> list[int]:
    """Remove groups that make up `share` rows, or one more if the first has; larger ones are passed over."""
    taken: list[int] = []
    passed: list[list[int]] = []
    while groups and len(taken) < share:
        group = groups.pop()
        if len(taken) + len(group) <= share + (not taken):
            taken += group
        else:
            passed.append(group)
    groups += passed
    return taken


# Words and checks


def _drawn(plan: SplitPlan, rows: str) -> str:
    """What was drawn from train, as a sentence; empty if nothing was."""
    shares = {VALIDATION: plan.validation_percent, TEST: plan.test_percent}
    parts = [f"{percent:g}% for {part}" for part, percent in shares.items() if percent]
    if not parts:
        return ""
    balance = "the same share of every class" if plan.stratified else "whatever their class"
    return f"Of the {rows}, {' and '.join(parts)}, drawn at random, {balance} (seed {plan.seed})."


def _check_plan(plan: SplitPlan) -> None:
    percents = (plan.validation_percent, plan.test_percent)
    problems = [
        f"{name} {percent:g}%"
        for name, percent in zip((VALIDATION, TEST), percents, strict=True)
        if not 0 <= percent <= MOST_HELD_OUT_PERCENT
    ]
    if not problems and sum(percents) > MOST_HELD_OUT_PERCENT:
        problems.append(f"validation and test together {sum(percents):g}%")
    if isinstance(plan.seed, bool) or not isinstance(plan.seed, int) or not 0 <= plan.seed <= LARGEST_SEED:
        problems.append(f"seed {plan.seed!r}")
    if problems:
        raise UserError(
            f"percentages of 0 to {MOST_HELD_OUT_PERCENT}, together too, and a seed of 0 to {LARGEST_SEED}",
            "; ".join(problems),
            "Change these settings of the split.",
        )


def check_train(train: LabeledTexts) -> None:
    """Check that there is something to learn.

    Raises:
        UserError: the training texts have fewer than two classes.
    """
    present = [label for label, number in train.class_counts().items() if number]
    if len(present) < 2:
        raise UserError(
            "training texts of two or more classes",
            f"{len(train):,} texts, " + (f"all of them {present[0]!r}" if present else "of no class"),
            "Choose another label column, or add rows of another class to the training texts.",
        )
