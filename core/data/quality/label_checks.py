"""Checks of the labels: whether they are classes at all, how they are written, how many texts each has."""

from collections import Counter

from core.base.formatting import count, percent, shorten
from core.data.labels import EMPTY_LABEL, EMPTY_TEXT
from core.data.quality.findings import EXAMPLES, Facts, Finding, Offer, some
from core.data.quality.fixes import FEW_EXAMPLES, OTHER, WEIGH, Fix, alike_labels, rare_labels

FEW_ROWS = 50
IMBALANCE = 20
MANY_CLASSES = 100
MOST_CLASSES = 1_000
# From here on, as many labels as half of the rows are names of rows rather than classes.
ID_CLASSES = 50
# A measurement has more values than a scale of marks or stars.
MOST_DECIMAL_VALUES = 20
# Whole numbers that hardly come back, and more of them than a scale of 0 to 100 has.
MOST_WHOLE_VALUES = 101
# Python reads no number of more than some thousand digits; one of a hundred measures nothing.
MOST_DIGITS = 100
MANY_REJECTED = 0.05


# Errors: with these labels there is nothing to learn


def no_texts(facts: Facts) -> Finding | None:
    """Not one row to learn from."""
    if facts.rows:
        return None
    return Finding(
        "error",
        "No texts",
        "at least one row with a text and a label",
        "none",
        "Choose the columns that hold the texts and the labels.",
        0,
    )


def one_class(facts: Facts) -> Finding | None:
    """The same label everywhere."""
    if len(facts.counts) > 1:
        return None
    label = next(iter(facts.counts))
    return Finding(
        "error",
        "Only one class",
        "labels of two or more classes",
        f"the label {shorten(label)!r} on all {count(facts.rows, 'row')}",
        "Choose another label column, or add rows with another label.",
        1,
        some(facts.counts),
    )


def labels_are_ids(facts: Facts) -> Finding | None:
    """A label of its own on most rows."""
    classes = len(facts.counts)
    each_its_own = classes == facts.rows and classes > 2
    if not each_its_own and not (classes > ID_CLASSES and classes > facts.rows / 2):
        return None
    return Finding(
        "error",
        "The labels look like ids",
        "labels that come back on many rows",
        f"{count(classes, 'different label')} on {count(facts.rows, 'row')}",
        "Choose the column that holds the class of each text, not one that tells the rows apart.",
        classes,
        some(facts.counts),
    )


def measurements(facts: Facts) -> Finding | None:
    """Numbers on a scale: a target for regression."""
    if len(facts.decimals) <= MOST_DECIMAL_VALUES:
        return None
    return Finding(
        "error",
        "The labels are measurements",
        "a few classes, the same ones on many rows",
        f"{count(len(facts.decimals), 'different number')} with decimals",
        "Choose another label column, or put the numbers into a few ranges first: low, medium, high.",
        len(facts.decimals),
        some(facts.decimals),
    )


def too_many_classes(facts: Facts) -> Finding | None:
    """More classes than a classifier of this kind learns."""
    if len(facts.counts) <= MOST_CLASSES:
        return None
    return Finding(
        "error",
        "Too many classes",
        f"at most {MOST_CLASSES:,} classes",
        f"{len(facts.counts):,} classes on {count(facts.rows, 'row')}",
        "Choose another label column, or join classes that belong together.",
        len(facts.counts),
        some(facts.counts),
    )


# Warnings


def rows_left_out(facts: Facts) -> Finding | None:
    """Many rows that cannot be used, or some without a text or a label."""
    blank = [row for row in facts.rejected if row.reason.startswith((EMPTY_TEXT, EMPTY_LABEL))]
    total = facts.rows + len(facts.rejected)
    many = len(facts.rejected) > MANY_REJECTED * total
    if not many and not blank:
        return None
    rows = facts.rejected if many else blank
    reasons = Counter(row.reason for row in rows).most_common(EXAMPLES)
    return Finding(
        "warning",
        "Many rows cannot be used" if many else "Rows without a text or a label",
        "a text and a label on every row",
        f"{count(len(rows), 'row')} of {total:,} ({percent(len(rows) / total)}) without",
        "They are left out. Look at them, and mend them in the file if they matter.",
        len(rows),
        tuple(f"{number:,} × {reason}" for reason, number in reasons),
    )


def few_rows(facts: Facts) -> Finding | None:
    """Hardly enough to try out."""
    if facts.rows >= FEW_ROWS:
        return None
    return Finding(
        "warning",
        "Few texts",
        f"at least {FEW_ROWS} texts",
        f"{facts.rows}",
        "Train to try it out, but do not trust the scores: a few texts decide them. Add more if you can.",
        facts.rows,
    )


def many_classes(facts: Facts) -> Finding | None:
    """So many classes that the column may be another one."""
    classes = len(facts.counts)
    if classes <= MANY_CLASSES:
        return None
    return Finding(
        "warning",
        "Many classes",
        f"at most about {MANY_CLASSES} classes",
        f"{classes:,} classes, {facts.rows / classes:.0f} texts in each on average",
        "Check that this is the right label column; join classes that belong together.",
        classes,
        some(facts.counts),
    )


def few_examples(facts: Facts) -> Finding | None:
    """Classes with too few texts to learn or to test."""
    rare = rare_labels(facts.counts)
    if not rare:
        return None
    rows = sum(facts.counts[label] for label in rare)
    offers = []
    if len(facts.counts) - len(rare) > 1:
        offers.append(Offer("Leave these classes out", Fix("drop_rare_classes"), rows))
    joined = [label for label in rare if label != OTHER]
    if len(rare) < len(facts.counts) and (len(joined) > 1 or (joined and OTHER in facts.counts)):
        rows = sum(facts.counts[label] for label in joined)
        offers.append(Offer(f"Join them into “{OTHER}”", Fix("join_rare_classes"), rows))
    return Finding(
        "warning",
        "Classes with few texts",
        f"at least {FEW_EXAMPLES} texts in every class",
        f"{count(len(rare), 'class', 'classes')} with fewer",
        "Add texts to them, leave them out, or join them: with one or two texts they are never tested.",
        len(rare),
        some(f"{shorten(label)} ({facts.counts[label]})" for label in rare),
        tuple(offers),
    )


def imbalance(facts: Facts) -> Finding | None:
    """One class far larger than another."""
    largest, smallest = (pick(facts.counts, key=facts.counts.__getitem__) for pick in (max, min))
    if facts.counts[largest] < IMBALANCE * facts.counts[smallest]:
        return None
    return Finding(
        "warning",
        "Very uneven classes",
        f"no class more than {IMBALANCE} times as large as another",
        f"{facts.counts[largest]:,} texts of {shorten(largest, 40)!r}, "
        f"{facts.counts[smallest]:,} of {shorten(smallest, 40)!r}",
        "Look at the macro F1 rather than the accuracy, and weigh rare classes more in training.",
        2,
        (shorten(largest), shorten(smallest)),
        (Offer("Weigh rare classes more", Fix(WEIGH)),),
    )


def decimal_labels(facts: Facts) -> Finding | None:
    """A scale with decimals: it may be a rating, and each mark a class."""
    if not facts.decimals:
        return None
    return Finding(
        "warning",
        "The labels are numbers with decimals",
        "names of classes",
        f"{count(len(facts.decimals), 'different number')} with decimals",
        "Go on if each number stands for a class. The model will not know that 4.5 is close to 5.",
        len(facts.decimals),
        some(facts.decimals),
    )


def whole_numbers(facts: Facts) -> Finding | None:
    """Many whole numbers with gaps, as prices and amounts have; the numbers of classes have none."""
    whole = all(len(label) <= MOST_DIGITS and label.strip().isdecimal() for label in facts.counts)
    if len(facts.counts) <= MOST_WHOLE_VALUES or not whole:
        return None
    numbers = [int(label) for label in facts.counts]
    if max(numbers) - min(numbers) < 2 * len(numbers):
        return None
    return Finding(
        "warning",
        "The labels may be measurements",
        "a few classes, the same ones on many rows",
        f"{count(len(numbers), 'different number')} from {min(numbers):,} to {max(numbers):,}",
        "Go on if each number stands for a class. The model will not know that 119 is close to 120.",
        len(numbers),
        some(facts.counts),
    )


def similar_labels(facts: Facts) -> Finding | None:
    """Labels that differ in case, white space or Unicode form only."""
    alike = alike_labels(facts.counts)
    if not alike:
        return None
    rows = sum(facts.counts[label] for best, group in alike.items() for label in group if label != best)
    return Finding(
        "warning",
        "Labels that differ only in how they are written",
        "one way to write each label",
        f"{count(len(alike), 'label')} written in two or more ways (capital letters, spaces, accents)",
        "Write them alike, unless they are different classes: otherwise the model learns to tell them apart.",
        sum(map(len, alike.values())),
        tuple(
            ", ".join(f"{shorten(name, 40)!r} ({facts.counts[name]:,})" for name in group[:EXAMPLES])
            for group in list(alike.values())[:EXAMPLES]
        ),
        (Offer("Write them alike", Fix("write_labels_alike"), rows),),
    )
