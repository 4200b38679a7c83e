"""The Compare page: the runs of a link or of a choice, beside each other."""

from dataclasses import replace

import pandas as pd
import pytest

from core.learning.config import TrainingConfig
from tests.pages.opening import COMPARE, clean, open_page, table_with, words
from tests.pages.seeding import make_dataset, make_run


@pytest.fixture
def two(held):
    """Two runs on the same data that differ in their epochs."""
    data = make_dataset()
    return [
        make_run("finished", data, held, config=replace(TrainingConfig(), epochs=epochs)) for epochs in (2, 5)
    ]


def opened(runs):
    app = open_page(COMPARE, runs=",".join(run.id for run in runs))
    clean(app)
    return app


def test_nothing_is_compared_before_two_are_chosen(two):
    app = open_page(COMPARE)
    clean(app)
    assert "Choose 2 to 8 runs" in words(app)
    app.multiselect(key="chosen").set_value([run.id for run in two]).run()
    clean(app)
    assert app.query_params["runs"] == ",".join(run.id for run in two)
    assert "Compared on 90 test texts that all of them have" in words(app)


def test_a_link_shows_verdict_scores_settings_curves_and_texts(two):
    app = opened(two)
    said = words(app)
    assert "run 2" in said and "accuracy" in said
    assert "Macro F1 with its 95 % interval: run 1" in said
    assert "Validation loss. run 1: from" in said
    assert table_with(app, "Setting").to_numpy().tolist() == [["Epochs", "2", "5"]]
    assert len(table_with(app, "Accuracy")) == 2
    app.multiselect(key="label").set_value(["praise"]).run()
    assert set(table_with(app, "confidence")["label"]) == {"praise"}
    app.segmented_control(key="score").set_value("mcc").run()
    clean(app)
    assert "Matthews correlation with its 95 % interval: run 1 0." in words(app)


def test_texts_that_not_all_have_and_runs_that_cannot_be_compared_are_said(two, held):
    file = two[1].folder / "predictions.parquet"
    pd.read_parquet(file).query("text != 'test text 3 about praise'").to_parquet(file, index=False)
    failed = make_run("failed", make_dataset(), held)
    app = opened([*two, failed])
    assert "Run 3 is left out: it is failed" in app.warning[0].value
    assert "Compared on 89 test texts" in app.warning[1].value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.write_bytes(b"PAR1 {"), "which has none"),
        (
            lambda file: pd.read_parquet(file).assign(text="another").to_parquet(file),
            "no text with the same label in all of them",
        ),
    ],
    ids=["damaged", "other texts"],
)
def test_what_keeps_runs_from_being_compared_is_said_beside_their_curves(change, said, two):
    change(two[0].folder / "predictions.parquet")
    app = opened(two)
    assert said in app.error[0].value
    assert "Validation loss" in words(app)


def test_three_runs_let_a_pair_be_chosen(two, held):
    # One of an earlier version, which did not keep the probabilities.
    app = opened([*two, make_run("finished", make_dataset(), held, form="old")])

    def choose(second):
        next(box for box in app.selectbox if box.label == "Second").set_value(second).run()
        clean(app)

    choose(2)
    assert any("Only run 3 is right" in option for option in app.segmented_control[1].options)
    choose(0)
    assert "Choose two different runs" in words(app)
