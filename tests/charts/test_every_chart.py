"""Every chart has colours that always mean the same and axes with units; labels are only ever data."""

import json

import pandas as pd
import pytest

from core.charts.confusion import confusion_heatmap
from core.charts.counts import class_balance, length_chart
from core.charts.curves import loss_curves, loss_table, score_curves, score_table
from core.charts.elements import MEANINGS
from core.charts.probabilities import describe_probabilities, probability_bars, probability_table
from tests.charts.test_curves import BASELINES, EVENTS

HOSTILE = ["<script>alert(1)</script>", "a.b[c]", "x:Q", "line\nbreak", "مرحبا", "y" * 500]


def spec(chart) -> str:
    return json.dumps(chart.to_dict(), ensure_ascii=False)


def colour_domains(part) -> list[list[str]]:
    if isinstance(part, list):
        return [domain for item in part for domain in colour_domains(item)]
    if not isinstance(part, dict):
        return []
    own = [part["color"]["scale"]["domain"]] if "scale" in part.get("color", {}) else []
    return own + [domain for value in part.values() for domain in colour_domains(value)]


def every_chart() -> dict:
    scores = score_table(EVENTS)
    counts = {"train": {"a": 3, "b": 1}, "validation": {"a": 1}, "test": {"b": 1}}
    lengths = pd.DataFrame({"words_from": [0, 5], "words_to": [4, 9], "texts": [3, 1]})
    return {
        "losses": loss_curves(loss_table(EVENTS)),
        "scores": score_curves(scores, BASELINES),
        "balance": class_balance(counts),
        "lengths": length_chart(lengths),
        "confusion": confusion_heatmap(["a", "b"], [[3, 1], [0, 2]]),
        "probabilities": probability_bars(probability_table(["a", "b"], [0.3, 0.7])),
    }


@pytest.mark.parametrize("name", every_chart())
def test_a_colour_means_the_same_in_every_chart(name):
    chart = every_chart()[name].to_dict()
    for domain in colour_domains(chart):
        assert domain == list(MEANINGS)
    assert "#000" not in json.dumps(chart) and "white" not in json.dumps(chart)


def test_every_quantity_has_an_axis_title_with_its_unit():
    chart = spec(every_chart()["losses"])
    assert "Step (batches trained)" in chart and "Loss (cross-entropy, nats)" in chart
    assert "Validation score (%)" in spec(every_chart()["scores"])
    assert "Length (words)" in spec(every_chart()["lengths"])
    assert "Probability (%)" in spec(every_chart()["probabilities"])


def test_hostile_labels_are_data_and_nothing_else():
    matrix = [[int(i == j) for j in range(len(HOSTILE))] for i in range(len(HOSTILE))]
    chart = confusion_heatmap(HOSTILE, matrix).to_dict()
    (rows,) = chart.pop("datasets").values()
    assert [row["true"] for row in rows][:3] == HOSTILE[:3]
    fields = {"true", "predicted", "texts", "share", "kind"}
    assert all(set(row) == fields for row in rows)
    probability_bars(probability_table(HOSTILE, [1 / 6] * 6)).to_dict()
    class_balance({"train": dict.fromkeys(HOSTILE, 2)}).to_dict()


def test_the_most_likely_class_is_said_first():
    assert "b 70.0%" in describe_probabilities(probability_table(["a", "b"], [0.3, 0.7]))
