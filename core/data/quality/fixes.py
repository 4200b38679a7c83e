"""What a person does about a finding: a list of fixes, applied in order, each of which can be taken back.

The file is never changed. A fix says what to do, not with which rows, so that the same list means the same
after a reload; to undo one is to apply the list without it.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.base.errors import UserError
from core.base.formatting import count
from core.base.json_forms import Count, Timestamp, WrongForm, parse_as
from core.data.labels import LabeledTexts, normal_text, number_labels, reject
from core.data.quality import duplicates, languages, markup, personal_data
from core.data.reading.text.records import RejectedRow

if TYPE_CHECKING:
    from core.data.splits import Splits

FEW_EXAMPLES = 5
"""A class with fewer texts is rare."""

OTHER = "other"
"""The class that rare ones are joined into."""


@dataclass(frozen=True)
class Fix:
    """One thing to do to the data.

    `kind` is a key of `KINDS`; `value` is what that kind needs to know, often nothing; `time` is when a
    person asked for it, in seconds since 1970, and does not make it another fix.

    Raises:
        UserError: there is no such kind, or the value is not one of it.
    """

    kind: str
    value: str = ""
    time: Timestamp = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        kind = KINDS.get(self.kind)
        if kind is None or not kind.takes(self.value):
            raise UserError(
                f"a fix, one of {', '.join(KINDS)}",
                f"{str(self.kind)[:40]!r} with {str(self.value)[:40]!r}",
                "Open the file again and choose the fixes once more.",
            )

    @property
    def topic(self) -> str:
        """What it is about, as it is recorded: "Repeated texts", "Labels written alike"."""
        return KINDS[self.kind].topic.format(value=languages.name(self.value))

    @property
    def words(self) -> str:
        """What it does: "Repeated texts left out", "Labels written alike"."""
        return f"{self.topic} left out" if KINDS[self.kind].drops else self.topic

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class AppliedFix:
    """What one fix did to a data set, as it is recorded with it.

    `fix` is its topic; `changed` and `left_out` count rows; `time` is in seconds since 1970.
    """

    fix: str
    changed: Count
    left_out: Count
    time: Timestamp

    @property
    def words(self) -> str:
        """The fix and what it did, for people."""
        numbers = [(self.changed, "changed"), (self.left_out, "left out")]
        did = [f"{count(number, 'row')} {what}" for number, what in numbers if number]
        return f"{self.fix}: {', '.join(did)}" if did else self.fix

    def facts(self) -> dict[str, Any]:
        """For JSON; `done_to` reads it."""
        return asdict(self)


@dataclass(frozen=True)
class Fixed:
    """Texts after a list of fixes: one entry of `done` for each, and every row that was left out."""

    labeled: LabeledTexts
    done: tuple[AppliedFix, ...]
    rejected: list[RejectedRow]


@dataclass(frozen=True)
class Edit:
    """What a fix does to single rows, by their position: other texts, other labels, rows left out and why."""

    texts: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)
    dropped: Mapping[int, str] = field(default_factory=dict)


def apply(labeled: LabeledTexts, fixes: Sequence[Fix]) -> Fixed:
    """Apply fixes in this order. Pure: the same texts and fixes, the same result.

    Those that need to know the parts are passed over; `apply_to_splits` applies them.

    Raises:
        UserError: no row would be left.
    """
    done, rejected = [], []
    for fix in (fix for fix in fixes if fix.kind != DROP_LEAKS):
        edit = KINDS[fix.kind].edit(labeled, fix.value)
        labeled, gone = _edited(labeled, edit)
        done.append(
            AppliedFix(fix.topic, len({*edit.texts, *edit.labels} - set(edit.dropped)), len(gone), fix.time)
        )
        rejected += gone
        if not len(labeled):
            raise UserError("at least one row that is left", f"none after “{fix.words}”", "Undo this fix.")
    return Fixed(labeled, tuple(done), sorted(rejected, key=lambda row: row.line))


def apply_to_other(labeled: LabeledTexts, fixes: Sequence[Fix], learned: LabeledTexts) -> LabeledTexts:
    """Write the texts and labels of a file of its own for validation or test as the fixes wrote the others.

    No row is left out: what a model is judged on is its owner's choice.

    Args:
        learned: the texts to train on, before any fix.
    """
    for fix in fixes:
        kind = KINDS[fix.kind]
        if kind.rewrites:
            edit = kind.edit(labeled, fix.value)
            texts = {row: text for row, text in edit.texts.items() if row not in edit.dropped}
            labeled, _ = _edited(labeled, Edit(texts=texts))
    names = _renamed(learned, fixes)
    keys = {label_key(label): name for label, name in names.items()}
    alike = any(fix.kind == "write_labels_alike" for fix in fixes)
    labels = [
        names.get(label, keys.get(label_key(label), label) if alike else label) for label in _labels(labeled)
    ]
    label2id = number_labels(labels)
    return replace(labeled, labels=[label2id[label] for label in labels], label2id=label2id)


def apply_to_splits(
    splits: Splits, fixes: Sequence[Fix]
) -> tuple[Splits, list[AppliedFix], list[RejectedRow]]:
    """The fixes that need to know the parts: only those that leave training texts out because of the others.

    Raises:
        UserError: the training texts left would have fewer than two classes.
    """
    done, rejected = [], []
    for fix in (fix for fix in fixes if fix.kind == DROP_LEAKS):
        held_out = [*splits.test.texts, *splits.validation.texts]
        shared = duplicates.shared_rows(splits.train.texts, held_out)
        reason = "nearly the same text is in validation or test"
        train, gone = _edited(splits.train, Edit(dropped=dict.fromkeys(shared, reason)), renumber=False)
        if len(set(train.labels)) < 2:
            found = f"{count(len(train), 'text')} after “{fix.words}”"
            raise UserError("training texts of two or more classes", found, "Undo this fix.")
        splits = replace(splits, train=train)
        done.append(AppliedFix(fix.topic, 0, len(gone), fix.time))
        rejected += gone
    return splits, done, rejected


def done_to(source: Mapping[str, Any]) -> list[AppliedFix]:
    """What was done to a data set, from its `source`; what is not sound in there is passed over."""
    facts = source.get("fixes")
    found = []
    for entry in facts if isinstance(facts, list) else []:
        with suppress(WrongForm):
            found.append(parse_as(entry, AppliedFix))
    return found


# Rows


def _labels(labeled: LabeledTexts) -> list[str]:
    names = labeled.id2label
    return [names[number] for number in labeled.labels]


def _edited(
    labeled: LabeledTexts, edit: Edit, renumber: bool = True
) -> tuple[LabeledTexts, list[RejectedRow]]:
    rejected = [reject(labeled, row, reason) for row, reason in edit.dropped.items()]
    if edit.texts:
        texts = list(labeled.texts)
        for row, text in edit.texts.items():
            texts[row] = text
        labeled = replace(labeled, texts=texts)
    if edit.labels:
        labels = _labels(labeled)
        for row, label in edit.labels.items():
            labels[row] = label
        label2id = number_labels(labels)
        labeled = replace(labeled, labels=[label2id[label] for label in labels], label2id=label2id)
    if edit.dropped:
        labeled = labeled.take(row for row in range(len(labeled)) if row not in edit.dropped)
        labeled = _without_empty_classes(labeled) if renumber else labeled
    return labeled, rejected


def _without_empty_classes(labeled: LabeledTexts) -> LabeledTexts:
    used = set(labeled.labels)
    if len(used) == len(labeled.label2id):
        return labeled
    names = labeled.id2label
    label2id = number_labels(names[number] for number in used)
    return replace(labeled, labels=[label2id[names[number]] for number in labeled.labels], label2id=label2id)


def _line(labeled: LabeledTexts, row: int) -> str:
    return "an earlier line" if labeled.lines is None else f"line {int(labeled.lines[row]):,}"


def _renamed(learned: LabeledTexts, fixes: Sequence[Fix]) -> dict[str, str]:
    """What the fixes made of each label."""
    names = {label: label for label in learned.label2id}
    for position, fix in enumerate(fixes):
        if KINDS[fix.kind].renames:
            before = apply(learned, fixes[:position]).labeled
            rows = {label: row for row, label in enumerate(_labels(before))}
            edit = KINDS[fix.kind].edit(before, fix.value)
            now = {label: edit.labels.get(row, label) for label, row in rows.items()}
            names = {label: now.get(name, name) for label, name in names.items()}
    return names


# What each kind does


def label_key(label: str) -> str:
    """Equal for labels that differ in case, white space or Unicode form only."""
    return normal_text(unicodedata.normalize("NFKC", label))


def alike_labels(counts: Mapping[str, int]) -> dict[str, list[str]]:
    """Labels that differ only in how they are written, under the most frequent (then the first) of them."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        groups[label_key(label)].append(label)
    return {max(group, key=counts.__getitem__): group for group in groups.values() if len(group) > 1}


def rare_labels(counts: Mapping[str, int], fewest: int = FEW_EXAMPLES) -> list[str]:
    """Labels on fewer rows than this."""
    return [label for label, number in counts.items() if 0 < number < fewest]


def _write_labels_alike(labeled: LabeledTexts, value: str) -> Edit:
    groups = alike_labels(labeled.class_counts())
    names = {label: best for best, group in groups.items() for label in group if label != best}
    return Edit(labels={row: names[label] for row, label in enumerate(_labels(labeled)) if label in names})


def _drop_rare(labeled: LabeledTexts, value: str) -> Edit:
    rare = set(rare_labels(labeled.class_counts()))
    reason = f"a class with fewer than {FEW_EXAMPLES} texts"
    return Edit(dropped={row: reason for row, label in enumerate(_labels(labeled)) if label in rare})


def _join_rare(labeled: LabeledTexts, value: str) -> Edit:
    rare = set(rare_labels(labeled.class_counts())) - {OTHER}
    return Edit(labels={row: OTHER for row, label in enumerate(_labels(labeled)) if label in rare})


def _drop_repeated(labeled: LabeledTexts, value: str) -> Edit:
    repeated = duplicates.repeated_rows(duplicates.text_codes(labeled.texts), np.array(labeled.labels))
    return Edit(dropped={row: f"repeats {_line(labeled, first)}" for row, first in repeated.items()})


def _drop_near(labeled: LabeledTexts, value: str) -> Edit:
    codes = duplicates.text_codes(labeled.texts)
    near = duplicates.near_repeated_rows(labeled.texts, codes, np.array(labeled.labels))
    return Edit(dropped={row: f"nearly repeats {_line(labeled, first)}" for row, first in near.items()})


def _drop_conflicting(labeled: LabeledTexts, value: str) -> Edit:
    rows = duplicates.conflicting_rows(duplicates.text_codes(labeled.texts), np.array(labeled.labels))
    return Edit(dropped=dict.fromkeys(rows.tolist(), "the same text has another label elsewhere"))


def _keep_majority(labeled: LabeledTexts, value: str) -> Edit:
    rows = duplicates.minority_rows(duplicates.text_codes(labeled.texts), np.array(labeled.labels))
    return Edit(dropped=dict.fromkeys(rows.tolist(), "most rows of the same text have another label"))


def _dropping(wrong: Callable[[str], bool], reason: str) -> Callable[[LabeledTexts, str], Edit]:
    def edit(labeled: LabeledTexts, value: str) -> Edit:
        return Edit(dropped={row: reason for row, text in enumerate(labeled.texts) if wrong(text)})

    return edit


def _rewriting(
    wrong: Callable[[str], bool], write: Callable[[str], str]
) -> Callable[[LabeledTexts, str], Edit]:
    def edit(labeled: LabeledTexts, value: str) -> Edit:
        texts = {row: write(text) for row, text in enumerate(labeled.texts) if wrong(text)}
        empty = {
            row: "nothing is left of the text without its marks" for row in texts if not texts[row].strip()
        }
        changed = {row: text for row, text in texts.items() if text != labeled.texts[row]}
        return Edit(texts=changed, dropped=empty)

    return edit


def _drop_other_languages(labeled: LabeledTexts, value: str) -> Edit:
    codes = languages.detect(labeled.texts)
    return Edit(
        dropped={
            row: f"written in {languages.name(code)}"
            for row, code in enumerate(codes)
            if code is not None and code != value
        }
    )


def is_one_word(text: str) -> bool:
    """Whether the text is a single word; of Chinese, Japanese and Thai, which have no spaces, two signs."""
    words = text.split(None, 1)
    return len(words) == 1 and (len(words[0]) <= 2 or not any(map(_has_no_spaces, words[0])))


def _has_no_spaces(letter: str) -> bool:
    return "\u0e00" <= letter <= "\u0eff" or "\u3040" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff"


def _has_personal(text: str) -> bool:
    return bool(personal_data.find(text))


def _is_empty(value: str) -> bool:
    return not value


def _nothing(labeled: LabeledTexts, value: str) -> Edit:
    return Edit()


@dataclass(frozen=True)
class Kind:
    """A kind of fix: what it is about, what it does to the rows, and which values it takes.

    `drops`: it leaves out what it is about.
    `rewrites`: it writes texts anew, those of other files too. `renames`: it gives labels other names.
    """

    topic: str
    edit: Callable[[LabeledTexts, str], Edit]
    takes: Callable[[str], bool] = _is_empty
    drops: bool = False
    rewrites: bool = False
    renames: bool = False


DROP_LEAKS, WEIGH = "drop_leaks", "weigh_classes"

KINDS = {
    "write_labels_alike": Kind("Labels written alike", _write_labels_alike, renames=True),
    "drop_rare_classes": Kind(f"Classes with fewer than {FEW_EXAMPLES} texts", _drop_rare, drops=True),
    "join_rare_classes": Kind(
        f"Classes with fewer than {FEW_EXAMPLES} texts joined into “{OTHER}”", _join_rare, renames=True
    ),
    "drop_conflicting": Kind("Texts with two labels", _drop_conflicting, drops=True),
    "keep_majority": Kind("Less frequent labels of the same text", _keep_majority, drops=True),
    "drop_repeated": Kind("Repeated texts", _drop_repeated, drops=True),
    "drop_near_repeated": Kind("Nearly repeated texts", _drop_near, drops=True),
    DROP_LEAKS: Kind("Training texts close to validation and test texts", _nothing, drops=True),
    "drop_one_word": Kind("Texts of one word", _dropping(is_one_word, "a single word"), drops=True),
    "drop_only_links": Kind(
        "Texts that are only links", _dropping(markup.is_only_links, "nothing but links"), drops=True
    ),
    "drop_other_languages": Kind(
        "Texts that are not in {value}", _drop_other_languages, languages.is_code, drops=True
    ),
    "strip_html": Kind("HTML taken out", _rewriting(markup.has_html, markup.strip_html), rewrites=True),
    "strip_markdown": Kind(
        "Markdown taken out", _rewriting(markup.has_markdown, markup.strip_markdown), rewrites=True
    ),
    "mask_personal": Kind(
        "Personal data masked", _rewriting(_has_personal, personal_data.mask), rewrites=True
    ),
    WEIGH: Kind("Rare classes weigh more in training", _nothing),
}
