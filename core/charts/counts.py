"""Texts per class and split, and by their length."""

import altair as alt
import pandas as pd

from core.base.formatting import count, isolated, shorten
from core.charts.elements import LABEL_PIXELS, MEANINGS, SPLIT_MEANING, axis_names, split_colour

MOST_BARS = 30


def class_balance(class_counts: dict[str, dict[str, int]]) -> alt.Chart:
    """Texts per class as bars, coloured by split.

    Args:
        class_counts: split → label → number of texts, as `Dataset.class_counts`.
    """
    rows = balance_table(class_counts)
    order = list(dict.fromkeys(rows["label"]))
    return (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            x=alt.X("texts:Q", title="Texts", axis=alt.Axis(format=",.0f", tickMinStep=1)),
            y=alt.Y("label:N", title=None, sort=order, axis=alt.Axis(labelLimit=LABEL_PIXELS)),
            color=split_colour([split for split in MEANINGS if split in set(rows["split"])]),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("label:N", title="Class"),
                alt.Tooltip("split:N", title="Split"),
                alt.Tooltip("texts:Q", title="Texts", format=",.0f"),
            ],
        )
        .properties(height=alt.Step(22))
    )


def balance_table(class_counts: dict[str, dict[str, int]], most: int = MOST_BARS) -> pd.DataFrame:
    """Rows of the balance chart, for the `most` largest classes: label, split, rank (of the split), texts."""
    totals = _totals(class_counts)
    largest = sorted(totals, key=lambda label: -totals[label])[:most]
    rows = [
        [name, meaning, rank, class_counts.get(split, {}).get(label, 0)]
        for name, label in zip(axis_names(largest), largest, strict=True)
        for rank, (split, meaning) in enumerate(SPLIT_MEANING.items())
    ]
    table = pd.DataFrame(rows, columns=["label", "split", "rank", "texts"])
    return table[table["texts"] > 0].reset_index(drop=True)


def describe_balance(class_counts: dict[str, dict[str, int]]) -> str:
    """The class balance in words."""
    totals = _totals(class_counts)
    if not totals:
        return "No classes."
    shown = "" if len(totals) <= MOST_BARS else f", the largest {MOST_BARS} shown"
    large, small = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    classes = f"Texts per class, {count(len(totals), 'class', 'classes')}{shown}"
    if totals[large] == totals[small]:
        return f"{classes}. All have {totals[large]:,}."
    return (
        f"{classes}. Largest: {isolated(shorten(large, 40))} with {totals[large]:,}. "
        f"Smallest: {isolated(shorten(small, 40))} with {totals[small]:,}."
    )


def length_chart(lengths: pd.DataFrame) -> alt.Chart:
    """How long the texts are. Takes columns words_from, words_to (both included), texts."""
    return (
        alt.Chart(lengths.assign(end=lengths["words_to"] + 1))
        .mark_bar()
        .encode(
            x=alt.X(
                "words_from:Q",
                title="Length (words)",
                bin="binned",
                axis=alt.Axis(format=",.0f", tickMinStep=1),
            ),
            x2="end:Q",
            y=alt.Y("texts:Q", title="Texts", axis=alt.Axis(format=",.0f", tickMinStep=1)),
            tooltip=[
                alt.Tooltip("words_from:Q", title="Words from", format=",.0f"),
                alt.Tooltip("words_to:Q", title="to", format=",.0f"),
                alt.Tooltip("texts:Q", title="Texts", format=",.0f"),
            ],
        )
        .properties(height=240)
    )


def describe_lengths(lengths: pd.DataFrame) -> str:
    """The length histogram in words."""
    filled = lengths[lengths["texts"] > 0]
    if filled.empty:
        return "No texts."
    most = filled.iloc[int(filled["texts"].to_numpy().argmax())]
    whole = _range(filled["words_from"].min(), filled["words_to"].max())
    often = _range(most["words_from"], most["words_to"])
    return f"Texts by length: {whole} words; most often {often} ({count(int(most['texts']), 'text')})."


def _totals(class_counts: dict[str, dict[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for counts in class_counts.values():
        for label, texts in counts.items():
            totals[label] = totals.get(label, 0) + texts
    return totals


def _range(first: float, last: float) -> str:
    return f"{first:,.0f}" if first == last else f"{first:,.0f} to {last:,.0f}"
