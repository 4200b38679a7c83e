"""DataFrame → altair Chart. Pure functions, and for each chart the words that say the same.

Colours carry meaning and come from the theme's categorical colours, in the order of `MEANINGS`; so a chart
is readable on a light and on a dark page. User text is only ever data here, never a field name or a format.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.base.formatting import count, isolated, percent, shorten

MEANINGS = ("training", "validation", "test", "baseline", "wrong", "ink")
SPLIT_MEANING = {"train": "training", "validation": "validation", "test": "test"}
MOST_POINTS = 500
MOST_BARS = 30
CELLS_WITH_NUMBERS = 12

MAJORITY = "always the most common class"
SIMPLE = {
    "tfidf": "a classifier on words (TF-IDF)",
    "embeddings": "a classifier on the untrained model",
    "average": "the average of two simple classifiers",
}
"""What is to be beaten, in words; the simple classifiers by their names in a study."""

_SPLIT_COLOUR = alt.Scale(domain=list(MEANINGS))
_INK = alt.ColorDatum("ink")
# A grey that stands out from a light and from a dark page: a dash alone has no colour of its own.
_DASHES = alt.Legend(
    title=None, orient="top", symbolType="stroke", symbolStrokeColor="#7f8a95", symbolSize=300
)
_LABEL_PIXELS = 130
_LINE_SHARE = 0.12
"""Of a chart's height, what a line of words takes with some air."""
_ABOVE: dict[str, Any] = {"baseline": "bottom", "dy": -4}
_WHEN = {"before": "baseline", "after": "test"}
"""The temperature → the meaning whose colour it has."""
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


def to_beat(majority: float | None, simple: dict[str, Any] | None) -> dict[str, float]:
    """What fine-tuning must beat, in words → its accuracy, as `score_curves` draws it.

    Args:
        majority: accuracy of always naming the most common class, if known.
        simple: what `data_checks.baseline_of` says of the same texts.
    """
    found = {} if majority is None else {MAJORITY: majority}
    return found | ({SIMPLE[simple["name"]]: simple["accuracy"]} if simple else {})


def loss_table(events: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The losses in a run's events: columns split ("training" or "validation"), step, epoch, loss."""
    splits = {"step": "training", "evaluated": "validation"}
    return _event_table(events, splits, ["loss"])


def score_table(events: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The validation scores in a run's events: columns split, step, epoch, accuracy, macro_f1."""
    return _event_table(events, {"evaluated": "validation"}, ["accuracy", "macro_f1"])


def thin(frame: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """At most `most` rows: the means of equally long stretches, so that no spike is picked by chance."""
    if len(frame) <= most:
        return frame
    stretch = np.arange(len(frame)) * most // len(frame)
    return frame.groupby(stretch).mean(numeric_only=True).reset_index(drop=True)


def loss_curves(losses: pd.DataFrame) -> alt.Chart:
    """Training and validation loss over the steps. Takes a `loss_table`."""
    training = losses[losses["split"] == "training"]
    validation = losses[losses["split"] == "validation"]
    thinned = thin(training, MOST_POINTS - min(len(validation), MOST_POINTS // 2))
    points = pd.concat([thinned.assign(split="training"), thin(validation).assign(split="validation")])
    base = alt.Chart(points).encode(
        x=_step_axis(),
        y=alt.Y(
            "loss:Q",
            title="Loss (cross-entropy, nats)",
            axis=alt.Axis(format=".3~f"),
            scale=alt.Scale(zero=False),
        ),
        color=_split_colour(["training", "validation"]),
        tooltip=[
            alt.Tooltip("split:N", title="Texts"),
            alt.Tooltip("step:Q", title="Step", format=",.0f"),
            alt.Tooltip("epoch:Q", title="Epoch", format=".2f"),
            alt.Tooltip("loss:Q", title="Loss", format=".4f"),
        ],
    )
    few = base.transform_filter(alt.datum.split == "validation").mark_point(filled=True, size=45, opacity=1)
    return (base.mark_line(strokeWidth=2) + few).properties(height=280)


def describe_losses(losses: pd.DataFrame) -> str:
    """The loss curves in words."""
    return "Loss by step. " + " ".join(
        f"{str(split).capitalize()} loss: {_first_and_last(part['loss'], '{:.3f}')}."
        for split, part in losses.groupby("split", sort=True)
    )


def score_curves(scores: pd.DataFrame, baselines: dict[str, float] | None = None) -> alt.LayerChart:
    """Validation accuracy and macro F1 over the steps, in percent.

    Args:
        scores: a `score_table`.
        baselines: what is to be beaten, in words → its accuracy on the validation texts.
    """
    baselines = baselines or {}
    long = scores.melt(["split", "step", "epoch"], ["accuracy", "macro_f1"], "score", "share")
    long["score"] = long["score"].map({"accuracy": "accuracy", "macro_f1": "macro F1"})
    scale = _score_scale(long, baselines)
    base = alt.Chart(thin_groups(long, "score")).encode(
        x=_step_axis(),
        y=alt.Y("share:Q", title="Validation score (%)", axis=alt.Axis(format="%"), scale=scale),
        color=alt.Color("split:N", scale=_SPLIT_COLOUR, legend=None),
        tooltip=[
            alt.Tooltip("score:N", title="Score"),
            alt.Tooltip("step:Q", title="Step", format=",.0f"),
            alt.Tooltip("epoch:Q", title="Epoch", format=".2f"),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
        ],
    )
    dashes = alt.StrokeDash("score:N", legend=_DASHES, scale=alt.Scale(domain=["accuracy", "macro F1"]))
    layers = [base.mark_line(strokeWidth=2).encode(strokeDash=dashes)]
    layers.append(base.mark_point(filled=True, size=45, opacity=1))
    if baselines:
        layers += _baseline_rules(baselines, scale)
    return _layered(*layers).properties(height=280)


def describe_scores(scores: pd.DataFrame, baselines: dict[str, float] | None = None) -> str:
    """The score curves in words."""
    words = (
        f"Validation scores by step. Accuracy: {_first_and_last(scores['accuracy'], '{:.1%}')}. "
        f"Macro F1: {_first_and_last(scores['macro_f1'], '{:.1%}')}."
    )
    to_beat = "; ".join(f"{name} {share:.1%}" for name, share in (baselines or {}).items())
    return f"{words} To beat, by accuracy: {to_beat}." if to_beat else words


def learning_curve(points: Sequence[dict[str, Any]]) -> alt.LayerChart:
    """The baseline's score by the number of training texts: its mean, and every draw.

    Args:
        points: `texts`, `macro_f1` (the mean, a share of one) and `scores` (of each draw), by rising texts.
    """
    rows = [[p["texts"], score, p["macro_f1"], "baseline"] for p in points for score in p["scores"]]
    table = pd.DataFrame(rows, columns=["texts", "score", "mean", "split"])
    low = max(0.0, math.floor(min(table["score"], default=0.0) * 20 - 0.5) / 20)
    base = alt.Chart(table).encode(
        x=alt.X(
            "texts:Q",
            title="Training texts",
            scale=alt.Scale(zero=True),
            axis=alt.Axis(format=",.0f", tickMinStep=1, tickCount=6),
        ),
        color=alt.Color("split:N", scale=_SPLIT_COLOUR, legend=None),
        tooltip=[
            alt.Tooltip("texts:Q", title="Training texts", format=",.0f"),
            alt.Tooltip("mean:Q", title="Macro F1, mean", format=".1%"),
            alt.Tooltip("score:Q", title="Macro F1, this draw", format=".1%"),
        ],
    )
    scale = alt.Scale(domain=[low, 1], zero=False)
    title = "Macro F1 on held-out texts (%)"
    draws = base.mark_point(size=30, opacity=0.5).encode(
        y=alt.Y("score:Q", title=title, axis=alt.Axis(format="%"), scale=scale)
    )
    mean = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(filled=True, size=60)).encode(y="mean:Q")
    return _layered(draws, mean).properties(height=280)


def describe_learning(points: Sequence[dict[str, Any]]) -> str:
    """The learning curve in words."""
    said = "; ".join(f"{p['texts']:,} texts {percent(p['macro_f1'])}" for p in points)
    return f"Macro F1 of the baseline by the number of training texts: {said}."


def to_spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The chart as a Vega-Lite specification, for a page that shows it again and again.

    The same data gives the same specification, and handing it over costs a tenth of handing over the chart.
    """
    # Not checked against the schema, which takes half the time: the charts are the same every time.
    spec = chart.to_dict(validate=False)
    spec["datasets"] = {name: pd.DataFrame(rows) for name, rows in spec["datasets"].items()}
    return spec


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
            y=alt.Y("label:N", title=None, sort=order, axis=alt.Axis(labelLimit=_LABEL_PIXELS)),
            color=_split_colour([split for split in MEANINGS if split in set(rows["split"])]),
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


def length_histogram(lengths: pd.DataFrame) -> alt.Chart:
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
        color=alt.Color("kind:N", scale=_SPLIT_COLOUR, legend=None),
        opacity=alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.2, 0.6]), legend=None),
    )
    squares = squares.add_params(alt.selection_point("cell", fields=["true", "predicted"]))
    numbers = base.mark_text().encode(text=alt.Text("texts:Q", format=",.0f"), color=_INK)
    layers = [squares, numbers] if small else [squares]
    return _layered(*layers).properties(height=alt.Step(side))


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
        .encode(x="confidence:Q", y="accuracy:Q", color=_plain_colour())
    )
    base = alt.Chart(table).encode(
        x=alt.X("confidence:Q", title="Confidence, mean of the bin (%)", **percents),
        color=_plain_colour(),
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
    return _layered(honest, whiskers, points).properties(height=320)


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
        color=_plain_colour(),
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
        at = alt.Chart(here).encode(x="coverage:Q", color=_plain_colour())
        layers += [
            at.mark_rule(strokeDash=[2, 3]),
            at.mark_point(filled=True, size=110, opacity=1).encode(y="accuracy:Q"),
        ]
    return _layered(*layers).properties(height=280)


def describe_coverage(table: pd.DataFrame) -> str:
    """The curve of coverage in words, at four shares of the texts."""
    if table.empty:
        return "No texts."
    said = []
    for share in (1.0, 0.9, 0.75, 0.5):
        row = table.iloc[(table["coverage"] - share).abs().argmin()]
        said.append(f"{percent(row['coverage'], 0)} answered, {percent(row['accuracy'])} of them right")
    return f"Accuracy by share of texts answered: {'; '.join(dict.fromkeys(said))}."


def run_losses(losses: pd.DataFrame) -> alt.LayerChart:
    """Validation loss of several runs over each other, by epoch. Columns: run, step, epoch, loss."""
    return _run_curves(losses, "loss", "Validation loss (cross-entropy, nats)", ".3~f", ".4f")


def run_scores(scores: pd.DataFrame) -> alt.LayerChart:
    """Validation macro F1 of several runs over each other, by epoch. Columns: run, step, epoch, macro_f1."""
    return _run_curves(scores, "macro_f1", "Validation macro F1 (%)", "%", ".1%")


def describe_runs(table: pd.DataFrame, column: str, what: str, form: str) -> str:
    """Curves of several runs in words."""
    said = (f"{run}: {_first_and_last(part[column], form)}" for run, part in table.groupby("run", sort=False))
    return f"{what}. {'; '.join(said)}."


def score_dots(rows: pd.DataFrame, title: str, in_percent: bool) -> alt.LayerChart:
    """A dot with its 95 % interval for each run. Columns: run, value, low, high."""
    form, shown = (".1%", "%") if in_percent else (".3f", ".2f")
    names = list(rows["run"])
    base = alt.Chart(rows).encode(
        y=alt.Y("run:N", title=None, sort=names, axis=alt.Axis(labelLimit=_LABEL_PIXELS)),
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
    return _layered(whiskers, dots).properties(height=alt.Step(34))


def describe_dots(rows: pd.DataFrame, title: str, in_percent: bool) -> str:
    """The dots and their intervals in words."""
    form = "{:.1%}" if in_percent else "{:.3f}"
    said = (
        f"{row.run} {form.format(row.value)} ({form.format(row.low)} to {form.format(row.high)})"
        for row in rows.itertuples()
    )
    return f"{title} with its 95 % interval: {'; '.join(said)}."


def _layered(*charts: alt.Chart | alt.LayerChart) -> alt.LayerChart:
    """Charts over each other; only of charts with facets does altair make something else."""
    layers = alt.layer(*charts)
    assert isinstance(layers, alt.LayerChart)
    return layers


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
    return _layered(base.mark_line(strokeWidth=2), points).properties(height=280)


def _run_colour(names: Sequence[str], legend: alt.Legend | None = None) -> alt.Color:
    colours = list(_RUN_COLOURS[: len(names)])
    return alt.Color("run:N", scale=alt.Scale(domain=list(names), range=colours), legend=legend)


def _plain_colour() -> alt.Color:
    return alt.Color("split:N", scale=_SPLIT_COLOUR, legend=None)


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
        y=alt.Y("label:N", title=None, sort=order, axis=alt.Axis(labelLimit=_LABEL_PIXELS)),
        tooltip=[
            alt.Tooltip("label:N", title="Class"),
            alt.Tooltip("probability:Q", title="Probability", format=".2%"),
        ],
    )
    bars = base.mark_bar().encode(color=alt.Color("kind:N", scale=_SPLIT_COLOUR, legend=None))
    numbers = base.mark_text(align="left", dx=4).encode(
        text=alt.Text("probability:Q", format=".1%"), color=_INK
    )
    return _layered(bars, numbers).properties(height=alt.Step(26))


def describe_probabilities(table: pd.DataFrame, most: int = 3) -> str:
    """The most likely classes in words."""
    named = "; ".join(
        f"{isolated(shorten(label, 40))} {percent(probability)}"
        for label, probability in zip(table["label"].head(most), table["probability"].head(most), strict=True)
    )
    return f"Probability by class: {named}."


def thin_groups(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """`thin` for each value of a column by itself, `MOST_POINTS` in all."""
    groups = list(frame.groupby(column, sort=False))
    if not groups:
        return frame
    thinned = [thin(part, MOST_POINTS // len(groups)).assign(**{column: value}) for value, part in groups]
    return pd.concat(thinned).assign(split="validation")


def _totals(class_counts: dict[str, dict[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for counts in class_counts.values():
        for label, texts in counts.items():
            totals[label] = totals.get(label, 0) + texts
    return totals


def _event_table(events: Iterable[dict[str, Any]], splits: dict[str, str], values: list[str]) -> pd.DataFrame:
    rows = [
        [splits[event["type"]], event["step"], event["epoch"], *(event[name] for name in values)]
        for event in events
        if event["type"] in splits
    ]
    return pd.DataFrame(rows, columns=["split", "step", "epoch", *values])


def _step_axis() -> alt.X:
    return alt.X(
        "step:Q",
        title="Step (batches trained)",
        scale=alt.Scale(zero=True),
        axis=alt.Axis(format=",.0f", tickMinStep=1, tickCount=6),
    )


def _split_colour(shown: list[str]) -> alt.Color:
    return alt.Color(
        "split:N", scale=_SPLIT_COLOUR, legend=alt.Legend(title=None, orient="top", values=shown)
    )


def _score_scale(long: pd.DataFrame, baselines: dict[str, float]) -> alt.Scale:
    lowest = min([*long["share"], *(baselines.values() or [1.0])], default=0.0)
    return alt.Scale(domain=[max(0.0, math.floor(lowest * 10 - 0.5) / 10), 1])


def _baseline_rules(baselines: dict[str, float], scale: alt.Scale) -> list[alt.Chart]:
    """A line each, its words below it, where no curve should end; above it where the next is too near."""
    table = pd.DataFrame({"words": list(baselines), "share": list(baselines.values()), "split": "baseline"})
    table["said"] = [f"{words} {share:.1%}" for words, share in baselines.items()]
    table = table.sort_values("share", ignore_index=True)
    near = table["share"].diff() < _LINE_SHARE * (scale.domain[1] - scale.domain[0])
    layers = [_baseline_marks(table).mark_rule(strokeDash=[2, 3], strokeWidth=1.5)]
    below: dict[str, Any] = {"baseline": "top", "dy": 4}
    for rows, place in ((table[~near], below), (table[near], _ABOVE)):
        if not rows.empty:
            words = _baseline_marks(rows).mark_text(align="right", dx=-6, **place)
            layers.append(words.encode(x=alt.value("width"), text="said:N"))
    return layers


def _baseline_marks(table: pd.DataFrame) -> alt.Chart:
    return alt.Chart(table).encode(
        y="share:Q",
        color=alt.Color("split:N", scale=_SPLIT_COLOUR, legend=None),
        tooltip=[
            alt.Tooltip("words:N", title="To beat"),
            alt.Tooltip("share:Q", title="Accuracy", format=".1%"),
        ],
    )


def _range(first: float, last: float) -> str:
    return f"{first:,.0f}" if first == last else f"{first:,.0f} to {last:,.0f}"


def _first_and_last(values: pd.Series, form: str) -> str:
    if values.empty:
        return "none yet"
    first, last = form.format(values.iloc[0]), form.format(values.iloc[-1])
    return f"{last} so far" if len(values) == 1 else f"from {first} to {last}"


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
