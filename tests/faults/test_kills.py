"""Real processes, real signals: whatever is killed, the run ends as if nothing had happened."""

import random
import signal
import time
from dataclasses import replace

import pytest
from safetensors.numpy import load_file

from core.home import home
from core.runs import queue, store, worker
from core.runs.events import read_events
from tests.runs.test_runs import LONG, nothing_left_running, processes_of, status, trainer_of, wait_for

__all__ = ["nothing_left_running"]

KILLS = 6


@pytest.fixture
def config(tiny):
    return replace(LONG, model=tiny)


def steps_of(run):
    return max((event.get("step", 0) for event in store.events_of(run)), default=0)


def looked_at(run):
    """The run's state, as a page asks for it."""
    queue.ensure_worker()
    return status(run)


def snapshots_of(run):
    return sum(event["type"] == "snapshot" for event in read_events(run.folder / "events.jsonl"))


def kill_later(run, seconds):
    """Kill the run's trainer some time after the first snapshot since its last start."""
    before = snapshots_of(run)
    wait_for(lambda: snapshots_of(run) > before)
    time.sleep(seconds)
    trainer_of(run).send_signal(signal.SIGKILL)


def test_a_run_whose_trainer_is_killed_again_and_again_ends_with_the_same_weights(config, dataset):
    whole = queue.submit(config, dataset)
    wait_for(lambda: status(whole) == "finished")
    seeded = random.Random(1)
    run = queue.submit(config, dataset)
    for kill in range(KILLS):
        wait_for(lambda: looked_at(run) == "running")
        kill_later(run, seeded.uniform(0, 0.4))
        if kill >= worker.RESUMPTIONS:
            wait_for(lambda: status(run) == "interrupted", seconds=5)
            assert "SIGKILL" in store.state(run).reason
            queue.resume(run)
    wait_for(lambda: looked_at(run) == "finished")
    events = read_events(run.folder / "events.jsonl")
    assert [event["resumes"] for event in events if event["type"] == "interrupted"] == [True] * 2 + [
        False
    ] * 4
    began = [event["step"] for event in events if event["type"] == "started"]
    assert began == sorted(began)
    assert began[-1] > 0
    expected, found = (load_file(of.folder / "model" / store.WEIGHTS) for of in (whole, run))
    assert expected.keys() == found.keys()
    assert all((expected[name] == found[name]).all() for name in expected)
    # The charts show each step once, and the state that nobody needs any more is gone.
    steps = [event["step"] for event in store.events_of(run) if event["type"] == "evaluated"]
    assert steps == [event["step"] for event in store.events_of(whole) if event["type"] == "evaluated"]
    assert not store.snapshots_folder(run).exists()


def test_a_run_that_lost_trainer_and_worker_goes_on_at_the_next_look(config, dataset):
    run = queue.submit(config, dataset)
    wait_for(lambda: steps_of(run) > 10)
    for name in ("core.runs.worker", "core.runs.trainer"):
        next(p for p in processes_of(home()) if name in p.cmdline()).kill()
    wait_for(lambda: not store.is_alive(run), seconds=5)
    assert status(run) == "interrupted"
    queue.ensure_worker()
    wait_for(lambda: status(run) == "finished")
    assert not processes_of(home()) or wait_for(lambda: not processes_of(home()))


def test_a_damaged_newest_snapshot_is_said_and_the_one_before_it_used(config, dataset, monkeypatch):
    run = queue.submit(config, dataset)
    snapshots = store.snapshots_folder(run)
    wait_for(lambda: snapshots.is_dir() and len([p for p in snapshots.iterdir() if p.name.isdecimal()]) == 2)
    next(p for p in processes_of(home()) if "core.runs.worker" in p.cmdline()).kill()
    trainer_of(run).kill()
    wait_for(lambda: not store.is_alive(run), seconds=5)
    older, newer = sorted((p for p in snapshots.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))
    content = bytearray((newer / "tensors.safetensors").read_bytes())
    content[-1] ^= 1
    (newer / "tensors.safetensors").write_bytes(content)
    queue.ensure_worker()
    wait_for(lambda: status(run) == "finished")
    events = read_events(run.folder / "events.jsonl")
    assert [event["step"] for event in events if event["type"] == "started"] == [0, int(older.name)]
    notes = [event["message"] for event in events if event["type"] == "note"]
    assert any(f"step {int(newer.name):,} is damaged" in note for note in notes)


def test_short_of_memory_is_not_tried_again_by_itself(config, dataset, monkeypatch):
    run = queue.submit(config, dataset)
    wait_for(lambda: steps_of(run) > 10)
    next(p for p in processes_of(home()) if "core.runs.worker" in p.cmdline()).kill()
    trainer_of(run).kill()
    wait_for(lambda: not store.is_alive(run), seconds=5)
    # As the worker does when Linux counts one more process that it ended for lack of memory.
    worker._record_loss(run, -signal.SIGKILL, short_of_memory=True)
    assert status(run) == "interrupted"
    assert "memory ran out" in store.state(run).reason
    assert f"batches of {max(1, config.batch_size // 2)}" in store.state(run).remedy


def test_memory_kills_are_counted_where_linux_counts_them(monkeypatch, tmp_path):
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    monkeypatch.setattr(worker, "MEMORY_KILLS", (tmp_path / "none", tmp_path / "memory.events"))
    assert worker._memory_kills() == 2
    monkeypatch.setattr(worker, "MEMORY_KILLS", (tmp_path / "none",))
    assert worker._memory_kills() is None


def test_only_an_interrupted_run_can_be_resumed(config, dataset):
    from core.errors import UserError

    run = queue.submit(replace(config, epochs=1), dataset)
    wait_for(lambda: status(run) == "finished")
    with pytest.raises(UserError, match="a run that is finished"):
        queue.resume(run)
