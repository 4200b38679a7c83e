"""What a model's confidence is worth: reliability, and the accuracy of the texts it is sure of."""

import math
from typing import Any

import altair as alt
import pandas as pd

from core.base.formatting import percent
from core.charts.elements import layered, plain_colour

_WHEN = {"before": "baseline", "after": "test"}
"""The temperature → the meaning whose colour it has."""


def reliability_chart(bins: pd.DataFrame) -> alt.LayerChart:
    """Accuracy by confidence, with 95 % intervals; on the dashed line a model is as often right as it says.

    A click on a point selects its bin (parameter `bin`, field `from`).

    Args:
        bins: rows of `calibration.reliability`, and `when`: "before" or "after" the temperature.
    """
    table = bins.assign(split=bins["when"].map(_WHEN))
    picked = alt.selection_point("bin", fields=["from", "when"])
    edge = pd.DataFrame({"confidence": [0.0, 1.0], "accuracy": [0.0, 1.0], "split": "ink"})
    percents: dict[str, Any] = {
        "axis": alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
        "scale": alt.Scale(domain=[0, 1]),
    }
    honest = (
        alt.Chart(edge)
        .mark_line(strokeDash=[4, 4], strokeWidth=1)
        .encode(x="confidence:Q", y="accuracy:Q", color=plain_colour())
    )
    base = alt.Chart(table).encode(
        x=alt.X("confidence:Q", title="Confidence, mean of the bin (%)", **percents),
        color=plain_colour(),
        tooltip=[
            alt.Tooltip("when:N", title="Temperature"),
            alt.Tooltip("from:Q", title="Confidence above", format=".1%"),
            alt.Tooltip("to:Q", title="up to", format=".1%"),
            alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
            alt.Tooltip("low:Q", title="95 % interval from", format=".1%"),
            alt.Tooltip("high:Q", title="to", format=".1%"),
            alt.Tooltip("texts:Q", title="Texts", format=",.0f"),
        ],
    )
    whiskers = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title="Accuracy of the bin (%)", **percents), y2="high:Q"
    )
    points = (
        base.mark_point(filled=True, size=90, opacity=1)
        .encode(
            y="accuracy:Q",
            shape=alt.Shape(
                "when:N",
                title="Temperature:",
                scale=alt.Scale(domain=list(_WHEN), range=["circle", "diamond"]),
                legend=alt.Legend(
                    orient="top",
                    titleOrient="left",
                    symbolFillColor="#7f8a95",
                    symbolStrokeColor="#7f8a95",
                    values=list(dict.fromkeys(bins["when"])),
                ),
            ),
        )
        .add_params(picked)
    )
    return layered(honest, whiskers, points).properties(height=320)


def describe_reliability(bins: pd.DataFrame) -> str:
    """The reliability diagram in words."""
    said = []
    for when, part in bins.groupby("when", sort=False):
        texts = part["texts"].sum()
        sure, right = ((part[name] * part["texts"]).sum() / texts for name in ("confidence", "accuracy"))
        said.append(
            f"{when} the temperature it says {percent(sure)} in the mean and is right in {percent(right)}"
        )
    return f"Reliability: {'; '.join(said)} of the texts."


def coverage_chart(table: pd.DataFrame, coverage: float, accuracy: float | None) -> alt.LayerChart:
    """Accuracy of the answered texts by the share of texts that are answered; the point is the threshold.

    Args:
        table: of `calibration.coverage`.
        coverage: share of the texts answered at the threshold that is chosen.
        accuracy: of these texts; None when there are none.
    """
    low = max(0.0, math.floor(min(table["accuracy"], default=0.0) * 20 - 0.5) / 20)
    base = alt.Chart(table.assign(split="test")).encode(
        x=alt.X(
            "coverage:Q",
            title="Texts answered (%)",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
        ),
        y=alt.Y(
            "accuracy:Q",
            title="Accuracy of the answered (%)",
            scale=alt.Scale(domain=[low, 1], zero=False),
            axis=alt.Axis(format="%", tickCount=6),
        ),
        color=plain_colour(),
        tooltip=[
            alt.Tooltip("threshold:Q", title="Threshold", format=".1%"),
            alt.Tooltip("coverage:Q", title="Texts answered", format=".1%"),
            alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
            alt.Tooltip("texts:Q", title="Texts", format=",.0f"),
        ],
    )
    layers = [base.mark_line(strokeWidth=2, interpolate="step-after"), base.mark_point(size=60, opacity=0)]
    if accuracy is not None:
        here = pd.DataFrame({"coverage": [coverage], "accuracy": [accuracy], "split": ["ink"]})
        at = alt.Chart(here).encode(x="coverage:Q", color=plain_colour())
        layers += [
            at.mark_rule(strokeDash=[2, 3]),
            at.mark_point(filled=True, size=110, opacity=1).encode(y="accuracy:Q"),
        ]
    return layered(*layers).properties(height=280)


def describe_coverage(table: pd.DataFrame) -> str:
    """The curve of coverage in words, at four shares of the texts."""
    if table.empty:
        return "No texts."
    said = []
    for share in (1.0, 0.9, 0.75, 0.5):
        row = table.iloc[(table["coverage"] - share).abs().argmin()]
        said.append(f"{percent(row['coverage'], 0)} answered, {percent(row['accuracy'])} of them right")
    return f"Accuracy by share of texts answered: {'; '.join(dict.fromkeys(said))}."
