"""Loss and scores of a training over its steps, with what is to be beaten; the baseline's learning curve."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import pandas as pd

from core.base.formatting import percent
from core.charts.elements import (
    MOST_POINTS,
    SPLIT_COLOUR,
    first_and_last,
    layered,
    split_colour,
    thin,
    thin_groups,
)

MAJORITY = "always the most common class"
SIMPLE = {
    "tfidf": "a classifier on words (TF-IDF)",
    "embeddings": "a classifier on the untrained model",
    "average": "the average of two simple classifiers",
}
"""What is to be beaten, in words; the simple classifiers by their names in a check."""

# A grey that stands out from a light and from a dark page: a dash alone has no colour of its own.
_DASHES = alt.Legend(
    title=None, orient="top", symbolType="stroke", symbolStrokeColor="#7f8a95", symbolSize=300
)

_LINE_SHARE = 0.12
"""Of a chart's height, what a line of words takes with some air."""
_ABOVE: dict[str, Any] = {"baseline": "bottom", "dy": -4}


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
        color=split_colour(["training", "validation"]),
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
        f"{str(split).capitalize()} loss: {first_and_last(part['loss'], '{:.3f}')}."
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
        color=alt.Color("split:N", scale=SPLIT_COLOUR, legend=None),
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
    return layered(*layers).properties(height=280)


def describe_scores(scores: pd.DataFrame, baselines: dict[str, float] | None = None) -> str:
    """The score curves in words."""
    words = (
        f"Validation scores by step. Accuracy: {first_and_last(scores['accuracy'], '{:.1%}')}. "
        f"Macro F1: {first_and_last(scores['macro_f1'], '{:.1%}')}."
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
        color=alt.Color("split:N", scale=SPLIT_COLOUR, legend=None),
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
    return layered(draws, mean).properties(height=280)


def describe_learning(points: Sequence[dict[str, Any]]) -> str:
    """The learning curve in words."""
    said = "; ".join(f"{p['texts']:,} texts {percent(p['macro_f1'])}" for p in points)
    return f"Macro F1 of the baseline by the number of training texts: {said}."


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
        color=alt.Color("split:N", scale=SPLIT_COLOUR, legend=None),
        tooltip=[
            alt.Tooltip("words:N", title="To beat"),
            alt.Tooltip("share:Q", title="Accuracy", format=".1%"),
        ],
    )
