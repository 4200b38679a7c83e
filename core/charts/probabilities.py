"""The probability of each class for one text."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from core.base.formatting import isolated, percent, shorten
from core.charts.elements import INK, LABEL_PIXELS, SPLIT_COLOUR, axis_names, layered


def probability_table(labels: Sequence[str], probabilities: Sequence[float]) -> pd.DataFrame:
    """Classes by probability, the most likely first: label, probability (share of one)."""
    table = pd.DataFrame({"label": list(labels), "probability": np.asarray(probabilities, dtype=float)})
    return table.sort_values("probability", ascending=False, kind="stable").reset_index(drop=True)


def probability_bars(table: pd.DataFrame) -> alt.LayerChart:
    """A bar per class. Takes rows of a `probability_table`."""
    rows = table.assign(label=axis_names(list(table["label"])), kind="test")
    order = list(rows["label"])
    base = alt.Chart(rows).encode(
        x=alt.X(
            "probability:Q",
            title="Probability (%)",
            scale=alt.Scale(domain=[0, 1.15]),
            axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
        ),
        y=alt.Y("label:N", title=None, sort=order, axis=alt.Axis(labelLimit=LABEL_PIXELS)),
        tooltip=[
            alt.Tooltip("label:N", title="Class"),
            alt.Tooltip("probability:Q", title="Probability", format=".2%"),
        ],
    )
    bars = base.mark_bar().encode(color=alt.Color("kind:N", scale=SPLIT_COLOUR, legend=None))
    numbers = base.mark_text(align="left", dx=4).encode(
        text=alt.Text("probability:Q", format=".1%"), color=INK
    )
    return layered(bars, numbers).properties(height=alt.Step(26))


def describe_probabilities(table: pd.DataFrame, most: int = 3) -> str:
    """The most likely classes in words."""
    named = "; ".join(
        f"{isolated(shorten(label, 40))} {percent(probability)}"
        for label, probability in zip(table["label"].head(most), table["probability"].head(most), strict=True)
    )
    return f"Probability by class: {named}."
