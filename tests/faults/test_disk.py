"""A full disk, in real processes: limits on files (RLIMIT_FSIZE), and a small disk where one can be made."""

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

from core.base import disk
from core.base.disk import NoSpace
from core.base.errors import UserError
from core.base.json_files import write_json
from core.data.storage import datasets, uploads
from core.learning.pretrained import WEIGHTS
from core.learning.training import checkpoints
from core.runs.results import outputs
from core.runs.training import disk_space, engines, events, queue, states, store, trainer, worker
from core.runs.training.events import EventLog, read_events
from core.runs.training.run import is_alive, snapshots_folder
from tests.processes import trainer_of, wait_for
from tests.runs.test_runs import FAST

PROJECT = Path(__file__).resolve().parents[2]
ROOM = resource.RLIM_INFINITY


def status(run):
    return states.state(run).status


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
    return load_file(run.folder / "model" / WEIGHTS)


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
    needed = disk_space.need(config, dataset).ending
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
    needed = disk_space.need(config, dataset)
    run = queue.submit(config, dataset)
    wait_for(lambda: status(run) == "finished")
    wait_for(lambda: not is_alive(run))
    model = sum(path.stat().st_size for path in (run.folder / "model").iterdir())
    assert model <= needed.weights / 2 <= model + 2 * disk_space.HEADER_BYTES
    closing = sum((run.folder / name).stat().st_size for name in ("report.json", "predictions.parquet"))
    assert closing <= needed.closing
    assert sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file()) <= needed.ending


def test_a_run_whose_room_is_gone_when_it_starts_fails_and_can_be_resumed(tiny, dataset, monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    run = queue.submit(replace(FAST, model=tiny), dataset)
    free(monkeypatch, 1000)
    with pytest.raises(NoSpace, match="Make room, then resume"):
        disk_space.check_start(run)
    needed = disk_space.remaining(run)
    free(monkeypatch, needed)
    assert "snapshots pause" in disk_space.check_start(run)
    free(monkeypatch, needed + disk_space.need(run.config, dataset).snapshots)
    assert disk_space.check_start(run) is None
    # Older snapshots make way.
    for step in (1, 2):
        (snapshots_folder(run) / str(step)).mkdir(parents=True)
        (snapshots_folder(run) / str(step) / "tensors").write_bytes(bytes(needed))
    free(monkeypatch, 0)
    assert "snapshots pause" in disk_space.check_start(run)


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
    kept = [event["step"] for event in found if event["type"] == "step"]
    # The one that was written in part stays, and of the others the newest; notes go last.
    assert kept == [0, *range(93, 100)]
    assert [event["message"] for event in found if event["type"] == "note"][:2] == ["0", "50"]
    assert f"{100 - len(kept)} events" in found[-2]["message"]
    assert found[-1]["type"] == "finished"


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
from core.runs.training.events import EventLog, read_events

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
    """Run a script with a folder on a disk of its own as its first argument; skip where none is allowed."""
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
def config(config):
    """Long enough for a disk to fill up meanwhile."""
    return replace(config, epochs=30)


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
    run, process = begun(config, dataset)
    weights = run.folder / "model" / WEIGHTS
    limit(process, weights.stat().st_size // 2)
    wait_for(lambda: status(run) == "failed")
    last = events_in(run)[-1]
    assert last["resumable"] is True
    assert "kB of room for the best weights so far" in last["reason"]
    assert "Make room, then resume" in last["remedy"]
    kept = weights.read_bytes()
    load_file(weights)
    assert [path.name for path in snapshots_folder(run).iterdir() if path.name.isdecimal()]
    assert not list(run.folder.glob(".saving-*"))
    queue.resume(run)
    wait_for(lambda: status(run) == "finished")
    began = [event["step"] for event in events_in(run) if event["type"] == "started"]
    assert began[0] == 0
    assert began[1] > 0
    assert weights.read_bytes() != kept
    assert_same_weights(run, whole)
    assert outputs.report_of(run)["test"] == outputs.report_of(whole)["test"]


def test_no_room_for_snapshots_pauses_them_and_the_training_ends_well(config, dataset, whole):
    run, process = begun(config, dataset)
    largest = max(path.stat().st_size for path in snapshots_folder(run).glob("*/tensors.safetensors"))
    weights = (run.folder / "model" / WEIGHTS).stat().st_size
    assert weights < largest
    limit(process, (weights + largest) // 2)
    wait_for(lambda: status(run) == "finished")
    notes = [event["message"] for event in events_in(run) if event["type"] == "note"]
    assert len(notes) == 1
    assert "room for a snapshot" in notes[0]
    assert "goes on without snapshots" in notes[0]
    assert_same_weights(run, whole)


def test_no_room_for_events_neither_ends_nor_tears_a_training(config, dataset, whole):
    run, process = begun(config, dataset)
    file, weights = run.folder / "events.jsonl", run.folder / "model" / WEIGHTS
    full = pad(file, 20 * weights.stat().st_size)
    limit(process, full + 30)
    torn = wait_for(lambda: (found := file.read_bytes()) and not found.endswith(b"\n") and found, every=0.01)
    written = weights.stat().st_mtime_ns
    wait_for(lambda: weights.stat().st_mtime_ns != written or status(run) != "running", every=0.01)
    assert status(run) == "running"
    assert file.read_bytes() == torn
    limit(process, ROOM)
    wait_for(lambda: status(run) == "finished")
    assert file.read_bytes().startswith(torn)
    assert all(json.loads(line) for line in file.read_bytes().splitlines() if line.strip())
    evaluated, expected = (
        [event["step"] for event in events_in(of) if event["type"] == "evaluated"] for of in (run, whole)
    )
    assert evaluated == expected
    assert_same_weights(run, whole)


def test_the_last_event_waits_for_room_and_the_run_is_not_lost(config, dataset):
    run, process = begun(config, dataset)
    file = run.folder / "events.jsonl"
    limit(process, pad(file, 20 * (run.folder / "model" / WEIGHTS).stat().st_size) + 30)
    # Everything that can be given up for it is.
    wait_for(lambda: (run.folder / "report.json").exists() and not snapshots_folder(run).exists())
    assert status(run) == "running"
    limit(process, ROOM)
    wait_for(lambda: status(run) == "finished", seconds=20)
    assert [event["type"] for event in events_in(run)].count("finished") == 1


@pytest.mark.parametrize("kind", ["failed", "finished"])
def test_the_last_event_waits_where_nothing_can_be_given_up(dataset, monkeypatch, kind):
    run = store.create_run(FAST, dataset)
    for name in ("1", ".writing-2"):
        (snapshots_folder(run) / name).mkdir(parents=True)
    # As where the folder's permissions were taken away.
    monkeypatch.setattr(disk_space.shutil, "rmtree", lambda *_, **__: None)
    slept = []

    class FullLog:
        append = staticmethod(lambda _: None)

        def flush(self):
            assert slept or not hasattr(self, "asked"), "asked again at once"
            self.asked = True
            return bool(slept)

    monkeypatch.setattr(trainer.time, "sleep", slept.append)
    trainer._say(run, FullLog(), {"type": kind})
    assert slept == [trainer.RETRY_SECONDS]


def pad(file, size):
    """Make a file of events so large that nothing else in the run's folder is. Returns its size."""
    with file.open("ab") as padded:
        padded.write(b" " * size + b"\n")
    return file.stat().st_size


def test_a_report_without_room_fails_in_a_way_that_can_be_resumed(tiny, dataset, monkeypatch):
    monkeypatch.setattr(engines, "start_worker", lambda: None)
    run = queue.submit(replace(FAST, model=tiny), dataset)
    tried = []

    def full(path, content):
        found = snapshots_folder(run).iterdir()
        tried.append(sorted(path.name for path in found if path.name.isdecimal()))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints.TrainingCheckpoints, "due", lambda _: True)
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "write_json", full)
        assert trainer.main(run.folder) == 1
    assert (status(run), events_in(run)[-1]["resumable"]) == ("failed", True)
    assert "room for the report" in states.state(run).reason
    # It was tried again after the older snapshot had made way; the newest one stays.
    assert [len(names) for names in tried] == [2, 1]
    assert outputs.model_folder(run)
    assert not (run.folder / ".closing").exists()
    queue.resume(run)
    assert trainer.main(run.folder) == 0
    assert status(run) == "finished"
    assert outputs.report_of(run)["test"]["texts"] == 2
    assert [e["step"] for e in events_in(run) if e["type"] == "started"] == [0, int(tried[1][0])]


def test_a_worker_that_fails_at_once_is_not_started_at_every_look(dataset, monkeypatch):
    started = []

    def spawn(*_, **__):
        process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        started.append(process)
        return process

    monkeypatch.setattr(engines, "start_process", spawn)
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

    monkeypatch.setattr(engines, "start_process", full)
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
        worker._record_interruption(run, 1)
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
    write_json(path, {"old": 1})
    with files_limited(100), pytest.raises(OSError, match="too large"):
        write_json(path, {"new": "x" * 1000})
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.glob(".*")) == []
