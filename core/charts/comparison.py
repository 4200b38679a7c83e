"""Several runs in one chart: their curves, and their scores with intervals."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.elements import LABEL_PIXELS, MOST_POINTS, first_and_last, layered, thin

_RUN_COLOURS = ("#2f86c8", "#d9762b", "#1f9e77", "#c2609c", "#8a8f98", "#a88b16", "#7f6fd6", "#cc5248")
"""Of runs beside each other, which have no meaning of their own; they stand out from light and dark."""
_RUN_SHAPES = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "cross",
    "triangle-left",
    "stroke",
)


def run_losses(losses: pd.DataFrame) -> alt.LayerChart:
    """Validation loss of several runs over each other, by epoch. Columns: run, step, epoch, loss."""
    return _run_curves(losses, "loss", "Validation loss (cross-entropy, nats)", ".3~f", ".4f")


def run_scores(scores: pd.DataFrame) -> alt.LayerChart:
    """Validation macro F1 of several runs over each other, by epoch. Columns: run, step, epoch, macro_f1."""
    return _run_curves(scores, "macro_f1", "Validation macro F1 (%)", "%", ".1%")


def describe_runs(table: pd.DataFrame, column: str, what: str, form: str) -> str:
    """Curves of several runs in words."""
    said = (f"{run}: {first_and_last(part[column], form)}" for run, part in table.groupby("run", sort=False))
    return f"{what}. {'; '.join(said)}."


def score_dots(rows: pd.DataFrame, title: str, in_percent: bool) -> alt.LayerChart:
    """A dot with its 95 % interval for each run. Columns: run, value, low, high."""
    form, shown = (".1%", "%") if in_percent else (".3f", ".2f")
    names = list(rows["run"])
    base = alt.Chart(rows).encode(
        y=alt.Y("run:N", title=None, sort=names, axis=alt.Axis(labelLimit=LABEL_PIXELS)),
        color=_run_colour(names),
        tooltip=[
            alt.Tooltip("run:N", title="Run"),
            alt.Tooltip("value:Q", title=title, format=form),
            alt.Tooltip("low:Q", title="95 % interval from", format=form),
            alt.Tooltip("high:Q", title="to", format=form),
        ],
    )
    scale = alt.Scale(zero=False, nice=True, padding=12)
    # No score is above 1, although the axis has room there.
    axis = alt.Axis(format=shown, tickCount=6, labelExpr="datum.value > 1 ? '' : datum.label")
    whiskers = base.mark_rule(strokeWidth=2.5).encode(
        x=alt.X("low:Q", title=f"{title} with its 95 % interval", scale=scale, axis=axis), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=120, opacity=1).encode(x="value:Q")
    return layered(whiskers, dots).properties(height=alt.Step(34))


def describe_dots(rows: pd.DataFrame, title: str, in_percent: bool) -> str:
    """The dots and their intervals in words."""
    form = "{:.1%}" if in_percent else "{:.3f}"
    said = (
        f"{row.run} {form.format(row.value)} ({form.format(row.low)} to {form.format(row.high)})"
        for row in rows.itertuples()
    )
    return f"{title} with its 95 % interval: {'; '.join(said)}."


def _run_curves(table: pd.DataFrame, column: str, title: str, shown: str, form: str) -> alt.LayerChart:
    names = list(dict.fromkeys(table["run"]))
    most = max(2, MOST_POINTS // max(1, len(names)))
    parts = [thin(part, most).assign(run=run) for run, part in table.groupby("run", sort=False)]
    base = alt.Chart(pd.concat(parts)).encode(
        x=alt.X("epoch:Q", title="Epoch (passes over the training texts)", axis=alt.Axis(tickCount=6)),
        y=alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(format=shown)),
        color=_run_colour(names, alt.Legend(title=None, orient="top", columns=4)),
        tooltip=[
            alt.Tooltip("run:N", title="Run"),
            alt.Tooltip("epoch:Q", title="Epoch", format=".2f"),
            alt.Tooltip("step:Q", title="Step", format=",.0f"),
            alt.Tooltip(f"{column}:Q", title=title, format=form),
        ],
    )
    shapes = alt.Shape(
        "run:N", legend=None, scale=alt.Scale(domain=names, range=list(_RUN_SHAPES[: len(names)]))
    )
    points = base.mark_point(filled=True, size=55, opacity=1).encode(shape=shapes)
    return layered(base.mark_line(strokeWidth=2), points).properties(height=280)


def _run_colour(names: Sequence[str], legend: alt.Legend | None = None) -> alt.Color:
    colours = list(_RUN_COLOURS[: len(names)])
    return alt.Color("run:N", scale=alt.Scale(domain=list(names), range=colours), legend=legend)
