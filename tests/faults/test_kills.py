"""Real processes, real signals: whatever is killed, the run ends as if nothing had happened."""

import random
import signal
import threading
import time
from dataclasses import replace
from functools import partial

import pytest
from safetensors.numpy import load_file

from core.base.errors import UserError
from core.learning.pretrained import WEIGHTS
from core.runs.results import outputs
from core.runs.training import queue, run_events, states, store, worker
from core.runs.training.run import is_alive, snapshots_folder
from tests.benchmarks.workload import has_bf16
from tests.faults.looks import count, events_in, looked_at, see_that_nothing_is_left, status, steps_of
from tests.processes import is_at_work, kill, trainer_of, wait_for, worker_process
from tests.runs.test_runs import FAST

KILLS = 7
STOPS = 4


def kill_later(run, chance):
    """Kill the run's trainer at a step, or so long after a snapshot that it may be writing the next."""
    snapshots, steps = count(run, "snapshot"), steps_of(run)
    trainer = wait_for(lambda: trainer_of(run))
    if chance.random() < 0.5:
        aimed = steps + chance.randint(1, 15)
        wait_for(lambda: steps_of(run) >= aimed, every=0.01)
    else:
        wait_for(lambda: count(run, "snapshot") > snapshots, every=0.01)
        time.sleep(chance.uniform(0, 0.15))
    assert kill(trainer) == [True]


def is_interrupted(run, losses):
    """Whether so many losses are written down, and whoever wrote the last one is through with it."""
    return count(run, "interrupted") == losses and status(run) == "interrupted"


def weights_of(run):
    return load_file(run.folder / "model" / WEIGHTS)


@pytest.mark.parametrize(
    ("precision", "batch_size", "evaluations"),
    [
        ("fp32", 1, 20),
        pytest.param("bf16", 2, 1, marks=pytest.mark.skipif(not has_bf16(), reason="no bf16 in hardware")),
    ],
)
def test_a_run_whose_trainer_is_killed_again_and_again_ends_with_the_same_weights(
    config, dataset, precision, batch_size, evaluations
):
    config = replace(
        config, precision=precision, batch_size=batch_size, evaluations_per_epoch=evaluations, epochs=60
    )
    whole = queue.submit(config, dataset)
    wait_for(lambda: status(whole) == "finished")
    chance = random.Random(batch_size)
    run = queue.submit(config, dataset)
    for i in range(KILLS):
        wait_for(lambda: looked_at(run) == "running")
        kill_later(run, chance)
        if i >= worker.RESUMPTIONS:
            # Whoever writes down how it ended holds its lock, too: until then it looks at work.
            wait_for(partial(is_interrupted, run, i + 1), seconds=5)
            assert "SIGKILL" in states.state(run).reason
            queue.resume(run)
    wait_for(lambda: looked_at(run) == "finished")

    events = events_in(run)
    by_itself = [event["resumes"] for event in events if event["type"] == "interrupted"]
    assert by_itself == [True] * worker.RESUMPTIONS + [False] * (KILLS - worker.RESUMPTIONS)
    began = [event["step"] for event in events if event["type"] == "started"]
    assert began == sorted(began)
    assert began[-1] > 0
    expected, found = weights_of(whole), weights_of(run)
    assert expected.keys() == found.keys()
    assert all(expected[name].tobytes() == found[name].tobytes() for name in expected)
    # The charts show each evaluation once, and the state that nobody needs any more is gone.
    told = [
        [(e["step"], e["loss"]) for e in run_events.events_of(one) if e["type"] == "evaluated"]
        for one in (whole, run)
    ]
    assert told[0] == told[1]
    see_that_nothing_is_left()
    assert not snapshots_folder(run).exists()


def test_the_line_goes_on_whenever_its_worker_is_killed(config, dataset):
    chance = random.Random(3)
    runs = [queue.submit(replace(config, epochs=60, seed=seed), dataset) for seed in range(3)]
    for _ in range(5):
        found = wait_for(lambda: any(looked_at(run) == "running" for run in runs) and worker_process())
        time.sleep(chance.uniform(0, 0.8))
        at_work = {run: process for run in runs if (process := trainer_of(run))}
        assert kill(found) == [True]
        # A training does not end with the worker that started it.
        assert all(is_at_work(process) or states.has_ended(run) for run, process in at_work.items())
    wait_for(lambda: {looked_at(run) for run in runs} == {"finished"})
    assert [count(run, "started") for run in runs] == [1, 1, 1]
    spans = [(states.state(run).started, states.state(run).ended) for run in runs]
    assert all(earlier[1] <= later[0] for earlier, later in zip(spans, spans[1:], strict=False))
    see_that_nothing_is_left()


def test_a_run_that_lost_trainer_and_worker_goes_on_at_the_next_look(config, dataset):
    run = queue.submit(replace(config, epochs=40), dataset)
    wait_for(lambda: steps_of(run) > 10)
    assert kill(worker_process(), trainer_of(run)) == [True, True]
    wait_for(lambda: not is_alive(run), seconds=5)
    assert status(run) == "interrupted"
    assert looked_at(run) == "interrupted"
    wait_for(lambda: status(run) == "finished")
    see_that_nothing_is_left()


def test_a_damaged_newest_snapshot_is_said_and_the_one_before_it_used(config, dataset):
    run = queue.submit(replace(config, epochs=40), dataset)
    snapshots = snapshots_folder(run)
    wait_for(lambda: len([p for p in snapshots.glob("*") if p.name.isdecimal()]) == 2)
    assert kill(worker_process(), trainer_of(run)) == [True, True]
    older, newer = sorted((p for p in snapshots.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))
    content = bytearray((newer / "tensors.safetensors").read_bytes())
    content[-1] ^= 1
    (newer / "tensors.safetensors").write_bytes(content)
    wait_for(lambda: looked_at(run) == "finished")
    events = events_in(run)
    assert [event["step"] for event in events if event["type"] == "started"] == [0, int(older.name)]
    notes = [event["message"] for event in events if event["type"] == "note"]
    assert any(f"step {int(newer.name):,} is damaged" in note for note in notes)


def test_a_stop_and_a_kill_at_the_same_instant_leave_a_stopped_run(config, dataset):
    chance = random.Random(5)
    for i in range(STOPS):
        run = queue.submit(replace(config, seed=i), dataset)
        wait_for(lambda run=run: count(run, "evaluated") > 0)
        trainer = trainer_of(run)
        stop = threading.Timer(chance.uniform(0, 0.05), queue.cancel, [run])
        stop.start()
        time.sleep(chance.uniform(0, 0.05))
        assert kill(trainer) == [True]
        stop.join()
        wait_for(lambda run=run: looked_at(run) == "stopped", seconds=30)
        assert outputs.model_folder(run) is not None
        assert sum(event["type"] == "stopped" for event in events_in(run)) == 1
    see_that_nothing_is_left()


def test_a_trainer_that_does_not_answer_is_ended_from_outside(config, dataset):
    run = queue.submit(config, dataset)
    following = queue.submit(replace(FAST, model=config.model), dataset)
    wait_for(lambda: count(run, "evaluated") > 0)
    trainer = trainer_of(run)
    trainer.send_signal(signal.SIGSTOP)
    queue.cancel(run, now=True)
    assert status(run) == "stopping"
    wait_for(lambda: status(run) == "stopped", seconds=worker.GRACE_SECONDS + 10)
    assert not is_at_work(trainer)
    assert outputs.model_folder(run) is not None
    wait_for(lambda: status(following) == "finished")
    see_that_nothing_is_left()


def test_patience_with_a_trainer_that_does_not_answer_has_an_end(config, dataset, monkeypatch):
    monkeypatch.setattr(worker, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(worker, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr("core.runs.training.engines.start_worker", lambda: None)
    run = store.create_run(config, dataset)
    # The worker of this test has less patience; the trainer is as real as ever.
    at_work = threading.Thread(target=worker.main)
    at_work.start()
    wait_for(lambda: steps_of(run) > 10)
    trainer = trainer_of(run)
    trainer.send_signal(signal.SIGSTOP)
    queue.cancel(run)
    time.sleep(1)
    assert is_at_work(trainer)
    wait_for(lambda: status(run) == "stopped", seconds=20)
    assert not is_at_work(trainer)
    at_work.join(timeout=10)
    assert not at_work.is_alive()
    see_that_nothing_is_left()


def test_short_of_memory_is_not_tried_again_by_itself(config, dataset):
    run = queue.submit(replace(config, batch_size=2), dataset)
    wait_for(lambda: steps_of(run) > 10)
    assert kill(worker_process(), trainer_of(run)) == [True, True]
    # As the worker does when Linux counts one more process that it ended for lack of memory.
    worker._record_interruption(run, -signal.SIGKILL, short_of_memory=True)
    assert status(run) == "interrupted"
    assert "memory ran out" in states.state(run).reason
    assert "batches of 1" in states.state(run).remedy


def test_only_an_interrupted_run_can_be_resumed(config, dataset):
    run = queue.submit(replace(config, epochs=1), dataset)
    wait_for(lambda: status(run) == "finished")
    with pytest.raises(UserError, match="a run that is finished"):
        queue.resume(run)
