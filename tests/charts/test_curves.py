"""Curves take their points from the events of a run, few enough to draw, and say the same in words."""

import pandas as pd
import pytest

from core.charts.curves import (
    describe_losses,
    describe_scores,
    learning_curve,
    loss_curves,
    loss_table,
    score_curves,
    score_table,
)
from core.charts.elements import MOST_POINTS, thin, to_spec
from tests.pages.data_checks import curve_found

EVENTS = [
    {"type": "queued", "time": 1.0},
    {"type": "step", "step": 1, "epoch": 0.5, "loss": 0.9, "accuracy": 0.4},
    {"type": "evaluated", "step": 2, "epoch": 1.0, "loss": 0.8, "accuracy": 0.6, "macro_f1": 0.5},
    {"type": "step", "step": 3, "epoch": 1.5, "loss": 0.5, "accuracy": 0.8},
]


BASELINES = {"the most common class": 0.4, "a linear classifier": 0.55}


def said_beside_lines(baselines) -> dict[str, list[str]]:
    """Place of the words beside their line → the words."""
    chart = score_curves(score_table(EVENTS), baselines).to_dict()
    found = {}
    for layer in chart["layer"]:
        rows = chart["datasets"][layer.get("data", chart.get("data"))["name"]]
        if "said" in rows[0]:
            found[layer["mark"].get("baseline", layer["mark"]["type"])] = [row["said"] for row in rows]
    return found


def test_every_baseline_is_a_line_with_its_words_and_none_overlap():
    words = ["the most common class 40.0%", "a linear classifier 55.0%"]
    assert said_beside_lines(BASELINES) == {"rule": words, "top": words}
    near = {"the most common class": 0.4, "a linear classifier": 0.42}
    said = ["the most common class 40.0%", "a linear classifier 42.0%"]
    assert said_beside_lines(near) == {"rule": said, "top": said[:1], "bottom": said[1:]}
    assert said_beside_lines({}) == {}


def test_tables_take_their_rows_from_the_events_and_pass_over_others():
    losses = loss_table(EVENTS)
    assert losses["split"].tolist() == ["training", "validation", "training"]
    assert losses["loss"].tolist() == [0.9, 0.8, 0.5]
    assert score_table(EVENTS)["macro_f1"].tolist() == [0.5]
    assert loss_table([]).empty


def test_a_chart_never_draws_more_than_500_points():
    events = [{"type": "step", "step": i, "epoch": i / 100, "loss": float(i)} for i in range(9000)]
    events += [{"type": "evaluated", "step": i, "epoch": 1.0, "loss": 1.0} for i in range(900)]
    drawn = loss_curves(loss_table(events)).to_dict()["datasets"]
    assert sum(len(rows) for rows in drawn.values()) <= MOST_POINTS + 250
    assert len(thin(pd.DataFrame({"x": range(9000)}))) == MOST_POINTS


def test_the_same_data_gives_the_same_specification():
    first, second = (to_spec(loss_curves(loss_table(EVENTS))) for _ in range(2))
    tables = [spec.pop("datasets") for spec in (first, second)]
    assert first == second
    assert list(tables[0]) == list(tables[1]) == [first["data"]["name"]]
    (table,) = tables[0].values()
    assert table["loss"].tolist() == [0.9, 0.5, 0.8]


def test_thinning_keeps_the_mean_and_short_tables_as_they_are():
    frame = pd.DataFrame({"x": [float(i) for i in range(2000)]})
    assert thin(frame)["x"].mean() == pytest.approx(frame["x"].mean())
    assert thin(frame.head(10)).equals(frame.head(10))


def test_the_curves_are_said_in_words():
    assert describe_losses(loss_table(EVENTS)) == (
        "Loss by step. Training loss: from 0.900 to 0.500. Validation loss: 0.800 so far."
    )
    scores = describe_scores(score_table(EVENTS), BASELINES)
    assert "Accuracy: 60.0% so far" in scores
    assert scores.endswith("To beat, by accuracy: the most common class 40.0%; a linear classifier 55.0%.")


def test_the_learning_curve_has_titles_and_every_draw():
    spec = learning_curve(curve_found()["points"]).to_dict()
    assert {layer["encoding"]["x"]["title"] for layer in spec["layer"]} == {"Training texts"}
    assert spec["layer"][0]["encoding"]["y"]["title"] == "Macro F1 on held-out texts (%)"
    assert len(next(iter(spec["datasets"].values()))) == 16
