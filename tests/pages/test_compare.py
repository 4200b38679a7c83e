"""The Compare page in every state, as a person meets it."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from core.learning.config import TrainingConfig
from core.runs.results import outputs
from core.runs.training import engines
from tests.pages.seeding import make_dataset, make_run
from tests.pages.test_pages import ATTACKS, HOSTILE_IDS, button, clean, labels, open_page, table_with, words

COMPARE = "pages/7_Compare.py"


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)


@pytest.fixture
def two(held):
    """Two runs on the same data that differ in their epochs."""
    data = make_dataset()
    return [
        make_run("finished", data, held, config=replace(TrainingConfig(), epochs=epochs)) for epochs in (2, 5)
    ]


def opened(runs):
    return open_page(COMPARE, runs=",".join(run.id for run in runs))


@pytest.mark.parametrize("runs", [0, 1])
def test_with_less_than_two_runs_it_teaches(runs, held):
    for _ in range(runs):
        make_run("finished", make_dataset(), held)
    app = open_page(COMPARE)
    clean(app)
    assert "It takes two" in words(app)
    assert labels(app) == ["Train a model"]


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
    clean(app)
    said = words(app)
    assert "run 2" in said and "accuracy" in said
    assert "Macro F1 with its 95 % interval: run 1" in said
    assert "Validation loss. run 1: from" in said
    settings = table_with(app, "Setting")
    assert settings.to_numpy().tolist() == [["Epochs", "2", "5"]]
    assert len(table_with(app, "Accuracy")) == 2
    answers = [outputs.predictions_of(run).query("split == 'test'") for run in two]
    right = [(table["label"] == table["predicted"]).to_numpy() for table in answers]
    changed = table_with(app, "confidence")
    assert len(changed) == (right[1] & ~right[0]).sum() > 0
    app.multiselect(key="label").set_value(["praise"]).run()
    assert set(table_with(app, "confidence")["label"]) == {"praise"}


def test_the_other_score_is_shown_on_request(two):
    app = opened(two)
    app.segmented_control(key="score").set_value("mcc").run()
    clean(app)
    assert "Matthews correlation with its 95 % interval: run 1 0." in words(app)


def test_runs_of_other_test_texts_are_compared_on_what_they_share(held):
    data = make_dataset()
    first, second = (make_run("finished", data, held) for _ in range(2))
    file = second.folder / "predictions.parquet"
    pd.read_parquet(file).query("text != 'test text 3 about praise'").to_parquet(file, index=False)
    app = opened([first, second])
    clean(app)
    assert "Compared on 89 test texts" in app.warning[0].value
    assert "left out – run 1" in app.warning[0].value and "run 2" not in app.warning[0].value


def test_runs_without_a_text_in_common_are_refused_with_the_reason(held):
    first = make_run("finished", make_dataset(), held)
    second = make_run("finished", make_dataset(), held, wording="another {split} {i} {label}")
    app = opened([first, second])
    clean(app)
    assert "no text with the same label in all of them" in app.error[0].value
    assert "Validation loss" in words(app)


def test_runs_that_are_deleted_failed_or_named_badly_are_said(two, held):
    failed = make_run("failed", make_dataset(), held)
    app = open_page(COMPARE, runs=",".join([*(run.id for run in two), failed.id, "A" * 22, "<b>"]))
    clean(app)
    assert "Run 3 is left out: it is failed" in app.warning[0].value
    assert "no such run" in app.warning[1].value
    assert len(app.warning) == 3
    assert "Compared on 90" in words(app)
    assert "<b>" not in words(app)


@pytest.mark.parametrize("link", [*HOSTILE_IDS, ",,,", ",".join("x" * 22 + str(i) for i in range(300))])
def test_a_hostile_link_is_answered_with_words(link, two):
    app = open_page(COMPARE, runs=link)
    clean(app)
    assert "<script>" not in words(app)
    assert len(app.warning) <= 9


def test_user_text_is_never_markdown(held):
    data = make_dataset(ATTACKS[0] + ATTACKS[3], ATTACKS, per_class=12)
    app = opened(
        [make_run("finished", data, held, labels=ATTACKS, wording="=1+1 {i}{split}{label}") for _ in "12"]
    )
    clean(app)
    shown = words(app)
    for attack in ATTACKS[:5]:
        assert attack not in shown


def test_runs_of_earlier_versions_are_compared_as_well(held):
    data = make_dataset()
    app = opened([make_run("finished", data, held, form=form) for form in ("old", "whole")])
    clean(app)
    assert "Compared on 90 test texts" in words(app)


def test_a_damaged_file_of_answers_is_said(two):
    (two[0].folder / "predictions.parquet").write_bytes(b"PAR1 {")
    app = opened(two)
    clean(app)
    assert "run 1" in app.error[0].value and "which has none" in app.error[0].value


def test_three_runs_let_a_pair_be_chosen(two, held):
    third = make_run("finished", make_dataset(), held)
    app = opened([*two, third])
    clean(app)
    second = next(box for box in app.selectbox if box.label == "Second")
    second.set_value(2).run()
    clean(app)
    assert any("Only run 3 is right" in option for option in app.segmented_control[1].options)
    next(box for box in app.selectbox if box.label == "Second").set_value(0).run()
    assert "Choose two different runs" in words(app)


def test_several_runs_are_chosen_in_the_table_of_runs(two):
    app = open_page("streamlit_app.py", page="Runs")
    app.toggle(key="several").set_value(True).run()
    clean(app)
    assert button(app, "Select 2 to 8 runs").disabled


def test_the_router_opens_a_link_to_this_page(two):
    app = open_page("streamlit_app.py", page="Compare", runs=",".join(run.id for run in two))
    clean(app)
    assert app.title[0].value == "Compare"


def test_settings_that_were_not_recorded_are_said_to_be(two):
    path = two[0].folder / "config.json"
    content = json.loads(path.read_text())
    content["settings"].pop("epochs")
    path.write_text(json.dumps(content))
    app = opened(two)
    assert table_with(app, "Setting").to_numpy().tolist() == [["Epochs", "not recorded", "5"]]
