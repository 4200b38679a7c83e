"""Checks for texts that come back: repeated, nearly repeated, with two labels, shared between parts."""

import numpy as np

from core.base.formatting import count, shorten
from core.data.quality import duplicates
from core.data.quality.findings import EXAMPLES, Facts, Finding, Offer
from core.data.quality.fixes import DROP_LEAKS, Fix
from core.data.splits import Splits


def conflicts(facts: Facts) -> Finding | None:
    """The same text with two labels."""
    rows = duplicates.conflicting_rows(facts.codes, facts.labels)
    if not len(rows):
        return None
    minority = duplicates.minority_rows(facts.codes, facts.labels)
    texts = len(np.unique(facts.codes[rows]))
    offers = [Offer("Leave them all out", Fix("drop_conflicting"), len(rows))]
    if len(minority) < len(rows):
        offers.insert(0, Offer("Keep the more frequent label", Fix("keep_majority"), len(minority)))
    return Finding(
        "warning",
        "The same text with different labels",
        "one label for each text",
        f"{count(texts, 'text')} with two or more labels, on {count(len(rows), 'row')}",
        "Decide for one label. Until then these texts are only trained on, never tested.",
        len(rows),
        _with_labels(facts, rows),
        tuple(offers),
    )


def repeated(facts: Facts) -> Finding | None:
    """The same text with the same label, but for case and white space."""
    rows = duplicates.repeated_rows(facts.codes, facts.labels)
    if not rows:
        return None
    return Finding(
        "warning",
        "Repeated texts",
        "every text once",
        f"{count(len(rows), 'row')} with the text and label of an earlier row",
        "Equal texts always go to the same part of the split, so the scores stay honest. Leave the repeats "
        "out if they are mistakes.",
        len(rows),
        facts.examples(rows),
        (Offer("Keep the first of each", Fix("drop_repeated"), len(rows)),),
    )


def near_repeated(facts: Facts) -> Finding | None:
    """Texts that differ from an earlier one in a few words, in punctuation or in numbers."""
    texts = facts.labeled.texts
    near = duplicates.near_repeated_rows(texts, facts.codes, facts.labels)
    if not near:
        return None
    compared = len(duplicates.compared(texts, facts.codes))
    distinct = int(facts.codes.max()) + 1
    all_compared = compared == distinct
    return Finding(
        "warning",
        "Nearly repeated texts",
        "texts that differ in more than a few letters",
        f"{count(len(near), 'row')} almost the same as an earlier one with the same label"
        + ("" if all_compared else f", among the first {compared:,} of {distinct:,} different texts"),
        "They may come to stand in training and in test, which flatters the scores. Keep the first of each.",
        len(near),
        tuple(_side_by_side(texts[first], texts[row]) for row, first in list(near.items())[:EXAMPLES]),
        (Offer("Keep the first of each", Fix("drop_near_repeated"), len(near), not all_compared),),
    )


def leaks(splits: Splits) -> Finding | None:
    """Training texts that are nearly those of validation or test; equal ones are never in both."""
    held_out = [*splits.test.texts, *splits.validation.texts]
    if not held_out:
        return None
    shared = duplicates.shared_rows(splits.train.texts, held_out)
    if not shared:
        return None
    looked_at = duplicates.comparable(splits.train.texts, held_out)
    pairs = [(splits.train.texts[row], held_out[other]) for row, other in list(shared.items())[:EXAMPLES]]
    return Finding(
        "warning",
        "Training texts close to validation and test texts",
        "texts to judge by that the model has not seen",
        f"{count(len(shared), 'training text')} almost the same as one of {len(held_out):,} held out"
        + ("" if looked_at == len(splits.train) else f", among the first {looked_at:,} looked at"),
        "Leave them out of training: with them, the scores say how well the model remembers.",
        len(shared),
        tuple(_side_by_side(one, other) for one, other in pairs),
        (Offer("Leave them out of training", Fix(DROP_LEAKS), len(shared), looked_at < len(splits.train)),),
    )


def _with_labels(facts: Facts, rows: np.ndarray) -> tuple[str, ...]:
    """A few of the texts, each with its labels."""
    names = facts.labeled.id2label
    labels: dict[int, dict[str, None]] = {}
    first: dict[int, str] = {}
    for row in rows[:1000].tolist():
        code = int(facts.codes[row])
        first.setdefault(code, facts.labeled.texts[row].strip())
        labels.setdefault(code, {})[names[facts.labeled.labels[row]]] = None
    return tuple(
        f"{shorten(first[code], 150)} ({', '.join(shorten(label, 30) for label in labels[code])})"
        for code in list(first)[:EXAMPLES]
    )


def _side_by_side(one: str, other: str) -> str:
    return f"{shorten(one.strip(), 90)}  ↔  {shorten(other.strip(), 90)}"
