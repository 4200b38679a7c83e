"""The confusion matrix: which labels are taken for which."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.base.formatting import count, isolated, shorten
from core.charts.elements import INK, SPLIT_COLOUR, axis_names, layered

CELLS_WITH_NUMBERS = 12


def confusion_heatmap(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> alt.LayerChart:
    """True label by predicted label; the fuller a cell, the larger its share of the true label's texts.

    A click on a cell selects it (parameter `cell`, fields `true` and `predicted`: see `axis_names`).

    Args:
        labels: the classes, in the order of rows and columns.
        matrix: counts, rows true, columns predicted.
    """
    cells = confusion_table(labels, matrix)
    names = axis_names(labels)
    small = len(labels) <= CELLS_WITH_NUMBERS
    side = 44 if small else max(11, min(30, 1000 // len(labels)))
    axis: dict[str, Any] = {"labelLimit": 120, "labelFontSize": 12 if side >= 16 else 9}
    base = alt.Chart(cells).encode(
        x=alt.X(
            "predicted:N",
            title="Predicted label",
            sort=names,
            scale=alt.Scale(domain=names),
            # Rows are as high as their names need; columns may be narrower, on a phone.
            axis=alt.Axis(
                labelAngle=-45 if small else -90, labelOverlap=False if small else "greedy", **axis
            ),
        ),
        y=alt.Y(
            "true:N",
            title="True label",
            sort=names,
            scale=alt.Scale(domain=names),
            axis=alt.Axis(labelOverlap=False, **axis),
        ),
        tooltip=[
            alt.Tooltip("true:N", title="True label"),
            alt.Tooltip("predicted:N", title="Predicted label"),
            alt.Tooltip("texts:Q", title="Texts", format=",.0f"),
            alt.Tooltip("share:Q", title="Share of the true label", format=".1%"),
        ],
    )
    # Opacity, so that the page's background shows through and its text colour stays readable.
    squares = base.mark_rect().encode(
        color=alt.Color("kind:N", scale=SPLIT_COLOUR, legend=None),
        opacity=alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.2, 0.6]), legend=None),
    )
    squares = squares.add_params(alt.selection_point("cell", fields=["true", "predicted"]))
    numbers = base.mark_text().encode(text=alt.Text("texts:Q", format=",.0f"), color=INK)
    layers = [squares, numbers] if small else [squares]
    return layered(*layers).properties(height=alt.Step(side))


def confusion_table(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> pd.DataFrame:
    """The filled cells of a confusion matrix: true, predicted, texts, share (of the true label), kind."""
    counts = np.asarray(matrix, dtype=np.int64)
    totals = counts.sum(axis=1)
    names = axis_names(labels)
    rows = [
        {
            "true": names[true],
            "predicted": names[predicted],
            "texts": int(counts[true, predicted]),
            "share": counts[true, predicted] / totals[true],
            "kind": "test" if true == predicted else "wrong",
        }
        for true, predicted in zip(*np.nonzero(counts), strict=True)
    ]
    return pd.DataFrame(rows, columns=["true", "predicted", "texts", "share", "kind"])


def mistakes_table(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> pd.DataFrame:
    """Which labels are taken for which, most texts first: true, predicted, texts, share."""
    cells = confusion_table(labels, matrix)
    wrong = cells[cells["kind"] == "wrong"].drop(columns="kind")
    return wrong.sort_values(["texts", "share"], ascending=False).reset_index(drop=True)


def describe_confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]], most: int = 3) -> str:
    """The confusion matrix in words: how many are right, and the most frequent mistakes."""
    counts = np.asarray(matrix, dtype=np.int64)
    right, total = int(np.trace(counts)), int(counts.sum())
    words = f"Confusion matrix: {right:,} of {count(total, 'text')} on the diagonal, which is right."
    mistakes = mistakes_table(labels, matrix).head(most)
    if mistakes.empty:
        return words
    named = "; ".join(
        f"{isolated(shorten(str(row.true), 40))} taken for {isolated(shorten(str(row.predicted), 40))} "
        f"({row.texts:,})"
        for row in mistakes.itertuples()
    )
    return f"{words} Most frequent mistakes: {named}."
