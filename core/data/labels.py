"""A Table and a ColumnMapping become LabeledTexts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from core.base.errors import UserError
from core.data.column_names import LABEL_NAMES, SPLIT_NAMES, SPLIT_VALUES, TEXT_NAMES, TRAIN, folded, words_of
from core.data.reading.text.records import RAW_CHARACTERS, RejectedRow

if TYPE_CHECKING:
    from core.data.tables import Table

SAMPLE_ROWS = 2_000
# Of a file without columns that look like text and label: rows by which the longest texts are found.
FIRST_ROWS = 20
# The names that mean a text or a label whatever the column holds; the others have to look like it too.
PLAIN_NAMES = 6
# Shorter words inside of a name are there by chance.
SHORTEST_HINT = 4
EMPTY_TEXT, EMPTY_LABEL = "the text is empty", "the label is empty"
"""How the reasons of rows without text or label begin."""

NUMBER = re.compile(r"\s*[-+]?[0-9]+([.,][0-9]+)?\s*")


@dataclass(frozen=True)
class ColumnMapping:
    """Which columns hold the text (one or more, joined by a space), the label and, if any, the split."""

    text: tuple[str, ...]
    label: str
    split: str | None = None


@dataclass(frozen=True)
class LabeledTexts:
    """Texts and the number of each one's label; `label2id` gives every label its number, from 0.

    `lines` says on which line of its file each text begins, from 1; None where that is not known. Equal
    texts and labels are equal wherever they stood.
    """

    texts: list[str]
    labels: list[int]
    label2id: dict[str, int]
    lines: np.ndarray | None = field(default=None, compare=False)

    @property
    def id2label(self) -> dict[int, str]:
        """The label of every number."""
        return {number: label for label, number in self.label2id.items()}

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Iterable[int]) -> LabeledTexts:
        """The texts at these positions, in this order, with the same `label2id`."""
        chosen = list(indices)
        return LabeledTexts(
            [self.texts[i] for i in chosen],
            [self.labels[i] for i in chosen],
            self.label2id,
            None if self.lines is None else self.lines[np.asarray(chosen, dtype=np.int64)],
        )

    def class_counts(self) -> dict[str, int]:
        """The number of texts of every label, those without any included."""
        counts = Counter(self.labels)
        return {label: counts[number] for label, number in self.label2id.items()}


def normal_text(text: str) -> str:
    """The text as duplicates are told by: neither case nor the amount of white space counts."""
    return " ".join(text.split()).casefold()


# Columns


@dataclass(frozen=True)
class _Column:
    """What a column holds, by a sample of its filled rows spread over the table."""

    name: str
    rows: int
    values: list[str]

    @property
    def distinct(self) -> int:
        return len(set(self.values))

    @property
    def characters(self) -> float:
        return sum(map(len, self.values)) / max(len(self.values), 1)

    @property
    def is_number(self) -> bool:
        return sum(bool(NUMBER.fullmatch(value[:40])) for value in self.values) > 0.9 * len(self.values)

    @property
    def may_be_text(self) -> bool:
        """Mostly different values, long enough to say something, and no addresses or codes."""
        varied = self.distinct > 0.3 * len(self.values)
        # Chinese and Japanese are written without spaces, but never in ASCII.
        words = sum(" " in value.strip() or not value.isascii() for value in self.values)
        return varied and 2 * words >= len(self.values) and not self.is_number and self.characters >= 8

    @property
    def may_be_label(self) -> bool:
        """Two or more short values that come back, on at least half of the rows."""
        enough = 2 <= self.distinct <= max(2, 0.5 * len(self.values)) and len(self.values) >= 0.5 * self.rows
        return enough and self.characters <= 60

    @property
    def may_be_split(self) -> bool:
        """Nothing but names of splits, training among them."""
        parts = {SPLIT_VALUES.get(folded(value)) for value in self.values}
        return TRAIN in parts and None not in parts and (len(parts) > 1 or folded(self.name) in SPLIT_NAMES)


def guess_mapping(table: Table) -> ColumnMapping | None:
    """Guess the text, label and split columns by their names and by what they hold.

    Returns None where no two columns look like text and label.
    """
    columns = _sampled(table)
    split = next((column for column in columns if column.may_be_split), None)
    columns = [column for column in columns if column is not split]
    label = _choose(columns, LABEL_NAMES, lambda c: c.may_be_label, lambda c: (c.distinct, c.characters))
    columns = [column for column in columns if column is not label]
    text = _choose(columns, TEXT_NAMES, lambda c: c.may_be_text, lambda c: -c.characters * c.distinct)
    if text is None or label is None:
        return None
    return ColumnMapping((text.name,), label.name, split.name if split else None)


def guess_text(table: Table, trained_on: Sequence[str]) -> list[str]:
    """The text columns of a file to label: those that the model was trained on, else what looks like text.

    Args:
        trained_on: the text columns of the file that the model was trained on, where they are known.
    """
    if trained_on and set(trained_on) <= set(table.frame.columns):
        return list(trained_on)
    guess = guess_mapping(table)
    if guess:
        return list(guess.text)
    lengths = table.frame.head(FIRST_ROWS).apply(lambda column: column.str.len().mean())
    return [lengths.idxmax()]


def _sampled(table: Table) -> list[_Column]:
    rows = np.unique(np.linspace(0, len(table.frame) - 1, SAMPLE_ROWS).astype(int))
    sample = table.frame.iloc[rows]
    return [
        _Column(name, len(rows), [value for value in sample[name].tolist() if value.strip()])
        for name in sample.columns
    ]


def _choose(
    columns: list[_Column],
    names: Sequence[str],
    looks_right: Callable[[_Column], bool],
    order: Callable[[_Column], Any],
) -> _Column | None:
    """A column with the name and the look, else the plainest of names, else a word of the name and the look.

    After these the look alone, and last any name.
    """
    places = {name: i for i, name in enumerate(names)}
    named = sorted(
        (column for column in columns if folded(column.name) in places),
        key=lambda column: places[folded(column.name)],
    )
    plain = [column for column in named if places[folded(column.name)] < PLAIN_NAMES]
    look = sorted(filter(looks_right, columns), key=order)
    word_places = [
        (place, column) for column in look if (place := _place_of_word(column.name, places)) is not None
    ]
    hinted = [column for _, column in sorted(word_places, key=itemgetter(0))]
    return next(iter([*filter(looks_right, named), *plain, *hinted, *look, *named]), None)


def _place_of_word(name: str, places: dict[str, int]) -> int | None:
    """The place of the plainest known name among the words of this one: "star_rating" holds "rating"."""
    found = [places[word] for word in words_of(name) if word in places and len(word) >= SHORTEST_HINT]
    return min(found, default=None)


# Rows


def label_texts(
    table: Table, mapping: ColumnMapping, label2id: dict[str, int] | None = None
) -> tuple[LabeledTexts, list[RejectedRow]]:
    """Take the texts and labels out of a table, exactly as they stand in it.

    Several text columns are joined by a space, blank ones left out. Rows with an empty text, an empty label
    or, where `label2id` is given, a label that it does not hold, are rejected with their line.

    Raises:
        UserError: a column is not in the table, or no row is left.
    """
    check_columns(table, mapping)
    texts = join_text(table, mapping.text)
    labels = table.frame[mapping.label].tolist()
    reasons = _reasons(texts, labels, mapping, label2id)
    kept = [i for i in range(len(texts)) if i not in reasons]
    if not kept:
        raise _nothing_left(reasons, mapping)
    if label2id is None:
        label2id = number_labels(labels[i] for i in kept)
    labeled = LabeledTexts(
        [texts[i] for i in kept], [label2id[labels[i]] for i in kept], label2id, table.lines[kept]
    )
    return labeled, reject_rows(table, reasons)


def chosen_mapping(text: Sequence[str], label: str | None) -> ColumnMapping:
    """The mapping of the columns that a person chose.

    Raises:
        UserError: one of the two is missing, or one column is both.
    """
    if not text or label is None:
        missing = [name for name, chosen in (("text", text), ("label", label)) if not chosen]
        raise UserError(
            "a column for the text and one for the label",
            f"none chosen for the {' and the '.join(missing)}",
            "Choose it under Columns.",
        )
    if label in text:
        raise UserError(
            "different columns for text and label",
            f"{label} as both",
            "Choose another label column, or take it out of the text columns.",
        )
    return ColumnMapping(tuple(text), label)


def align_labels(labeled: LabeledTexts, label2id: dict[str, int]) -> tuple[LabeledTexts, list[RejectedRow]]:
    """Number the labels as `label2id` does; rows with a label that it does not hold are rejected."""
    names = labeled.id2label
    kept = [i for i, number in enumerate(labeled.labels) if names[number] in label2id]
    lost = [i for i, number in enumerate(labeled.labels) if names[number] not in label2id]
    aligned = replace(
        labeled.take(kept), labels=[label2id[names[labeled.labels[i]]] for i in kept], label2id=label2id
    )
    return aligned, [reject(labeled, i, _not_learned(names[labeled.labels[i]])) for i in lost]


def reject(labeled: LabeledTexts, row: int, reason: str) -> RejectedRow:
    """A labelled row as a rejected one; on line 0 where its line is not known."""
    line = 0 if labeled.lines is None else int(labeled.lines[row])
    label = labeled.id2label[labeled.labels[row]]
    return RejectedRow(line, reason, f"{label[:80]}: {labeled.texts[row]}"[:RAW_CHARACTERS])


def check_columns(table: Table, mapping: ColumnMapping) -> None:
    """Check that the mapping can be used with this table.

    Raises:
        UserError: it has no text column, one that the table does not have, or one column in two roles.
    """
    present = list(table.frame.columns)
    wanted = [*mapping.text, mapping.label, *([mapping.split] if mapping.split is not None else [])]
    missing = [name for name in dict.fromkeys(wanted) if name not in present]
    if missing or not mapping.text:
        raise UserError(
            f"the column {', '.join(map(repr, missing))}" if missing else "at least one text column",
            f"the columns {', '.join(map(repr, present[:20]))}{' …' if len(present) > 20 else ''}",
            "Choose among the columns of the file; capital letters and spaces count.",
        )
    twice = [name for name, times in Counter(wanted).items() if times > 1]
    if twice:
        raise UserError(
            "different columns for text, label and split",
            f"{', '.join(map(repr, twice))} chosen twice",
            "Choose each column once: a model that reads the answer learns nothing.",
        )


def number_labels(labels: Iterable[str]) -> dict[str, int]:
    """Number the distinct labels from 0: sorted by value if all are numbers, else by name."""
    distinct = sorted(set(labels))
    if all(NUMBER.fullmatch(label) for label in distinct):
        distinct.sort(key=lambda label: float(label.strip().replace(",", ".")))
    return {label: number for number, label in enumerate(distinct)}


def join_text(table: Table, columns: Sequence[str]) -> list[str]:
    """The text of every row: its text columns joined by a space, blank ones left out.

    Raises:
        UserError: no column given, or one that is not in the table.
    """
    missing = [name for name in columns if name not in table.frame.columns]
    if missing or not columns:
        raise UserError(
            f"the column {', '.join(map(repr, missing))}" if missing else "at least one text column",
            f"the columns {', '.join(map(repr, list(table.frame.columns)[:20]))}",
            "Choose among the columns of the file; capital letters and spaces count.",
        )
    parts = [table.frame[column].tolist() for column in columns]
    if len(parts) == 1:
        return parts[0]
    return [" ".join(part for part in row if part.strip()) for row in zip(*parts, strict=True)]


def _reasons(
    texts: list[str], labels: list[str], mapping: ColumnMapping, label2id: dict[str, int] | None
) -> dict[int, str]:
    """Why a row cannot be used, by its position."""
    reasons = {}
    for i, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if not text or text.isspace():
            reasons[i] = f"{EMPTY_TEXT} ({', '.join(mapping.text)})"
        elif not label or label.isspace():
            reasons[i] = f"{EMPTY_LABEL} ({mapping.label})"
        elif label2id is not None and label not in label2id:
            reasons[i] = _not_learned(label)
    return reasons


def _not_learned(label: str) -> str:
    return f"the label {label[:80]!r} is not among the labels to learn"


def _nothing_left(reasons: dict[int, str], mapping: ColumnMapping) -> UserError:
    counts = Counter(reasons.values()).most_common(3)
    return UserError(
        "at least one row with a text and a label",
        "; ".join(f"{reason} in {count:,} of {len(reasons):,} rows" for reason, count in counts) or "no rows",
        f"Check that {', '.join(mapping.text)} holds the texts and {mapping.label} the labels.",
    )


def reject_rows(table: Table, reasons: dict[int, str]) -> list[RejectedRow]:
    """The rows at these positions as rejected ones, each with its reason."""
    positions = list(reasons)
    rows = table.frame.iloc[positions]
    raw = zip(*(rows[name].tolist() for name in rows.columns), strict=True)
    between = table.dialect.delimiter or " "
    return [
        RejectedRow(int(line), reason, between.join(fields)[:RAW_CHARACTERS])
        for line, reason, fields in zip(table.lines[positions], reasons.values(), raw, strict=True)
    ]
