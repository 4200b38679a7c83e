"""The Train page: settings, start, the run at work, and what an ended one offers."""

import json
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from core.base.home import home
from core.charts.curves import loss_curves
from core.data.storage.datasets import list_datasets
from core.learning.config import TUTORIAL, TrainingConfig
from core.learning.suggestions import suggest
from core.runs.jobs import job
from core.runs.tasks import forecasts
from core.runs.tasks.data_checks import BASELINES
from core.runs.training import run_events, states, stop_requests, store
from core.runs.training.events import EventLog
from tests.pages.data_checks import make_check
from tests.pages.opening import RUNS, TRAIN, button, clean, labels, open_page, words
from tests.pages.seeding import make_dataset, make_run
from tests.runs.test_forecasts import keep, write_forecast


def suggested(data) -> TrainingConfig:
    return suggest("bundled", data.counts["train"], len(data.label2id))


def test_start_submits_exactly_the_settings_on_the_page():
    data = make_dataset()
    app = open_page(TRAIN, dataset=data.id)
    app.number_input(key="setting_epochs").set_value(7)
    app.toggle(key="setting_class_weights").set_value(True)
    app.selectbox(key="setting_schedule").set_value("cosine").run()
    button(app, "Start").click().run()
    clean(app)
    (run,) = store.list_runs()
    assert run.config == replace(suggested(data), epochs=7, class_weights=True, schedule="cosine")
    assert run.dataset_id == data.id
    assert app.query_params["run"] == run.id


def test_the_tutorials_settings_are_one_click():
    make_dataset()
    app = open_page(TRAIN)
    button(app, "As in the tutorial").click().run()
    button(app, "Start").click().run()
    assert store.list_runs()[0].config == TUTORIAL


def test_the_sidebar_starts_from_what_suits_the_data_and_leaves_what_a_person_chose(monkeypatch):
    few, many = make_dataset("Few"), make_dataset("Many")
    counts = {few.id: 100, many.id: 50_000}

    def listed():
        return [replace(data, counts=data.counts | {"train": counts[data.id]}) for data in list_datasets()]

    monkeypatch.setattr("core.data.storage.datasets.list_datasets", listed)
    app = open_page(TRAIN, dataset=few.id)
    assert app.number_input(key="setting_epochs").value == suggest("bundled", 100, 3).epochs == 10
    app.number_input(key="setting_epochs").set_value(4).run()
    assert "Suggested for 100 texts in 3 classes and this model: 10 epochs" in words(app)
    app.selectbox[0].set_value(many.id).run()
    clean(app)
    assert app.number_input(key="setting_epochs").value == 4
    assert app.number_input(key="setting_learning_rate").value == 1e-4
    button(app, "Suggested").click().run()
    assert app.number_input(key="setting_epochs").value == suggest("bundled", 50_000, 3).epochs == 3


def test_settings_out_of_range_block_the_start_and_have_no_forecast(started):
    make_dataset()
    app = open_page(TRAIN)
    started.clear()
    app.number_input(key="setting_epochs").set_value(0)
    app.number_input(key="setting_warmup").set_value(0.9).run()
    clean(app)
    assert all(name in app.error[0].value for name in ("epochs", "warmup"))
    assert button(app, "Start").disabled
    assert "forecast" not in words(app)
    assert started == store.list_runs() == []


def test_class_weights_are_switched_on_where_the_data_needs_them():
    path = make_dataset().folder / "dataset.json"
    facts = json.loads(path.read_text())
    facts["source"]["advice"] = {"class_weights": True}
    path.write_text(json.dumps(facts))
    app = open_page(TRAIN)
    clean(app)
    assert app.toggle(key="setting_class_weights").value is True
    assert "on, because the largest class has 12 training texts and the smallest 12" in words(app)
    app.toggle(key="setting_class_weights").set_value(False).run()
    assert app.toggle(key="setting_class_weights").value is False
    assert "on, because" not in words(app)


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


# The forecast and the baseline


def test_the_page_begins_to_measure_and_follows_the_settings(started):
    data = make_dataset()
    app = open_page(TRAIN, dataset=data.id)
    assert "Measuring a few steps for a forecast" in words(app)
    assert not button(app, "Start").disabled
    assert started[0].request["settings"]["batch_size"] == suggested(data).batch_size
    keep(data, suggested(data))
    app.number_input(key="setting_epochs").set_value(40).run()
    clean(app)
    longer = forecasts.look(data, replace(suggested(data), epochs=40)).forecast
    assert f"**About {forecasts.in_words(longer)}** on this machine." in words(app)
    # Other batches are measured anew.
    app.number_input(key="setting_batch_size").set_value(32).run()
    clean(app)
    assert started[-1].request["settings"]["batch_size"] == 32


def test_a_measuring_that_failed_does_not_hinder_the_start():
    data = make_dataset()
    measuring = forecasts.job_of(data, suggested(data))
    measuring.folder.mkdir(parents=True)
    job.say_failed(measuring, "Expected **more** memory; found little.", "Close others.")
    app = open_page(TRAIN, dataset=data.id)
    clean(app)
    assert "No forecast: Expected \\*\\*more\\*\\* memory" in words(app)
    assert not button(app, "Start").disabled


def test_every_model_is_compared_when_asked():
    data = make_dataset()
    keep(data, suggested(data))
    app = open_page(TRAIN, dataset=data.id)
    assert "(estimate)" not in words(app)
    app.session_state["others"] = True
    app.run()
    clean(app)
    (lines,) = [block.value.splitlines() for block in app.caption if "(estimate)" in block.value]
    assert ["(estimate)" in line for line in lines] == [False] + [True] * 5


def test_the_baseline_is_said_before_the_start_and_drawn_beside_the_scores(held):
    data = make_dataset()
    app = open_page("streamlit_app.py", page="Train", dataset=data.id)
    button(app, "What must it beat?").click().run()
    assert (app.title[0].value, app.query_params["dataset"]) == ("Check", data.id)
    make_check(data, BASELINES, "finished", held)
    run = make_run("finished", data, held)
    app = open_page(TRAIN, dataset=data.id, run=run.id)
    clean(app)
    average = "the average of two simple classifiers"
    assert f"Fine-tuning must beat **88.0%**, which {average} reaches on the validation" in words(app)
    assert "What must it beat?" not in labels(app)
    alt = f"To beat, by accuracy: always the most common class 33.3%; {average} 88.0%."
    assert any(alt in str(chart.proto) for chart in app.get("vega_lite_chart"))


# Runs at work and in line


def test_a_running_run_shows_how_far_it_is_and_is_asked_to_stop_and_to_end_at_once(held):
    run = make_run("running", make_dataset(), held)
    app = open_page(TRAIN)
    (bar,) = app.get("progress")
    assert (bar.text[:13], bar.value) == ("Step 30 of 60", 50)
    assert app.query_params["run"] in (run.id, [run.id])
    assert any(code.value.endswith(f"/?run={run.id}") for code in app.code)
    button(app, "Stop").click().run()
    assert states.state(run).status == "stopping"
    assert not stop_requests.stop_now_asked(run)
    app = open_page(TRAIN, run=run.id)
    button(app, "End at once").click().run()
    clean(app)
    assert stop_requests.stop_now_asked(run)


def test_a_waiting_run_says_its_place_its_wait_and_what_it_will_take(held):
    data = make_dataset()
    running = make_run("running", data, held)
    make_run("queued", data, held)
    waiting = make_run("queued", data, held)
    app = open_page(TRAIN, run=waiting.id)
    assert "Place 2 in line. It starts by itself; you can" in app.info[0].value
    assert "Waiting in line" in words(app)
    for run in store.waiting_runs():
        write_forecast(run)
    assert (
        "It starts by itself and takes about 50 s and 1.0 GB of memory"
        in open_page(TRAIN, run=waiting.id).info[0].value
    )
    left = run_events.last_event(running, "step")["seconds_left"] + 50
    assert f"Place 2 in line, about {left // 60:.0f} min" in open_page(TRAIN, run=waiting.id).info[0].value
    assert "Forecast: about 50 s and 1.0 GB of memory." in words(open_page(RUNS, run=waiting.id))


def test_those_who_watch_a_run_share_its_charts_until_there_is_more_to_draw(held, monkeypatch):
    run = make_run("running", make_dataset(), held)
    lines = (run.folder / "events.jsonl").read_text().splitlines()
    drawn = []
    monkeypatch.setattr(
        "pages.ui.train.curves.loss_curves", lambda losses: drawn.append(len(losses)) or loss_curves(losses)
    )
    began = int(time.time() // 2 * 2) - len(lines)
    # Written anew with times that the test knows: half a second apart, and looked at as they come.
    for known in range(len(lines) - 2, len(lines) + 1):
        events = [json.loads(line) | {"time": began + i / 2} for i, line in enumerate(lines[:known])]
        (run.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        monkeypatch.setattr(time, "time", lambda known=known: began + known / 2)
        clean(open_page(TRAIN, run=run.id))
    assert 1 <= len(drawn) <= 2


# Ended runs

AGAIN = "Start again with these settings"


@pytest.mark.parametrize(
    ("status", "event", "offers"),
    [
        ("finished", {}, ["Judge it", "Try it"]),
        ("stopped", {}, ["Judge it", "Try it", AGAIN]),
        ("failed", {}, [AGAIN]),
        (
            "failed",
            {"type": "failed", "reason": "No room.", "remedy": "", "resumable": True},
            ["Resume", AGAIN],
        ),
        ("interrupted", {}, ["Resume", AGAIN]),
        (
            "interrupted",
            {"type": "interrupted", "reason": "Memory.", "remedy": "Smaller.", "smaller_batch": 8},
            ["Start again with batches of 8", "Resume as it is", AGAIN],
        ),
        ("damaged", {}, ["Open it under Runs"]),
    ],
)
def test_an_ended_run_offers_what_to_do_next(status, event, offers, held):
    run = make_run(status, make_dataset(), held, TrainingConfig(epochs=9))
    if event:
        with EventLog(run.folder / "events.jsonl") as events:
            events.append(event)
    app = open_page(TRAIN, run=run.id)
    assert [button.label for button in app.main.button] == offers
    reason = states.state(run).reason
    assert not reason or reason.split(";")[0] in words(app).replace("\\", "").replace("\u2060", "")
    if offers[0].startswith(("Start again", "Resume")):
        button(app, offers[0]).click().run()
        clean(app)
        shown = store.find_run(app.query_params["run"])
        assert states.state(shown).status == "queued"
        assert (shown.id == run.id) == (offers[0] == "Resume")
        assert shown.config == replace(run.config, batch_size=event.get("smaller_batch", 16))


@pytest.mark.parametrize("file", [TRAIN, RUNS])
def test_an_ended_run_shows_its_forecast_against_what_it_took(file, held):
    run = make_run("finished", make_dataset(), held)
    (run.folder / "forecast.json").write_text('{"seconds": "<script>"}')
    assert "Forecast" not in words(open_page(file, run=run.id))
    write_forecast(run)
    app = open_page(file, run=run.id)
    clean(app)
    assert "Forecast 50 s, took 47 s (-6%)." in words(app)


def test_beside_a_training_nothing_is_measured_and_the_page_says_so(held, started):
    data = make_dataset()
    held.enter_context(FileLock(home() / "device.lock"))
    app = open_page(TRAIN, dataset=data.id)
    clean(app)
    assert "as soon as the training at work has ended" in words(app)
    assert started == []
