"""Store, queue, worker and trainer: the last three as the real processes that they are."""

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock

from core.base.errors import UserError
from core.base.home import home
from core.base.ids import is_id
from core.learning.config import TrainingConfig
from core.runs.results import exports, outputs
from core.runs.results.models import usable_models
from core.runs.training import queue, run_events, states, stop_requests, store, worker
from core.runs.training.events import EventLog
from tests.processes import kill, processes_of, trainer_of, wait_for, worker_process

FAST = TrainingConfig(epochs=2, batch_size=2, learning_rate=1e-3, max_length=16, precision="fp32")
LONG = replace(FAST, epochs=100, batch_size=1, evaluations_per_epoch=20)

pytestmark = pytest.mark.usefixtures("nothing_left_running")


def status(run):
    return states.state(run).status


# Store


def test_ids_are_not_guessable_and_numbers_rise(dataset, no_worker):
    runs = [store.create_run(FAST, dataset) for _ in range(3)]
    assert [run.number for run in runs] == [1, 2, 3]
    assert all(is_id(run.id) for run in runs)
    assert [run.id for run in store.list_runs()] == [run.id for run in reversed(runs)]
    assert store.find_run(runs[0].id).config == FAST


@pytest.mark.parametrize(
    "run_id",
    ["", "../../etc/passwd", "..", "a" * 22, "a" * 10_000, "ä" * 22, "a" * 21 + "\n", None, "./" * 11],
)
def test_hostile_ids_are_refused(run_id, dataset, no_worker):
    store.create_run(FAST, dataset)
    with pytest.raises(UserError):
        store.find_run(run_id)


def test_two_submissions_at_once_get_two_places(dataset, no_worker):
    threads = [threading.Thread(target=store.create_run, args=(FAST, dataset)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.number for run in store.list_runs()) == list(range(1, 9))


def test_state_follows_events_and_lock(dataset, no_worker):
    run = store.create_run(FAST, dataset)
    assert status(run) == "queued"
    with FileLock(run.folder / "run.lock"), EventLog(run.folder / "events.jsonl") as events:
        events.append({"type": "started"})
        assert status(run) == "running"
        stop_requests.ask_to_stop(run)
        assert status(run) == "stopping"
    assert status(run) == "interrupted"
    with EventLog(run.folder / "events.jsonl") as events:
        for i in range(2000):
            events.append({"type": "step", "step": i})
        events.append({"type": "failed", "reason": "r", "remedy": "m"})
    state = states.state(run)
    assert (state.status, state.reason, state.remedy) == ("failed", "r", "m")
    assert state.seconds >= 0


# Queue


def test_settings_are_refused_before_anything_is_written(dataset, no_worker):
    with pytest.raises(UserError, match="epochs is 0.*learning_rate"):
        queue.submit(replace(FAST, epochs=0, learning_rate=1.0), dataset)
    with pytest.raises(UserError, match="at most 512 tokens"):
        queue.submit(replace(FAST, max_length=1024), dataset)
    assert store.list_runs() == []


def test_places_in_line_and_leaving_it(dataset, no_worker):
    first, second, third = (queue.submit(FAST, dataset) for _ in range(3))
    assert [queue.position(run) for run in (first, second, third)] == [1, 2, 3]
    queue.cancel(first)
    assert status(first) == "stopped"
    assert [queue.position(run) for run in (first, second, third)] == [None, 1, 2]


# Worker and trainer


@pytest.mark.process
def test_a_submitted_run_is_trained_judged_and_can_be_taken_away(tiny, dataset, tmp_path):
    run = queue.submit(replace(FAST, model=tiny), dataset)
    wait_for(lambda: status(run) == "finished")
    types = [event["type"] for event in run_events.events_of(run)]
    assert types[:2] == ["queued", "started"]
    assert types[-1] == "finished"
    assert {"step", "evaluated"} <= set(types)
    assert outputs.report_of(run)["test"]["texts"] == 2
    assert len(outputs.predictions_of(run)) == 4
    assert np.stack(outputs.predictions_of(run)["probabilities"]).sum(axis=1) == pytest.approx([1] * 4)
    assert (outputs.model_folder(run) / "calibration.json").is_file()
    assert "finished" not in outputs.log_of(run) or "Traceback" not in outputs.log_of(run)
    (model,) = usable_models()
    for form in (exports.HUGGINGFACE, exports.PTH):
        exports.export_model(model, form, tmp_path / form)
    assert (tmp_path / exports.HUGGINGFACE).stat().st_size > 10_000
    wait_for(lambda: not processes_of(home()), seconds=20)


@pytest.mark.process
def test_runs_in_line_are_trained_one_at_a_time_in_order(tiny, dataset):
    runs = [queue.submit(replace(FAST, model=tiny, seed=seed), dataset) for seed in range(3)]
    most = 0
    while any(states.state(run).live for run in runs):
        most = max(most, sum(status(run) == "running" for run in runs))
        time.sleep(0.02)
    assert [status(run) for run in runs] == ["finished"] * 3
    assert most == 1
    starts = [states.state(run).started for run in runs]
    assert starts == sorted(starts)


@pytest.mark.process
def test_stop_keeps_the_best_weights(tiny, dataset):
    run = queue.submit(replace(LONG, model=tiny), dataset)
    wait_for(lambda: any(event["type"] == "evaluated" for event in run_events.events_of(run)))
    queue.cancel(run)
    wait_for(lambda: status(run) == "stopped")
    assert outputs.model_folder(run) is not None
    assert outputs.report_of(run)["steps"] < 600
    assert outputs.report_of(run)["test"] is not None


@pytest.mark.process
def test_a_killed_trainer_is_told_apart_and_the_line_goes_on(tiny, dataset):
    first = queue.submit(replace(LONG, model=tiny), dataset)
    second = queue.submit(replace(FAST, model=tiny), dataset)
    wait_for(lambda: any(event["type"] == "step" for event in run_events.events_of(first)))
    for _ in range(worker.RESUMPTIONS + 1):
        wait_for(lambda: status(first) == "running")
        trainer_of(first).send_signal(signal.SIGKILL)
        wait_for(lambda: not states.is_lost(first) and status(first) != "running", seconds=5)
    wait_for(lambda: "SIGKILL" in states.state(first).reason, seconds=5)
    assert status(first) == "interrupted"
    wait_for(lambda: status(second) == "finished")


@pytest.mark.process
def test_training_goes_on_when_the_worker_dies_and_the_next_waits_for_it(tiny, dataset):
    first = queue.submit(replace(LONG, model=tiny), dataset)
    wait_for(lambda: status(first) == "running")
    kill(worker_process())
    second = queue.submit(replace(FAST, model=tiny), dataset)
    wait_for(lambda: any(event["type"] == "step" for event in run_events.events_of(first)))
    assert status(second) == "queued"
    queue.cancel(first)
    wait_for(lambda: status(second) == "finished")
    assert status(first) == "stopped"
    assert states.state(second).started >= states.state(first).ended


@pytest.mark.process
def test_an_error_becomes_a_reason_and_the_trace_goes_to_the_log(tiny, dataset, no_worker, monkeypatch):
    run = queue.submit(replace(FAST, model=tiny), dataset)
    (run.folder / "dataset" / "splits.parquet").write_bytes(b"no parquet")
    monkeypatch.undo()
    os.environ["TEXTUNER_HOME"] = str(run.folder.parents[1])
    try:
        queue.ensure_worker()
        wait_for(lambda: status(run) == "failed")
    finally:
        nothing = os.environ.pop("TEXTUNER_HOME")
        monkeypatch.setenv("TEXTUNER_HOME", nothing)
    assert states.state(run).remedy


def test_exit_codes_in_words(dataset, no_worker):
    run = store.create_run(FAST, dataset)
    short = worker.explain_exit(run, -9, short_of_memory=True)
    assert "memory" in short["reason"]
    assert f"batches of {FAST.batch_size // 2} instead of {FAST.batch_size}" in short["remedy"]
    assert "SIGKILL" in worker.explain_exit(run, -9, short_of_memory=False)["reason"]
    assert "SIGTERM" in worker.explain_exit(run, -15, short_of_memory=False)["reason"]
    assert "exit code 3" in worker.explain_exit(run, 3, short_of_memory=False)["reason"]


def test_many_looks_start_one_worker(dataset, monkeypatch):
    store.create_run(FAST, dataset)
    started = []

    class Slow:
        def poll(self):
            return None

        def wait(self):
            return 0

    monkeypatch.setattr(
        "core.runs.training.engines.start_process", lambda *_, **__: started.append(1) or Slow()
    )
    for _ in range(5):
        queue.ensure_worker()
    assert started == [1]


def test_a_run_deleted_as_it_begins_does_not_stop_the_line(dataset, no_worker, monkeypatch):
    first, second = store.create_run(FAST, dataset), store.create_run(FAST, dataset)
    trained = []

    def train(run, card):
        trained.append(run.id)
        if run.id == first.id:
            store.delete_run(run.id)
            raise FileNotFoundError(run.folder)
        queue.cancel(run)
        return 0

    monkeypatch.setattr(worker, "_train", train)
    worker._drain(worker.Line())
    assert trained == [first.id, second.id]


def test_the_line_is_looked_at_again_after_a_wait(dataset, no_worker, monkeypatch):
    run = store.create_run(FAST, dataset)
    monkeypatch.setattr(worker, "_wait_for_device", lambda card: store.delete_run(run.id))
    monkeypatch.setattr(worker, "_train", lambda *_: pytest.fail("a deleted run was started"))
    worker._drain(worker.Line())
