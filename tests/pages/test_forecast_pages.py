"""The forecast, the baseline and the settings of another run, as the Train and the Runs page show them."""

import json
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from core.base.home import home
from core.data.quality.fixes import AppliedFix
from core.data.reading.text.records import RejectedRow
from core.data.storage.datasets import find_dataset, save_dataset
from core.learning.config import TrainingConfig
from core.learning.suggestions import suggest
from core.runs.jobs import job
from core.runs.tasks import data_checks, forecasts
from core.runs.training import engines, store
from tests.jobs import start_none
from tests.learning.test_forecast import MEASURED
from tests.pages.seeding import make_dataset, make_run
from tests.pages.test_pages import HOSTILE_IDS, RUNS, TRAIN, button, clean, labels, open_page, words
from tests.runs.test_forecasts import keep
from tests.tiny import tiny_splits


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """The measurings that would have begun; no process is started."""
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    facts = {"device": "cpu", "precision": "fp32", "reason": "it is the only one here"}
    monkeypatch.setattr(engines, "describe_hardware", lambda: facts)
    return start_none(monkeypatch)


def suggested(data) -> TrainingConfig:
    return suggest("bundled", data.counts["train"], len(data.label2id))


# The forecast on the Train page


def test_the_page_begins_to_measure_and_does_not_wait(asked):
    data = make_dataset()
    app = open_page(TRAIN, dataset=data.id)
    clean(app)
    assert "Measuring a few steps for a forecast" in words(app)
    assert not button(app, "Start").disabled
    assert asked[0].request["settings"]["batch_size"] == suggested(data).batch_size


def test_the_forecast_follows_the_settings(asked):
    data = make_dataset()
    keep(data, suggested(data))
    app = open_page(TRAIN, dataset=data.id)
    first = forecasts.look(data, suggested(data)).forecast
    assert f"**About {forecasts.in_words(first)}** on this machine." in words(app)
    assert asked == []
    app.number_input(key="setting_epochs").set_value(40).run()
    longer = forecasts.look(data, replace(suggested(data), epochs=40)).forecast
    assert forecasts.in_words(longer) in words(app)
    assert longer.seconds > 2 * first.seconds
    app.number_input(key="setting_early_stopping").set_value(2).run()
    assert f"**At most {forecasts.in_words(longer)}**" in words(app)
    # Other batches are measured anew, and estimated until then.
    app.number_input(key="setting_batch_size").set_value(32).run()
    clean(app)
    assert "by estimate; measuring" in words(app)
    assert asked[0].request["settings"]["batch_size"] == 32


def test_settings_out_of_range_have_no_forecast(asked):
    make_dataset()
    app = open_page(TRAIN)
    app.number_input(key="setting_epochs").set_value(0).run()
    clean(app)
    asked.clear()
    assert "forecast" not in words(app)
    assert asked == []


def test_beside_a_training_nothing_is_measured_and_the_page_says_so(held, asked):
    data = make_dataset()
    held.enter_context(FileLock(home() / "device.lock"))
    app = open_page(TRAIN, dataset=data.id)
    clean(app)
    assert "as soon as the training at work has ended" in words(app)
    keep(data, replace(suggested(data), batch_size=8))
    assert "is measured when the training at work has ended" in words(open_page(TRAIN, dataset=data.id))
    assert asked == []


def test_a_forecast_of_a_busy_machine_and_one_that_failed_say_so():
    data = make_dataset()
    keep(data, suggested(data), share_of_cores=0.3)
    assert "measured while it was busy" in words(open_page(TRAIN, dataset=data.id))
    job.say_failed(
        forecasts.job_of(data, suggested(data)), "Expected **more** memory; found little.", "Close others."
    )
    app = open_page(TRAIN, dataset=data.id)
    clean(app)
    assert "No forecast: Expected \\*\\*more\\*\\* memory" in words(app)
    assert not button(app, "Start").disabled


def test_every_model_is_compared_when_asked(asked):
    data = make_dataset()
    keep(data, suggested(data))
    app = open_page(TRAIN, dataset=data.id)
    assert "(estimate)" not in words(app)
    app.session_state["others"] = True
    app.run()
    clean(app)
    (lines,) = [block.value.splitlines() for block in app.caption if "(estimate)" in block.value]
    assert ["(estimate)" in line for line in lines] == [False] + [True] * 5
    assert lines[1].startswith("- BERT base\\, uncased: ")


def test_a_model_to_be_fetched_is_estimated_and_its_size_is_said(asked):
    data = make_dataset()
    keep(data, replace(suggested(data), batch_size=16))
    app = open_page(TRAIN, dataset=data.id)
    app.selectbox(key="setting_model").set_value("bert-base-uncased").run()
    clean(app)
    assert "by estimate, and 437.9 MB to fetch at first" in words(app)


# The baseline


def say_baseline(data) -> None:
    scores = {"accuracy": 0.75, "macro_f1": 0.7}
    part = dict.fromkeys(("tfidf", "embeddings", "average"), scores)
    part["majority"] = {"accuracy": 0.4, "macro_f1": 0.2}
    found = {"scores": {"all": part, "validation": part}, "best": "tfidf"}
    found |= {"texts": 60, "judged": 60, "folds": 5, "suspects": 1}
    check = data_checks.job_of(data, data_checks.BASELINES)
    check.folder.mkdir(parents=True, exist_ok=True)
    job.say_finished(check, {"sha256": data.sha256, "findings": found})


def test_without_a_baseline_the_page_leads_to_the_check():
    data = make_dataset()
    app = open_page("streamlit_app.py", page="Train", dataset=data.id)
    assert "must beat" not in words(app)
    button(app, "What must it beat?").click().run()
    clean(app)
    assert app.title[0].value == "Check"
    assert app.query_params["dataset"] in (data.id, [data.id])


def test_the_baseline_is_said_before_the_start_and_drawn_beside_the_scores(held):
    data = make_dataset()
    say_baseline(data)
    run = make_run("finished", data, held)
    app = open_page(TRAIN, dataset=data.id, run=run.id)
    clean(app)
    said = "Fine-tuning must beat **75.0%**, which a classifier on words (TF-IDF) reaches"
    assert said in words(app)
    assert "What must it beat?" not in labels(app)
    alt = "To beat, by accuracy: always the most common class 33.3%; a classifier on words (TF-IDF) 75.0%."
    assert any(alt in str(chart.proto) for chart in app.get("vega_lite_chart"))
    app = open_page(RUNS, run=run.id)
    app.session_state["view"] = "Curves"
    app.run()
    clean(app)
    assert "a classifier on words (TF-IDF) 75.0%." in words(app)


# What the data set advises


def with_advice(advice):
    data = make_dataset()
    path = data.folder / "dataset.json"
    facts = json.loads(path.read_text())
    facts["source"]["advice"] = advice
    path.write_text(json.dumps(facts))
    return find_dataset(data.id)


def test_class_weights_are_switched_on_where_the_data_needs_them():
    data = with_advice({"class_weights": True})
    app = open_page(TRAIN, dataset=data.id)
    clean(app)
    assert app.toggle(key="setting_class_weights").value is True
    assert "on, because the largest class has 12 training texts and the smallest 12" in words(app)
    app.toggle(key="setting_class_weights").set_value(False).run()
    assert app.toggle(key="setting_class_weights").value is False
    assert "on, because" not in words(app)


@pytest.mark.parametrize("advice", [None, {}, {"class_weights": False}, {"class_weights": "yes"}, 3])
def test_without_such_advice_they_are_off(advice):
    app = open_page(TRAIN, dataset=with_advice(advice).id)
    clean(app)
    assert app.toggle(key="setting_class_weights").value is False


# The settings of another run


def test_a_link_takes_the_settings_of_a_run_once(held):
    data = make_dataset()
    config = TrainingConfig(epochs=7, batch_size=8, learning_rate=3e-5, class_weights=True, schedule="cosine")
    run = make_run("finished", data, held, config)
    app = open_page(TRAIN, dataset=data.id, like=run.id)
    clean(app)
    assert "Settings taken from a run of Messages" in words(app)
    app.number_input(key="setting_epochs").set_value(5).run()
    assert app.number_input(key="setting_epochs").value == 5
    button(app, "Start").click().run()
    clean(app)
    assert store.list_runs()[0].config == replace(config, epochs=5)


@pytest.mark.parametrize("like", HOSTILE_IDS, ids=lambda id: repr(id)[:12])
def test_a_hostile_link_to_settings_is_answered_with_words(like):
    data = make_dataset()
    app = open_page(TRAIN, dataset=data.id, like=like)
    clean(app)
    assert app.warning
    assert "<script>" not in words(app)
    assert app.number_input(key="setting_epochs").value == suggested(data).epochs


def test_a_damaged_run_and_one_of_a_model_that_is_gone_give_no_settings(held, tiny, monkeypatch):
    data = make_dataset()
    damaged = make_run("damaged", data, held)
    gone = make_run("finished", data, held, TrainingConfig(model=tiny, max_length=16))
    monkeypatch.delenv("TEXTUNER_MODELS")
    for run in (damaged, gone):
        app = open_page(TRAIN, dataset=data.id, like=run.id)
        clean(app)
        assert app.warning
        assert app.selectbox(key="setting_model").value == "bundled"


def test_a_run_leads_to_another_one_like_it(held):
    data = make_dataset()
    run = make_run("finished", data, held, TrainingConfig(epochs=9))
    app = open_page("streamlit_app.py", page="Runs", run=run.id)
    button(app, "Train again").click().run()
    clean(app)
    assert app.title[0].value == "Train"
    assert app.number_input(key="setting_epochs").value == 9


def test_a_run_leads_to_its_labels_while_its_data_set_is_there(held):
    data = make_dataset()
    run = make_run("finished", data, held)
    app = open_page("streamlit_app.py", page="Runs", run=run.id)
    button(app, "Check its labels").click().run()
    clean(app)
    assert app.title[0].value == "Check"
    (data.folder / "dataset.json").unlink()
    assert not {"Check its labels", "Train again"} & set(labels(open_page(RUNS, run=run.id)))


# Forecast against real


def write_forecast(run, seconds=50.0):
    found = forecasts.estimate.forecast(MEASURED, run.config, {"train": 100, "validation": 10, "test": 10})
    parts = dict.fromkeys(found.parts, 0.0) | {"steps": seconds}
    content = replace(found, parts=parts)
    (run.folder / "forecast.json").write_text(json.dumps(forecasts.asdict(content)))


@pytest.mark.parametrize("file", [TRAIN, RUNS])
def test_an_ended_run_shows_its_forecast_against_what_it_took(file, held):
    run = make_run("finished", make_dataset(), held)
    assert "Forecast" not in words(open_page(file, run=run.id))
    write_forecast(run)
    path = run.folder / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"peak_memory_bytes": 1_100_000_000}))
    app = open_page(file, run=run.id)
    clean(app)
    said = "Forecast 50 s, took 47 s (-6%); memory 1.0 GB, used 1.1 GB (+10%)."
    assert said in words(app)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"converged": True}))
    assert "Forecast 50 s for all epochs; stopped early after 47 s." in words(open_page(file, run=run.id))


@pytest.mark.parametrize("content", ["{", "[]", '{"parts": {}}', '{"seconds": "<script>"}'])
@pytest.mark.parametrize("file", [TRAIN, RUNS])
def test_a_damaged_forecast_is_as_good_as_none(file, content, held):
    run = make_run("finished", make_dataset(), held)
    (run.folder / "forecast.json").write_text(content)
    app = open_page(file, run=run.id)
    clean(app)
    assert "Forecast" not in words(app)


def test_a_waiting_run_says_what_it_will_take(held):
    run = make_run("queued", make_dataset(), held)
    write_forecast(run)
    assert (
        "It starts by itself and takes about 50 s and 1.0 GB of memory"
        in open_page(TRAIN, run=run.id).info[0].value
    )
    assert "Forecast: about 50 s and 1.0 GB of memory." in words(open_page(RUNS, run=run.id))


# The data card


def test_the_settings_of_a_run_tell_what_was_done_to_its_data(held):
    rejected = [RejectedRow(3, "the label is empty", "a,"), RejectedRow(4, "the label is empty", "b,")]
    done = AppliedFix("Labels written <alike>", 5, 2, time.time())
    data = save_dataset("Ten", tiny_splits(), rejected, {"file": "x.csv", "fixes": [done.facts()]})
    run = store.create_run(TrainingConfig(), data)
    app = open_page(RUNS, run=run.id)
    app.session_state["view"] = "Settings"
    app.run()
    clean(app)
    tables = {tuple(table.value): table.value.to_numpy().tolist() for table in app.dataframe}
    assert tables["What was done", "Rows changed", "Rows left out"] == [["Labels written <alike>", 5, 2]]
    assert tables["Why rows were left out", "Rows"] == [["the label is empty", 2]]
    plain = store.create_run(TrainingConfig(), save_dataset("Plain", tiny_splits(), [], {}))
    app = open_page(RUNS, run=plain.id)
    app.session_state["view"] = "Settings"
    app.run()
    assert "Nothing was changed" in words(app) and "No row of the file was left out" in words(app)
