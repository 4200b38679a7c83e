"""The Check page in every state, as a person meets it."""

import pandas as pd
import pytest
import streamlit as st

from core.charts.curves import learning_curve
from core.data.storage import datasets
from core.data.storage.datasets import find_dataset, list_datasets, load_splits
from core.learning.config import TrainingConfig
from core.runs.jobs import job
from core.runs.tasks import data_checks
from core.runs.tasks.data_checks import BASELINES, CURVE, TRAINED
from core.runs.training import engines, states, store
from tests.jobs import Asked, start_none
from tests.pages.data_checks import curve_found, make_check, make_rows
from tests.pages.seeding import LABELS, make_dataset, make_run
from tests.pages.test_pages import ATTACKS, HOSTILE_IDS, button, labels, open_page, table_with, words

CHECK = "pages/5_Check.py"


@pytest.fixture(autouse=True)
def started(monkeypatch) -> list:
    """The checks that were started; no process is."""
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    return start_none(monkeypatch)


def asked_for(started: list[Asked]) -> list[tuple[str, str | None]]:
    """Kind and run's id of each check."""
    return [(asked.folder.name, asked.request["run"]) for asked in started]


@pytest.fixture
def checked(held):
    """A data set whose baselines are known."""
    dataset = make_dataset()
    make_check(dataset, BASELINES, "finished", held)
    return dataset


@pytest.fixture
def change(monkeypatch):
    """Edit the list of suspects: row → column → value. AppTest has no hand for a data editor."""

    def edit(app, edits: dict[int, dict[str, object]]) -> None:
        def edited(frame: pd.DataFrame, **settings: object) -> pd.DataFrame:
            frame = frame.copy()
            for row, values in edits.items():
                for column, value in values.items():
                    assert column not in settings["disabled"]
                    frame.loc[row, column] = value
            return frame

        monkeypatch.setattr(st, "data_editor", edited)
        app.run()

    return edit


def test_without_a_data_set_it_leads_to_the_data_page(started):
    app = open_page(CHECK)
    assert not app.exception
    assert labels(app) == ["Go to Data"]
    assert started == []


def test_the_baselines_are_found_without_a_click_and_only_once(started):
    dataset = make_dataset()
    app = open_page(CHECK, dataset=dataset.id)
    assert not app.exception
    assert asked_for(started) == [(BASELINES, None)]
    assert "Stop" in labels(app)
    app.run()
    assert len(started) == 1


def test_a_study_at_work_can_be_stopped(held):
    dataset = make_dataset()
    study = make_check(dataset, BASELINES, "running", held)
    app = open_page(CHECK, dataset=dataset.id)
    button(app, "Stop").click().run()
    assert study.stop_file.exists()


@pytest.mark.parametrize("status", ["failed", "interrupted", "stopped"])
def test_a_study_that_ended_badly_says_so_and_can_be_started_again(status, held, started):
    dataset = make_dataset()
    make_check(dataset, BASELINES, status, held)
    app = open_page(CHECK, dataset=dataset.id)
    assert not app.exception
    assert started == []
    assert "What to do" in words(app)
    button(app, "Start it again").click().run()
    assert asked_for(started) == [(BASELINES, None)]


def test_scores_and_suspects_are_shown(checked):
    app = open_page(CHECK, dataset=checked.id)
    assert not app.exception
    assert "Fine-tuning must beat a macro F1 of **87.0%**" in words(app)
    assert list(table_with(app, "Macro F1 (%)")["Accuracy (%)"]) == [40.0, 81.0, 84.0, 88.0]
    assert "**20 labels** of 60 are probably wrong" in words(app)
    rows = table_with(app, "doubt")
    assert len(rows) == 20
    assert list(rows["doubt"]) == sorted(rows["doubt"], reverse=True)
    assert (rows["new"] == rows["label"]).all()


def test_it_leads_to_a_training_and_finds_the_baseline_again(checked, started):
    app = open_page("streamlit_app.py", page="Check", dataset=checked.id)
    button(app, "Find it again").click().run()
    assert asked_for(started) == [(BASELINES, None)]
    data_checks.job_of(checked, BASELINES).progress_file.unlink()
    app.run()
    button(app, "Train on it").click().run()
    assert not app.exception
    assert app.title[0].value == "Train"
    assert app.query_params["dataset"] in (checked.id, [checked.id])


def test_suggestions_are_filled_in_on_request(checked):
    app = open_page(CHECK, dataset=checked.id)
    app.toggle[0].set_value(True).run()
    rows = table_with(app, "doubt")
    changed = rows["new"] != rows["label"]
    assert list(changed) == [True, False] * 10
    assert (rows["new"] == rows["suggested"])[changed].all()
    assert "10 labels changed, 0 texts dropped." in words(app)


def test_mended_labels_become_a_new_data_set(checked, change):
    app = open_page(CHECK, dataset=checked.id)
    rows = make_rows(checked)
    change(app, {0: {"new": rows["suggested"][0]}, 2: {"drop": True}, 3: {"new": "praise", "drop": True}})
    assert "1 label changed, 2 texts dropped." in words(app)
    button(app, "Save as a new data set").click().run()
    assert not app.exception
    assert len(list_datasets()) == 2
    new = list_datasets()[0]
    assert new.name == "Messages (2)"
    assert sum(new.counts.values()) == 58
    texts = load_splits(new.folder).train
    place = texts.texts.index(rows["text"][0])
    assert texts.id2label[texts.labels[place]] == rows["suggested"][0] != rows["label"][0]
    assert rows["text"][2] not in texts.texts
    assert app.query_params["dataset"] in (new.id, [new.id])
    assert "is saved" in words(app) or "Saved as" in words(app)
    assert find_dataset(checked.id).sha256 == checked.sha256


def test_nothing_changed_is_nothing_to_save(checked):
    app = open_page(CHECK, dataset=checked.id)
    assert button(app, "Save as a new data set").disabled
    assert "Save and train again" not in labels(app)


def test_one_click_trains_again_with_the_settings_of_the_last_run(checked, held, change):
    make_run("finished", checked, held, TrainingConfig(epochs=7))
    app = open_page(CHECK, dataset=checked.id)
    change(app, {0: {"new": "praise", "drop": True}})
    button(app, "Save and train again").click().run()
    run = store.list_runs()[0]
    assert run.config.epochs == 7
    assert run.dataset_id == list_datasets()[0].id != checked.id
    assert states.state(run).status == "queued"


def test_a_finished_run_is_asked_for_its_suspects(checked, held, started):
    run = make_run("finished", checked, held)
    app = open_page(CHECK, dataset=checked.id)
    assert started == []
    source = app.segmented_control[0]
    source.set_value(TRAINED).run()
    assert asked_for(started) == [(TRAINED, run.id)]
    make_check(checked, TRAINED, "finished", held, run_id=run.id)
    data_checks.job_of(checked, TRAINED).progress_file.unlink(missing_ok=True)
    app.run()
    assert not app.exception
    assert len(table_with(app, "doubt")) == 20
    # A newer run is another one to ask.
    newer = make_run("finished", checked, held)
    app = open_page(CHECK, dataset=checked.id)
    app.segmented_control[0].set_value(TRAINED).run()
    assert asked_for(started)[-1] == (TRAINED, newer.id)


def test_runs_on_other_texts_are_not_asked(checked, held):
    make_run("finished", make_dataset("Others"), held)
    for status in ("failed", "stopped", "running"):
        make_run(status, checked, held)
    assert len(open_page(CHECK, dataset=checked.id).segmented_control) == 0


def test_the_curve_is_drawn_on_request(checked, held, started):
    app = open_page(CHECK, dataset=checked.id)
    button(app, "Draw the learning curve").click().run()
    assert asked_for(started) == [(CURVE, None)]
    data_checks.job_of(checked, CURVE).progress_file.unlink()
    make_check(checked, CURVE, "finished", held)
    app.run()
    assert not app.exception
    assert "More texts would most likely help" in words(app)
    alt = "Macro F1 of the baseline by the number of training texts: 5 texts 62.0%; 12 texts 74.0%"
    assert any(alt in str(chart.proto) for chart in app.get("vega_lite_chart"))


def test_the_chart_of_the_curve_has_titles_and_every_draw():
    spec = learning_curve(curve_found()["points"]).to_dict()
    titles = {layer["encoding"]["x"]["title"] for layer in spec["layer"]}
    assert titles == {"Training texts"}
    assert spec["layer"][0]["encoding"]["y"]["title"] == "Macro F1 on held-out texts (%)"
    assert len(next(iter(spec["datasets"].values()))) == 16


@pytest.mark.parametrize("content", [b"{ torn", b"PAR1", b""])
@pytest.mark.parametrize("name", ["result.json", "table.parquet"])
def test_damaged_files_are_said_to_be_and_found_again(checked, name, content, started):
    (data_checks.job_of(checked, BASELINES).folder / name).write_bytes(content)
    app = open_page(CHECK, dataset=checked.id)
    assert not app.exception
    assert "damaged" in words(app)
    again = "Start it again" if name == "result.json" else "Find them again"
    button(app, again).click().run()
    assert asked_for(started) == [(BASELINES, None)]


@pytest.mark.parametrize("id", HOSTILE_IDS)
def test_a_link_to_nothing_is_told_and_the_newest_shown(id, checked):
    app = open_page(CHECK, dataset=id)
    assert not app.exception
    assert app.error
    assert "Fine-tuning must beat" in words(app)


def test_hostile_texts_and_labels_stay_text(held):
    dataset = make_dataset(ATTACKS[0], ATTACKS)
    for kind in (BASELINES, CURVE):
        make_check(dataset, kind, "finished", held)
    app = open_page(CHECK, dataset=dataset.id)
    assert not app.exception
    found = {"sha256": dataset.sha256, "findings": curve_found() | {"verdict": " ".join(ATTACKS[:5])}}
    job.say_finished(data_checks.job_of(dataset, CURVE), found)
    app.run()
    assert not app.exception
    said = words(app)
    assert not [attack for attack in ATTACKS if attack in said]
    assert set(table_with(app, "doubt")["label"]) <= set(ATTACKS)


def test_a_data_set_deleted_meanwhile_is_told(checked, change):
    app = open_page(CHECK, dataset=checked.id)
    change(app, {0: {"drop": True}})
    datasets.delete_dataset(checked.id)
    app.run()
    assert not app.exception
    assert labels(app) == ["Go to Data"]


def test_seeded_labels_are_those_of_the_data():
    assert set(make_rows(make_dataset())["suggested"]) <= set(LABELS)
    assert data_checks.KINDS == (BASELINES, TRAINED, CURVE)
