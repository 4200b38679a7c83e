"""What is on disk is torn, out of date, or written by a clock that jumps: what is shown stays true."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from core.runs.results import outputs
from core.runs.training import processes, queue, run_events, states, store
from core.runs.training.events import EventLog
from tests.faults.looks import count, events_in, looked_at, see_that_nothing_is_left, status, steps_of
from tests.processes import is_at_work, kill, trainer_of, wait_for, worker_process
from tests.runs.test_runs import FAST

SLEEPER = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]


@pytest.fixture
def unrelated():
    """A living process that has nothing to do with any run."""
    process = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, env={})
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def started(run):
    with EventLog(run.folder / "events.jsonl") as events:
        events.append({"type": "started", "step": 0, "total_steps": 9})
        events.append({"type": "note", "message": "größer"})
        events.append({"type": "finished"})


# Torn events


def test_a_last_word_torn_at_any_byte_was_not_said(dataset, no_worker):
    run = store.create_run(FAST, dataset)
    started(run)
    path = run.folder / "events.jsonl"
    whole = path.read_bytes()
    assert status(run) == "finished"
    last = len(whole.rstrip(b"\n").rpartition(b"\n")[0]) + 1
    for end in range(last, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert [event["type"] for event in run_events.events_of(run)] == ["queued", "started", "note"]
        assert status(run) == "interrupted"
        assert states.can_resume(run)
    # Whole but for the end of its line: it was said.
    path.write_bytes(whole[:-1])
    assert status(run) == "finished"


def test_an_event_torn_inside_a_letter_is_passed_over_and_closed_off(dataset, no_worker):
    run = store.create_run(FAST, dataset)
    started(run)
    path = run.folder / "events.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index("ö".encode()) + 1])
    with EventLog(path) as events:
        events.append({"type": "failed", "reason": "after the tear", "remedy": ""})
    assert [event["type"] for event in run_events.events_of(run)] == ["queued", "started", "failed"]
    assert states.state(run).reason == "after the tear"


def test_a_training_goes_on_behind_a_torn_event(config, dataset):
    run = queue.submit(replace(config, epochs=40), dataset)
    wait_for(lambda: steps_of(run) > 10)
    assert kill(worker_process(), trainer_of(run)) == [True, True]
    path = run.folder / "events.jsonl"
    before = len(events_in(run))
    path.write_bytes(path.read_bytes()[: -random.Random(2).randint(2, 30)])
    assert len(events_in(run)) == before - 1
    wait_for(lambda: looked_at(run) == "finished")
    events = events_in(run)
    assert [event["type"] for event in events[before - 1 : before + 1]] == ["interrupted", "started"]
    assert len(path.read_bytes().splitlines()) == len(events) + 1
    see_that_nothing_is_left()


# Stale process ids


def test_a_process_id_of_somebody_else_is_no_trainer(dataset, no_worker, unrelated):
    run = store.create_run(FAST, dataset)
    with EventLog(run.folder / "events.jsonl") as events:
        events.append({"type": "started", "step": 0, "total_steps": 9})
    (run.folder / processes.PID_FILE).write_text(str(unrelated.pid))
    assert status(run) == "interrupted"
    assert processes.trainer_of(run) is None
    # Not even while somebody holds the run's lock.
    with FileLock(run.folder / "run.lock"):
        assert status(run) == "running"
        assert processes.trainer_of(run) is None
    store.delete_run(run.id)
    assert unrelated.poll() is None


@pytest.mark.parametrize("content", ["", "-1", "0", "99999999999999999999", "abc", "1\n2", "\0"])
def test_a_process_id_that_is_none_is_no_trainer(dataset, no_worker, content):
    run = store.create_run(FAST, dataset)
    (run.folder / processes.PID_FILE).write_text(content)
    with FileLock(run.folder / "run.lock"):
        assert processes.trainer_of(run) is None


def test_a_process_id_of_a_dead_process_is_no_trainer(dataset, no_worker, unrelated):
    run = store.create_run(FAST, dataset)
    (run.folder / processes.PID_FILE).write_text(str(unrelated.pid))
    unrelated.kill()
    unrelated.wait()
    with FileLock(run.folder / "run.lock"):
        assert processes.trainer_of(run) is None


def test_nobody_else_is_ended_in_place_of_a_trainer_that_does_not_answer(config, dataset, unrelated):
    run = queue.submit(config, dataset)
    wait_for(lambda: steps_of(run) > 10)
    trainer = trainer_of(run)
    trainer.send_signal(signal.SIGSTOP)
    (run.folder / processes.PID_FILE).write_text(str(unrelated.pid))
    queue.cancel(run, now=True)
    time.sleep(2)
    assert unrelated.poll() is None
    assert is_at_work(trainer)
    assert status(run) == "stopping"
    assert kill(trainer) == [True]
    wait_for(lambda: looked_at(run) == "stopped", seconds=20)
    assert unrelated.poll() is None
    see_that_nothing_is_left()


# A clock that jumps

JUMPING = """
import random, time
_true, _chance = time.time, random.Random({seed})
time.time = lambda: _true() + _chance.choice((-86400, -3600, 0, 3600, 86400))
"""
"""Becomes the sitecustomize of every process: each look at the clock may be a day back or an hour ahead."""


def test_a_run_whose_clock_jumps_ends_and_no_duration_is_negative(config, dataset, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(JUMPING.format(seed=4))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    runs = [queue.submit(replace(config, epochs=20, seed=seed), dataset) for seed in range(2)]
    while any(looked_at(run) != "finished" for run in runs):
        for run in runs:
            assert (states.state(run).seconds or 0) >= 0
            assert (queue.expected_wait(run) or 0) >= 0
        time.sleep(0.05)
        assert not any(states.has_ended(run) and status(run) == "failed" for run in runs)
    for run in runs:
        events = events_in(run)
        times = [event["time"] for event in events]
        assert times != sorted(times)
        steps = [event["step"] for event in events if event["type"] in ("step", "evaluated")]
        assert steps == sorted(steps)
        assert all(event["seconds_left"] >= 0 for event in events if event["type"] == "step")
        assert states.state(run).seconds >= 0
        report = outputs.report_of(run)
        assert 0 < report["train_seconds"] <= report["total_seconds"]
        assert count(run, "finished") == 1
    see_that_nothing_is_left()


@pytest.mark.parametrize("jump", [-1e6, -3600, 3600, 1e6])
def test_order_is_that_of_events_and_submissions_not_that_of_the_clock(dataset, no_worker, monkeypatch, jump):
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    first = store.create_run(FAST, dataset)
    now[0] += jump
    second = store.create_run(FAST, dataset)
    assert [run.id for run in store.waiting_runs()] == [first.id, second.id]
    assert [run.id for run in store.list_runs()] == [second.id, first.id]
    with EventLog(first.folder / "events.jsonl") as events:
        events.append({"type": "started", "step": 0, "total_steps": 9})
        now[0] -= 2 * jump
        events.append({"type": "stopped", "reason": "the last word"})
    assert (status(first), states.state(first).reason) == ("stopped", "the last word")
    assert states.state(first).seconds >= 0
    with FileLock(second.folder / "run.lock"):
        with EventLog(second.folder / "events.jsonl") as events:
            events.append({"type": "started", "step": 0, "total_steps": 9})
        now[0] -= 10 * abs(jump)
        assert states.state(second).seconds == 0
