import errno
import json
import os
import resource
import signal
import subprocess
import sys

import pytest
import torch

from core.learning.training import checkpoints
from core.learning.training.checkpoints import NoSpace, TrainingCheckpoint, TrainingCheckpoints, newest, write


def state(step):
    return TrainingCheckpoint(
        step, {"weights": torch.full((1000,), float(step)), "empty": torch.empty(0)}, {"epoch": step}
    )


def test_the_newest_two_are_kept_and_read_as_they_were(tmp_path):
    for step in (3, 20, 100):
        write(tmp_path, state(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["100", "20"]
    found, damages = newest(tmp_path)
    assert (found.step, found.values, damages) == (100, {"epoch": 100}, [])
    assert torch.equal(found.tensors["weights"], torch.full((1000,), 100.0))


def test_no_snapshot_is_no_error(tmp_path):
    assert newest(tmp_path / "none") == (None, [])


@pytest.mark.parametrize("file", [checkpoints.TENSORS, checkpoints.VALUES, checkpoints.MANIFEST])
@pytest.mark.parametrize("fault", ["flipped bit", "cut", "gone"])
def test_a_damaged_snapshot_is_passed_over_and_said(tmp_path, file, fault):
    write(tmp_path, state(1))
    write(tmp_path, state(2))
    path = tmp_path / "2" / file
    content = bytearray(path.read_bytes())
    if fault == "flipped bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif fault == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    found, damages = newest(tmp_path)
    assert found.step == 1
    assert len(damages) == 1
    assert "step 2 is damaged" in damages[0]


def test_all_damaged_means_from_the_beginning(tmp_path):
    write(tmp_path, state(1))
    (tmp_path / "1" / checkpoints.MANIFEST).write_text("[]")
    found, damages = newest(tmp_path)
    assert found is None
    assert len(damages) == 1


def test_damaged_ones_do_not_take_the_place_of_those_after_them(tmp_path):
    for step in (10, 20):
        write(tmp_path, state(step))
        (tmp_path / str(step) / checkpoints.TENSORS).write_bytes(b"damaged")
    # The training has begun anew, and is killed before it is as far as they were.
    for step in (1, 2, 3):
        write(tmp_path, state(step))
        assert newest(tmp_path)[0].step == step
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


WRITER = """
import os, sys, torch
from pathlib import Path
from core.learning.training import checkpoints
from core.learning.training.checkpoints import TrainingCheckpoint, write

boundary = int(sys.argv[2])
calls = 0

def counted(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == boundary:
            os.kill(os.getpid(), 9)
        return function(*arguments, **options)
    return call

root = Path(sys.argv[1])
write(root, TrainingCheckpoint(1, {"weights": torch.ones(1000)}, {}))
for name in ("mkdir", "rename", "write_text"):
    setattr(Path, name, counted(getattr(Path, name)))
checkpoints.save_file = counted(checkpoints.save_file)
os.fsync = counted(os.fsync)
checkpoints.shutil.rmtree = counted(checkpoints.shutil.rmtree)
write(root, TrainingCheckpoint(2, {"weights": torch.full((1000,), 2.0)}, {}))
write(root, TrainingCheckpoint(3, {"weights": torch.full((1000,), 3.0)}, {}))
print(calls)
"""


@pytest.mark.process
def test_a_kill_at_any_file_operation_leaves_a_whole_snapshot(tmp_path):
    def run(boundary):
        root = tmp_path / str(boundary)
        command = [sys.executable, "-c", WRITER, str(root), str(boundary)]
        return root, subprocess.run(command, capture_output=True, text=True, check=False)

    _, whole = run(0)
    operations = int(whole.stdout)
    assert operations > 15
    for boundary in range(1, operations + 1, 3):
        root, killed = run(boundary)
        assert killed.returncode == -signal.SIGKILL
        found, damages = newest(root)
        assert damages == []
        assert torch.equal(found.tensors["weights"], torch.full((1000,), float(found.step)))
        # The next one clears away what was left unfinished.
        write(root, state(9))
        assert all(path.name.isdecimal() for path in root.iterdir())


def test_a_full_disk_is_a_note_and_damages_nothing(tmp_path, monkeypatch):
    write(tmp_path, state(1))
    events = []
    taken = TrainingCheckpoints(tmp_path, events.append)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = TrainingCheckpoint(2, {"weights": torch.zeros(1 << 20)}, {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))
    try:
        taken.take(lambda: large)
        assert not taken.due()
        taken.take(lambda: large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [event["type"] for event in events] == ["note"]
    assert "Expected 5 MB of room for a snapshot" in events[0]["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    taken.take(lambda: large)
    assert events[-1]["type"] == "snapshot"
    assert newest(tmp_path)[0].step == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_says_it_is_full_is_understood(tmp_path, monkeypatch, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace):
        write(tmp_path, state(1))
    assert list(tmp_path.iterdir()) == []


def test_snapshots_are_as_frequent_as_they_are_cheap(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(checkpoints, "write", lambda *_: now.__setitem__(0, now[0] + 2))
    events = []
    taken = TrainingCheckpoints(tmp_path, events.append)
    assert taken.due()
    taken.take(lambda: state(1))
    assert json.dumps(events) == '[{"type": "snapshot", "step": 1, "seconds": 2.0}]'
    now[0] = 2 / 0.03 - 1
    assert not taken.due()
    now[0] = 2 / 0.03 + 0.01
    assert taken.due()


def test_without_a_folder_none_is_ever_due():
    assert not TrainingCheckpoints(None, print).due()
