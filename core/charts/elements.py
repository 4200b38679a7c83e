"""What charts share: what colours mean, how many points are drawn, names on an axis, words.

Colours carry meaning and come from the theme's categorical colours, in the order of `MEANINGS`; so a chart
is readable on a light and on a dark page. User text is only ever data here, never a field name or a format.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

MEANINGS = ("training", "validation", "test", "baseline", "wrong", "ink")
SPLIT_MEANING = {"train": "training", "validation": "validation", "test": "test"}
MOST_POINTS = 500
SPLIT_COLOUR = alt.Scale(domain=list(MEANINGS))
INK = alt.ColorDatum("ink")
LABEL_PIXELS = 130


def thin(frame: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """At most `most` rows: the means of equally long stretches, so that no spike is picked by chance."""
    if len(frame) <= most:
        return frame
    stretch = np.arange(len(frame)) * most // len(frame)
    return frame.groupby(stretch).mean(numeric_only=True).reset_index(drop=True)


def thin_groups(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """`thin` for each value of a column by itself, `MOST_POINTS` in all."""
    groups = list(frame.groupby(column, sort=False))
    if not groups:
        return frame
    thinned = [thin(part, MOST_POINTS // len(groups)).assign(**{column: value}) for value, part in groups]
    return pd.concat(thinned).assign(split="validation")


def plain_colour() -> alt.Color:
    """The colour of each row's meaning (column split), without a legend."""
    return alt.Color("split:N", scale=SPLIT_COLOUR, legend=None)


def split_colour(shown: list[str]) -> alt.Color:
    """The colour of each row's meaning (column split), and a legend of the meanings that are shown."""
    return alt.Color("split:N", scale=SPLIT_COLOUR, legend=alt.Legend(title=None, orient="top", values=shown))


def layered(*charts: alt.Chart | alt.LayerChart) -> alt.LayerChart:
    """Charts over each other; only of charts with facets does altair make something else."""
    layers = alt.layer(*charts)
    assert isinstance(layers, alt.LayerChart)
    return layers


def axis_names(labels: Sequence[str]) -> list[str]:
    """What labels are called in a chart, each different from the others, in their order."""
    # An axis shows one line and folds white space; labels that differ in nothing else get a number.
    names: list[str] = []
    taken: set[str] = set()
    for label in labels:
        plain = name = " ".join(str(label).split()) or "(blank)"
        number = 2
        while name in taken:
            name, number = f"{plain} ({number})", number + 1
        taken.add(name)
        names.append(name)
    return names


def first_and_last(values: pd.Series, form: str) -> str:
    """Where a curve began and where it is, in words.

    Args:
        form: how a number is written, for `str.format`.
    """
    if values.empty:
        return "none yet"
    first, last = form.format(values.iloc[0]), form.format(values.iloc[-1])
    return f"{last} so far" if len(values) == 1 else f"from {first} to {last}"


def to_spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The chart as a Vega-Lite specification, for a page that shows it again and again.

    The same data gives the same specification, and handing it over costs a tenth of handing over the chart.
    """
    # Not checked against the schema, which takes half the time: the charts are the same every time.
    spec = chart.to_dict(validate=False)
    spec["datasets"] = {name: pd.DataFrame(rows) for name, rows in spec["datasets"].items()}
    return spec
