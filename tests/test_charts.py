"""Charts say what their tables say, in colours that always mean the same, and in words."""

import json

import pandas as pd
import pytest
from core.charts.confusion import confusion_heatmap, confusion_table, describe_confusion, mistakes_table
from core.charts.counts import (
    MOST_BARS,
    balance_table,
    class_balance,
    describe_balance,
    describe_lengths,
    length_chart,
)
from core.charts.curves import (
    describe_losses,
    describe_scores,
    learning_curve,
    loss_curves,
    loss_table,
    score_curves,
    score_table,
)
from core.charts.elements import MEANINGS, MOST_POINTS, thin, to_spec
from core.charts.probabilities import describe_probabilities, probability_bars, probability_table

from core.base.errors import UserError
from core.base.formatting import (
    WORD_JOINER,
    count,
    duration,
    escape_markdown,
    explain,
    shorten,
    size,
)
from pages.ui.navigation import run_link
from tests.pages.data_checks import curve_found

HOSTILE = ["<script>alert(1)</script>", "a.b[c]", "x:Q", "line\nbreak", "مرحبا", "y" * 500]
EVENTS = [
    {"type": "queued", "time": 1.0},
    {"type": "step", "step": 1, "epoch": 0.5, "loss": 0.9, "accuracy": 0.4},
    {"type": "evaluated", "step": 2, "epoch": 1.0, "loss": 0.8, "accuracy": 0.6, "macro_f1": 0.5},
    {"type": "step", "step": 3, "epoch": 1.5, "loss": 0.5, "accuracy": 0.8},
]
BASELINES = {"the most common class": 0.4, "a linear classifier": 0.55}


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


def test_the_learning_curve_has_titles_and_every_draw():
    spec = learning_curve(curve_found()["points"]).to_dict()
    assert {layer["encoding"]["x"]["title"] for layer in spec["layer"]} == {"Training texts"}
    assert spec["layer"][0]["encoding"]["y"]["title"] == "Macro F1 on held-out texts (%)"
    assert len(next(iter(spec["datasets"].values()))) == 16


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


def test_hostile_labels_are_data_and_nothing_else():
    matrix = [[int(i == j) for j in range(len(HOSTILE))] for i in range(len(HOSTILE))]
    chart = confusion_heatmap(HOSTILE, matrix).to_dict()
    (rows,) = chart.pop("datasets").values()
    assert [row["true"] for row in rows][:3] == HOSTILE[:3]
    fields = {"true", "predicted", "texts", "share", "kind"}
    assert all(set(row) == fields for row in rows)
    probability_bars(probability_table(HOSTILE, [1 / 6] * 6)).to_dict()
    class_balance({"train": dict.fromkeys(HOSTILE, 2)}).to_dict()


def test_labels_that_look_alike_stay_apart():
    cells = confusion_table(["a b", "a  b", ""], [[1, 0, 0], [0, 2, 0], [0, 0, 3]])
    assert cells["true"].tolist() == ["a b", "a b (2)", "(blank)"]


def test_confusion_counts_shares_and_kinds():
    cells = confusion_table(["a", "b"], [[3, 1], [0, 0]])
    assert cells.to_dict("records") == [
        {"true": "a", "predicted": "a", "texts": 3, "share": 0.75, "kind": "test"},
        {"true": "a", "predicted": "b", "texts": 1, "share": 0.25, "kind": "wrong"},
    ]
    mistakes = mistakes_table(["a", "b"], [[3, 1], [4, 0]])
    assert mistakes[["true", "predicted", "texts"]].to_numpy().tolist() == [["b", "a", 4], ["a", "b", 1]]


def test_77_classes_are_drawn_without_numbers_in_the_cells():
    names = [f"class {i}" for i in range(77)]
    matrix = [[int(i == j) for j in range(77)] for i in range(77)]
    assert len(confusion_heatmap(names, matrix).to_dict()["layer"]) == 1
    assert len(confusion_heatmap(["a", "b"], [[1, 0], [0, 1]]).to_dict()["layer"]) == 2


def test_the_balance_chart_shows_the_largest_classes_and_says_so():
    counts = {"train": {f"class {i}": i + 1 for i in range(77)}, "test": {"class 76": 5}}
    table = balance_table(counts)
    assert table["label"].nunique() == MOST_BARS
    assert table["label"].iloc[0] == "class 76"
    assert "the largest 30 shown" in describe_balance(counts)


def test_words_say_what_the_charts_show():
    assert describe_losses(loss_table(EVENTS)) == (
        "Loss by step. Training loss: from 0.900 to 0.500. Validation loss: 0.800 so far."
    )
    scores = describe_scores(score_table(EVENTS), BASELINES)
    assert "Accuracy: 60.0% so far" in scores
    assert scores.endswith("To beat, by accuracy: the most common class 40.0%; a linear classifier 55.0%.")
    assert "3 of 4 texts" in describe_confusion(["a", "b"], [[2, 1], [0, 1]])
    assert "a taken for b (1)" in describe_confusion(["a", "b"], [[2, 1], [0, 1]])
    # A right-to-left label would turn the words and numbers around it.
    assert "\u2068ש\u2069 taken for b (1)" in describe_confusion(["ש", "b"], [[2, 1], [0, 1]])
    assert describe_balance({"train": {"a": 2, "b": 2}}).endswith("All have 2.")
    assert "b 70.0%" in describe_probabilities(probability_table(["a", "b"], [0.3, 0.7]))
    lengths = pd.DataFrame({"words_from": [0, 5], "words_to": [4, 9], "texts": [0, 1]})
    assert describe_lengths(lengths) == "Texts by length: 5 to 9 words; most often 5 to 9 (1 text)."


# core/base/formatting.py


@pytest.mark.parametrize(
    "text", ["[x](javascript:1)", "<b>", "$x$", ":red[x]", "![](http://x)", "# a", "`c`", "*a*"]
)
def test_every_mark_of_markdown_is_escaped(text):
    escaped = escape_markdown(text)
    for i, sign in enumerate(escaped):
        if not sign.isalnum() and sign not in f" \\{WORD_JOINER}":
            assert escaped[i - 1] == "\\"
    assert escaped.replace("\\", "").replace(WORD_JOINER, "") == text


@pytest.mark.parametrize("text", [":smile:", "a -> b", "http://a.example", "www.a.example", "me@a.example"])
def test_what_a_renderer_would_replace_is_broken_up(text):
    assert WORD_JOINER in escape_markdown(text)


def test_escaped_text_is_one_line():
    assert escape_markdown("a\n\n    b\t c") == "a b c"


def test_an_error_is_explained_with_its_remedy():
    error = UserError("a *table*", "<b>", "Choose another file.")
    assert explain(error) == (
        "Expected a \\*table\\*\\; found \\<b\\>\\.\n\n**What to do:** Choose another file\\."
    )


def test_numbers_have_units():
    assert [count(1, "row"), count(1234, "row"), count(2, "class", "classes")] == [
        "1 row",
        "1,234 rows",
        "2 classes",
    ]
    assert [duration(7.6), duration(200), duration(7500)] == ["8 s", "3 min 20 s", "2 h 5 min"]
    assert [size(512), size(4100), size(92_300_000), size(5 * 10**12)] == [
        "512 bytes",
        "4.1 kB",
        "92.3 MB",
        "5000.0 GB",
    ]
    assert shorten("x" * 90, 80) == "x" * 79 + "…"


@pytest.mark.parametrize(
    "address", ["http://h:1/base/Train", "http://h:1/base/", "http://h:1/base/Runs?run=x", "http://h:1/base"]
)
def test_a_run_is_shared_by_the_address_of_the_app(address):
    assert run_link(address, "ID") == "http://h:1/base/?run=ID"
    assert run_link(None, "ID") == "/?run=ID"
