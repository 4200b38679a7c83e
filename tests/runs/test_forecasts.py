"""Forecasts are measured once, by one process at a time, kept, and set beside what the run took."""

import os
import time
from dataclasses import asdict, replace

import pytest
from filelock import FileLock

from core.base import locks
from core.base.errors import UserError
from core.base.home import home
from core.data.storage.datasets import delete_dataset
from core.learning import pretrained
from core.learning.config import TrainingConfig, to_dict
from core.runs.jobs import job, process
from core.runs.tasks import forecast_words, forecast_work, forecasts
from core.runs.tasks.forecasts import Outlook
from core.runs.training import engines, queue, store
from tests.jobs import start_none
from tests.learning.test_forecasting import MEASURED

CONFIG = TrainingConfig(epochs=2, batch_size=2, max_length=16, precision="fp32")


@pytest.fixture
def asked(monkeypatch):
    """The measurings for which a process would have been started."""
    return start_none(monkeypatch)


def settings_of(asked):
    return [one.request["settings"] for one in asked]


def measure(dataset, config):
    """Measure as the process does. Returns what it would have been kept as."""
    found = forecasts.job_of(dataset, config)
    found.folder.mkdir(parents=True)
    job.write_json(found.folder / "request.json", {"dataset": dataset.id, "settings": to_dict(config)})
    process.do(found, forecast_work.work)
    return job.state(found)


def keep(dataset, config, age=0.0, **changes):
    """Write measurements as the process does."""
    measured = replace(
        MEASURED,
        model=config.model,
        batch_size=config.batch_size,
        max_length=config.max_length,
        precision=config.precision,
        measured=time.time() - age,
        **changes,
    )
    found = forecasts.job_of(dataset, config)
    found.folder.mkdir(parents=True, exist_ok=True)
    job.say_finished(found, forecasts.estimate.to_dict(measured))
    return found.result_file


def write_forecast(run, seconds=50.0):
    """What was expected of a run, as it is written down when the run is submitted."""
    counts = {"train": 100, "validation": 10, "test": 10}
    found = forecasts.estimate.forecast(MEASURED, run.config, counts)
    parts = dict.fromkeys(found.parts, 0.0) | {"steps": seconds}
    job.write_json(run.folder / forecasts.FILE, asdict(replace(found, parts=parts)))


@pytest.mark.process
def test_what_is_not_measured_is_measured_once_in_a_process_of_its_own(tiny, dataset):
    config = replace(CONFIG, model=tiny)
    assert forecasts.look(dataset, config).state == "unmeasured"
    found = forecasts.wait(dataset, config)
    assert found.seconds > 0
    assert not found.estimated
    (kept,) = (home() / "forecasts").glob("*/result.json")
    before = kept.read_bytes()
    # Other epochs need no new measuring.
    twice = forecasts.wait(dataset, replace(config, epochs=4))
    assert twice.parts["steps"] > found.parts["steps"]
    assert kept.read_bytes() == before
    assert {path.name for path in kept.parent.iterdir()} == {kept.name, "request.json", "lock", "log.txt"}
    assert {path.name for path in (home() / "forecasts").iterdir()} == {kept.parent.name, "measuring.lock"}


def test_texts_lengths_batches_models_and_precisions_are_told_apart(tiny, dataset, asked):
    config = replace(CONFIG, model=tiny)
    keep(dataset, config)
    assert forecasts.look(dataset, config).state == "measured"
    for change in ({"batch_size": 4}, {"max_length": 8}, {"precision": "bf16"}, {"model": "bundled"}):
        assert forecasts.look(dataset, replace(config, **change)).state == "unmeasured", change
    assert forecasts.look(replace(dataset, sha256="another"), config).state == "unmeasured"
    for change in ({"epochs": 9}, {"learning_rate": 1e-3}, {"evaluations_per_epoch": 5}, {"seed": 1}):
        assert forecasts.look(dataset, replace(config, **change)).state == "measured", change
    forecasts.begin(dataset, config)
    assert asked == []
    forecasts.begin(dataset, replace(config, batch_size=4))
    assert [values["batch_size"] for values in settings_of(asked)] == [4]


def test_until_it_is_measured_other_batches_give_an_estimate(dataset, asked):
    keep(dataset, CONFIG)
    outlook = forecasts.look(dataset, replace(CONFIG, batch_size=4))
    assert outlook.pending
    assert outlook.forecast.estimated
    # The nearest batches: the same that are asked for.
    assert not forecasts.look(dataset, CONFIG).forecast.estimated


def test_nothing_is_measured_beside_a_training_or_another_measuring(dataset, asked):
    (home() / "forecasts").mkdir(parents=True)
    for lock in (home() / "device.lock", home() / "forecasts" / "measuring.lock"):
        with FileLock(lock):
            assert forecasts.look(dataset, CONFIG).state == "waiting"
            forecasts.begin(dataset, CONFIG)
    assert asked == []
    with locks.hold(home() / "forecasts" / "measuring.lock"):
        assert measure(dataset, CONFIG).status == "none"


@pytest.mark.process
def test_a_training_that_begins_ends_the_measuring(tiny, dataset):
    config = replace(CONFIG, model=tiny)
    with FileLock(home() / "device.lock"):
        assert measure(dataset, config).status == "none"
    assert forecasts.look(dataset, config).state == "unmeasured"


def test_what_goes_wrong_is_said_and_not_tried_at_every_look(dataset, asked, monkeypatch):
    def fail(*_):
        raise UserError("more memory", "too little", "Close other programs.")

    monkeypatch.setattr("core.learning.forecasting.measurement.measure", fail)
    measure(dataset, CONFIG)
    outlook = forecasts.look(dataset, CONFIG)
    assert (outlook.state, outlook.problem) == ("failed", "Expected more memory; found too little.")
    with pytest.raises(UserError, match="too little"):
        forecasts.wait(dataset, CONFIG)
    (kept,) = (home() / "forecasts").glob("*/result.json")
    os.utime(kept, (time.time() - 400,) * 2)
    assert forecasts.look(dataset, CONFIG).state == "unmeasured"


def test_a_measuring_that_was_ended_from_outside_is_not_begun_again_at_once(dataset, asked):
    found = forecasts.job_of(dataset, CONFIG)
    found.folder.mkdir(parents=True)
    job.say_progress(found)
    outlook = forecasts.look(dataset, CONFIG)
    assert (outlook.state, outlook.problem) == ("failed", "The measuring was ended from outside.")
    forecasts.begin(dataset, CONFIG)
    assert asked == []


def test_nothing_is_begun_for_a_data_set_that_is_deleted_while_a_page_shows_it(dataset, asked):
    keep(dataset, CONFIG)
    delete_dataset(dataset.id)
    for config in (CONFIG, replace(CONFIG, batch_size=4)):
        outlook = forecasts.look(dataset, config)
        assert (outlook.state, outlook.forecast, outlook.pending) == ("failed", None, False)
        forecasts.begin(dataset, config)
    assert asked == []
    with pytest.raises(UserError, match="deleted"):
        forecasts.wait(dataset, CONFIG)


def test_what_was_measured_on_a_busy_machine_is_soon_measured_anew(dataset, asked):
    keep(dataset, CONFIG, age=60, share_of_cores=0.4)
    assert forecasts.look(dataset, CONFIG).state == "measured"
    keep(dataset, CONFIG, age=700, share_of_cores=0.4)
    outlook = forecasts.look(dataset, CONFIG)
    assert outlook.state == "unmeasured"
    assert not outlook.forecast.quiet
    keep(dataset, CONFIG, age=700)
    assert forecasts.look(dataset, CONFIG).state == "measured"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"status": "finished", "result": {}}',
        '{"status": "finished", "result": 3}',
        "[" * 5000,
    ],
)
def test_a_damaged_file_is_as_good_as_none(content, dataset, asked):
    keep(dataset, CONFIG).write_text(content)
    assert forecasts.look(dataset, CONFIG).state == "unmeasured"
    assert forecasts.look(dataset, CONFIG).forecast is None


def test_left_overs_and_the_oldest_go(textuner_home, monkeypatch):
    monkeypatch.setattr(forecast_work, "KEPT", 2)
    root = textuner_home / "forecasts"
    for age in range(4):
        (root / str(age)).mkdir(parents=True)
        (root / str(age) / "result.json").write_text("{}")
        os.utime(root / str(age) / "result.json", (1e9 - age,) * 2)
    (root / "1" / "tmpabc").mkdir()
    for name in ("of-an-earlier-version.json", "of-an-earlier-version.begun"):
        (root / name).touch()
    forecast_work.sweep(root, spare=root / "3")
    assert sorted(path.name for path in root.iterdir()) == ["0", "1", "3"]
    assert [path.name for path in (root / "1").iterdir()] == ["result.json"]


def test_a_model_that_is_not_here_is_estimated_from_the_embedded_one(dataset, asked):
    config = replace(CONFIG, model="bert-base-uncased")
    outlook = forecasts.look(dataset, config)
    assert (outlook.state, outlook.at_hand, outlook.forecast) == ("unmeasured", False, None)
    forecasts.begin(dataset, config)
    assert settings_of(asked)[0]["model"] == "bundled"
    keep(dataset, replace(config, model="bundled"))
    outlook = forecasts.look(dataset, config)
    assert outlook.state == "measured"
    assert outlook.forecast.estimated


FOUND = forecasts.estimate.forecast(MEASURED, TrainingConfig(), {"train": 100, "validation": 10, "test": 10})
ROUGH, BUSY = replace(FOUND, estimated=True), replace(FOUND, quiet=False)
TAKES = f"About {forecasts.in_words(FOUND)}"


@pytest.mark.parametrize(
    ("outlook", "config", "words"),
    [
        (Outlook("measured", FOUND), {}, f"**{TAKES}** on this machine."),
        (
            Outlook("measured", FOUND),
            {"early_stopping": 2},
            f"**At most {TAKES.removeprefix('About ')}** on this machine.",
        ),
        (
            Outlook("measured", BUSY),
            {},
            f"**{TAKES}** on this machine; measured while it was busy: alone it is faster.",
        ),
        (Outlook("measuring", ROUGH), {}, f"**{TAKES}** on this machine, by estimate; measuring."),
        (
            Outlook("waiting", ROUGH),
            {},
            f"**{TAKES}** on this machine, by estimate; is measured when the training at work has ended.",
        ),
        (
            Outlook("measured", ROUGH, at_hand=False),
            {"model": "bert-base-uncased"},
            f"**{TAKES}** on this machine, by estimate, and 437.9 MB to fetch at first.",
        ),
        (Outlook("failed", problem="more **memory**"), {}, "No forecast: more \\*\\*memory\\*\\*"),
        (Outlook("waiting"), {}, "The forecast is measured as soon as the training at work has ended."),
        (
            Outlook("unmeasured"),
            {},
            "Measuring a few steps for a forecast. You can start all the same.",
        ),
    ],
)
def test_what_is_known_of_a_training_is_said(outlook, config, words):
    assert forecast_words.sentence(outlook, replace(TrainingConfig(), **config)) == words


def test_parts_of_a_forecast_and_other_models_are_lines_of_lists(dataset, asked):
    found = replace(FOUND, parts=dict.fromkeys(FOUND.parts, 0.0) | {"steps": 70.0, "loading": 0.4})
    assert forecast_words.parts_in_words(found) == "- Training steps: 1 min 10 s"
    config = TrainingConfig()
    base = pretrained.find("bert-base-uncased")
    assert forecast_words.line_of(dataset, config, base) == ""
    keep(dataset, config)
    line = forecast_words.line_of(dataset, config, base)
    assert line.startswith("- BERT base\\, uncased: ")
    assert line.endswith("\u00a0GB (estimate)")
    assert "estimate" not in forecast_words.line_of(dataset, config, pretrained.find("bundled"))
    assert forecast_words.line_of(dataset, replace(config, max_length=1024), base) == ""


@pytest.mark.parametrize("content", ["{", "[]", '{"parts": {}}', '{"seconds": "<script>"}'])
def test_a_damaged_forecast_of_a_run_is_as_good_as_none(content, dataset):
    run = store.create_run(CONFIG, dataset)
    (run.folder / "forecast.json").write_text(content)
    assert forecasts.recorded(run) is None


def test_texts_too_long_for_the_model_that_stands_in_have_no_forecast(dataset, asked):
    config = replace(CONFIG, model="modernbert-base", max_length=2048)
    outlook = forecasts.look(dataset, config)
    assert (outlook.state, outlook.problem) == ("failed", forecasts.NOT_HERE)
    forecasts.begin(dataset, config)
    assert asked == []


def test_a_run_carries_its_forecast_and_is_compared_with_it(dataset, asked, monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    assert forecasts.recorded(queue.submit(CONFIG, dataset)) is None
    keep(dataset, CONFIG)
    run = queue.submit(CONFIG, dataset)
    found = forecasts.recorded(run)
    assert found == forecasts.look(dataset, CONFIG).forecast
    report = {"total_seconds": 1.1 * found.seconds, "peak_memory_bytes": 1_200_000_000}
    words = forecasts.compared(replace(found, parts={"steps": 70.0}), report | {"total_seconds": 76.3})
    assert words == "Forecast 1 min 10 s, took 1 min 16 s (+9%); memory 1.0 GB, used 1.2 GB (+20%)."
    assert forecasts.compared(found, {"accuracy": 1}) is None
    early = forecasts.compared(replace(found, parts={"steps": 70.0}), report | {"converged": True})
    assert early.startswith("Forecast 1 min 10 s for all epochs; stopped early after ")
    (run.folder / "forecast.json").write_text('{"parts": 3}')
    assert forecasts.recorded(run) is None
    # The same data and settings again.
    assert forecasts.recorded(queue.submit_again(store.find_run(run.id))) == found


@pytest.mark.process
def test_a_forecast_of_the_embedded_model(dataset):
    found = forecasts.wait(dataset, TrainingConfig(epochs=1, batch_size=2))
    # A busy machine takes as long as it does.
    assert found.seconds > 0.1
    # Weights, gradients and moments of 10.6 million numbers, the words, and torch itself.
    assert 4 * 4 * 10_600_000 + 4 * 11_900_000 < found.memory_bytes < 3_000_000_000
