"""A full disk, in real processes: limits on files (RLIMIT_FSIZE), and, where it may be mounted, a small disk."""

import errno
import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from core import disk
from core.data import datasets, uploads
from core.disk import NoSpace
from core.errors import UserError
from core.runs import engines, events, queue, space, store, worker
from core.runs.events import EventLog, read_events
from tests.processes import trainer_of, wait_for
from tests.runs.test_runs import FAST

PROJECT = Path(__file__).resolve().parents[2]
ROOM = resource.RLIM_INFINITY


def status(run):
    return store.state(run).status


def events_in(run):
    return read_events(run.folder / "events.jsonl")


def limit(process, size):
    """No file of the process may be written beyond so many bytes, as if the disk were full."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, ROOM))


@contextmanager
def files_limited(size):
    """The same for this process and for those that it starts."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def weights_of(run):
    return load_file(run.folder / "model" / store.WEIGHTS)


def assert_same_weights(one, other):
    expected, found = weights_of(one), weights_of(other)
    assert expected.keys() == found.keys()
    assert all((expected[name] == found[name]).all() for name in expected)


# Before a run starts


def free(monkeypatch, number):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: type("Usage", (), {"free": number}))


def test_a_run_without_room_is_refused_before_it_is_written(tiny, dataset, monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    config = replace(FAST, model=tiny)
    needed = space.need(config, dataset).ending
    free(monkeypatch, needed - 1)
    with pytest.raises(NoSpace) as refusal:
        queue.submit(config, dataset)
    words = str(refusal.value)
    # The need is rounded up and what is there is not, so that they never look the same.
    assert f"Expected {-(-needed // 1000)} kB of room" in words
    assert f"found {(needed - 1) // 1000} kB" in words
    assert str(store.runs_root()) in words
    assert store.list_runs() == []
    free(monkeypatch, needed)
    run = queue.submit(config, dataset)
    assert status(run) == "queued"


def test_what_a_run_needs_is_what_it_takes(tiny, dataset):
    config = replace(FAST, model=tiny)
    needed = space.need(config, dataset)
    run = queue.submit(config, dataset)
    wait_for(lambda: status(run) == "finished")
    wait_for(lambda: not store.is_alive(run))
    model = sum(path.stat().st_size for path in (run.folder / "model").iterdir())
    assert model <= needed.weights / 2 <= 1.2 * model
    closing = sum((run.folder / name).stat().st_size for name in ("report.json", "predictions.parquet"))
    assert closing <= needed.closing
    assert sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file()) <= needed.ending


def test_a_run_whose_room_is_gone_when_it_starts_fails_and_can_be_resumed(tiny, dataset, monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    run = queue.submit(replace(FAST, model=tiny), dataset)
    free(monkeypatch, 1000)
    with pytest.raises(NoSpace, match="Make room, then resume"):
        space.check_start(run)
    needed = space.remaining(run)
    free(monkeypatch, needed)
    assert "snapshots pause" in space.check_start(run)
    free(monkeypatch, needed + space.need(run.config, dataset).snapshots)
    assert space.check_start(run) is None
    # Older snapshots make way.
    for step in (1, 2):
        (store.snapshots_folder(run) / str(step)).mkdir(parents=True)
        (store.snapshots_folder(run) / str(step) / "tensors").write_bytes(bytes(needed))
    free(monkeypatch, 0)
    assert "snapshots pause" in space.check_start(run)


# Events


@pytest.fixture
def log_file(tmp_path):
    return tmp_path / "events.jsonl"


def test_a_line_written_in_part_is_continued_when_there_is_room(log_file):
    with EventLog(log_file) as log:
        log.append({"type": "started", "step": 0})
        with files_limited(log_file.stat().st_size + 20):
            for step in range(5):
                log.append(step_event(step))
            torn = log_file.read_bytes()
            assert not torn.endswith(b"\n")
            assert [event["type"] for event in read_events(log_file)] == ["started"]
        log.append(step_event(5))
        assert log_file.read_bytes().startswith(torn)
        assert b"\n\n" not in log_file.read_bytes()
    assert [event["step"] for event in read_events(log_file)[1:]] == [0, 1, 2, 3, 4, 5]


def test_what_waits_in_memory_is_bounded_and_what_is_dropped_is_said(log_file, monkeypatch):
    monkeypatch.setattr(events, "MOST_WAITING", 10)
    with EventLog(log_file) as log:
        log.append({"type": "started"})
        with files_limited(log_file.stat().st_size + 20):
            for step in range(100):
                log.append(step_event(step))
                if step % 50 == 0:
                    log.append({"type": "note", "message": str(step)})
        log.append({"type": "finished"})
    found = read_events(log_file)
    assert [event["type"] for event in found] == ["started", *found_types(found), "finished", "note"]
    kept = [event["step"] for event in found if event["type"] == "step"]
    # The one that was written in part stays, and of the others the newest; notes go last.
    assert kept == [0, *range(93, 100)]
    assert f"{100 - len(kept)} events" in found[-1]["message"]
    assert [event["message"] for event in found if event["type"] == "note"][:2] == ["0", "50"]


def found_types(found):
    return [event["type"] for event in found[1:-2]]


def step_event(step):
    return {"type": "step", "step": step, "epoch": 1, "loss": 1.0, "samples_per_second": 1, "seconds_left": 1}


def test_an_event_that_cannot_be_written_is_not_lost_in_silence(log_file):
    log = EventLog(log_file)
    with files_limited(0):
        log.append({"type": "queued"})
        with pytest.raises(NoSpace, match="what happened in the run"):
            log.close()


SMALL_DISK = """
import json, os, sys
from pathlib import Path
from core.runs.events import EventLog, read_events

folder = Path(sys.argv[1])
log = EventLog(folder / "events.jsonl")
log.append({"type": "started"})
with (folder / "filler").open("wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(4096))
    except OSError as error:
        print(error.errno)
for step in range(200):
    log.append({"type": "step", "step": step, "epoch": 1, "loss": 1.0, "samples_per_second": 1,
                "seconds_left": 1, "words": "x" * 1000})
log.append({"type": "finished"})
print(json.dumps(read_events(folder / "events.jsonl")))
"""


def on_a_small_disk(tmp_path, script, size="1m", *arguments):
    """Run a script with a folder on a disk of its own as its first argument; skip where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = f'mount -t tmpfs -o size={size} none {folder} && exec "$@"'
    unshared = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try:
        possible = subprocess.run([*unshared, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("no disk may be mounted here")
    command = [*unshared, sys.executable, "-c", script, str(folder), *arguments]
    return subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_the_last_event_gets_the_room_that_was_kept_for_it(tmp_path):
    number, lines = on_a_small_disk(tmp_path, SMALL_DISK)
    assert int(number) == errno.ENOSPC
    found = json.loads(lines)
    assert found[-1]["type"] == "finished"
    assert found[-2]["type"] == "note"
    dropped = 200 - sum(event["type"] == "step" for event in found)
    assert dropped > 0
    assert f"{dropped} events" in found[-2]["message"]


# A training on a full disk


@pytest.fixture
def whole(config, dataset):
    """A run that nothing disturbs."""
    run = queue.submit(config, dataset)
    wait_for(lambda: status(run) == "finished")
    return run


def begun(config, dataset):
    """A run that has weights and a snapshot, and its trainer."""
    run = queue.submit(config, dataset)
    wait_for(lambda: any(e["type"] == "snapshot" and e["step"] > 5 for e in events_in(run)), every=0.01)
    return run, trainer_of(run)


def test_no_room_for_better_weights_ends_the_training_and_resuming_it_changes_nothing(config, dataset, whole):
    run, trainer = begun(config, dataset)
    weights = run.folder / "model" / store.WEIGHTS
    limit(trainer, weights.stat().st_size // 2)
    wait_for(lambda: status(run) == "failed")
    last = events_in(run)[-1]
    assert last["resumable"] is True
    assert "kB of room for the best weights so far" in last["reason"]
    assert "Make room, then resume" in last["remedy"]
    kept = weights.read_bytes()
    load_file(weights)
    assert [path.name for path in store.snapshots_folder(run).iterdir() if path.name.isdecimal()]
    assert not list(run.folder.glob(".saving-*"))
    queue.resume(run)
    wait_for(lambda: status(run) == "finished")
    began = [event["step"] for event in events_in(run) if event["type"] == "started"]
    assert began[0] == 0
    assert began[1] > 0
    assert weights.read_bytes() != kept
    assert_same_weights(run, whole)
    assert store.report_of(run)["test"] == store.report_of(whole)["test"]


def test_no_room_for_snapshots_pauses_them_and_the_training_ends_well(config, dataset, whole):
    run, trainer = begun(config, dataset)
    largest = max(path.stat().st_size for path in store.snapshots_folder(run).glob("*/tensors.safetensors"))
    weights = (run.folder / "model" / store.WEIGHTS).stat().st_size
    assert weights < largest
    limit(trainer, (weights + largest) // 2)
    wait_for(lambda: status(run) == "finished")
    notes = [event["message"] for event in events_in(run) if event["type"] == "note"]
    assert len(notes) == 1
    assert "room for a snapshot" in notes[0]
    assert "goes on without snapshots" in notes[0]
    assert_same_weights(run, whole)


def test_no_room_for_events_neither_ends_nor_tears_a_training(config, dataset, whole):
    run, trainer = begun(config, dataset)
    # Nothing at all can be written: what happens waits.
    file = run.folder / "events.jsonl"
    limit(trainer, 100)
    size = file.stat().st_size
    wait_for(lambda: trainer.cpu_times().user > trainer.cpu_times().user - 1 and trainer.is_running())
    limit(trainer, ROOM)
    wait_for(lambda: status(run) in ("finished", "failed"))
    if status(run) == "failed":
        queue.resume(run)
        wait_for(lambda: status(run) == "finished")
    assert file.stat().st_size > size
    assert all(json.loads(line) for line in file.read_bytes().splitlines())
    assert_same_weights(run, whole)


def test_a_report_without_room_does_not_cost_the_run(config, dataset, whole, monkeypatch):
    run = queue.submit(config, dataset)
    wait_for(lambda: any(e["type"] == "snapshot" for e in events_in(run)), every=0.01)
    report, weights = (
        (whole.folder / name).stat().st_size for name in ("report.json", "model/model.safetensors")
    )
    assert report < weights
    # The report alone finds no room: its draft is written to where nothing can be.
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device that is always full")
    drafts = run.folder / "predictions.parquet"
    drafts.mkdir()
    wait_for(lambda: status(run) == "failed")
    drafts.rmdir()
    assert store.model_folder(run)
    assert store.snapshots_folder(run).is_dir()


def test_a_worker_that_fails_at_once_is_not_started_at_every_look(dataset, monkeypatch):
    started = []

    def spawn(*_, **__):
        process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        started.append(process)
        return process

    monkeypatch.setattr(engines, "_spawn", spawn)
    store.create_run(FAST, dataset)
    queue.ensure_worker()
    started[0].wait()
    for _ in range(5):
        queue.ensure_worker()
    assert len(started) == 1
    monkeypatch.setattr(engines, "FAILED_LATELY_SECONDS", 0)
    queue.ensure_worker()
    assert len(started) == 2
    started[1].wait()


def test_a_look_at_a_page_survives_a_disk_that_takes_no_new_file(dataset, monkeypatch):
    store.create_run(FAST, dataset)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(engines, "_spawn", full)
    queue.ensure_worker()


def test_the_worker_waits_until_it_can_say_how_a_run_ended(dataset, monkeypatch):
    run = store.create_run(FAST, dataset)
    (run.folder / ".reserve").unlink()
    waited = []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def sleep(_):
        waited.append(len(events_in(run)))
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(worker.time, "sleep", sleep)
    with files_limited(30):
        worker._record_loss(run, 1)
    assert waited == [1]
    assert [event["type"] for event in events_in(run)] == ["queued", "interrupted"]


# Uploads and data sets


def test_an_upload_without_room_leaves_nothing_and_says_what_it_needs(textuner_home):
    with files_limited(1000), pytest.raises(UserError, match=r"Expected 4 kB of room for this file"):
        uploads.keep_upload("a.csv", bytes(4000))
    assert list((textuner_home / "uploads").iterdir()) == []
    assert uploads.keep_upload("a.csv", bytes(4000)).path.stat().st_size == 4000


def test_a_dataset_without_room_leaves_nothing_and_says_what_it_needs(splits, textuner_home):
    with files_limited(200), pytest.raises(UserError, match="room for this data set"):
        datasets.save_dataset("ten", splits, [], {})
    assert list((textuner_home / "datasets").iterdir()) == []


def test_a_run_that_cannot_be_written_leaves_nothing(dataset, monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    with files_limited(200), pytest.raises(NoSpace, match="room for this run"):
        queue.submit(FAST, dataset)
    assert [path for path in store.runs_root().iterdir() if path.is_dir()] == []


def test_a_file_is_there_whole_or_as_it_was(tmp_path):
    path = tmp_path / "report.json"
    store.write_json(path, {"old": 1})
    with files_limited(100), pytest.raises(OSError, match="too large"):
        store.write_json(path, {"new": "x" * 1000})
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.glob(".*")) == []
