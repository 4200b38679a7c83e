"""Memory that runs out, in real processes: limits on the address space (RLIMIT_AS)."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.base.memory import OutOfMemory, means_out_of_memory, shortage_is_said
from core.base.memory_kills import memory_kills
from core.learning.training import checkpoints
from core.runs.results import outputs
from core.runs.training import queue, states, store, worker
from core.runs.training.events import EventLog, read_events
from tests.processes import kill, trainer_of, wait_for
from tests.runs.test_runs import FAST

PROJECT = Path(__file__).resolve().parents[2]

LIMITER = """
import os, resource, sys, time

if "core.runs.training.trainer" in sys.orig_argv:
    sys.path.insert(0, {project!r})
    import torch
    import core.learning.training.{module} as module

    original = module.{function}
    limited = False

    def greedy(*arguments):
        global limited
        if not limited:
            pages = int(open("/proc/self/statm").read().split()[0])
            size = pages * os.sysconf("SC_PAGE_SIZE") + 1600 * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
            limited = True
        time.sleep({pause})
        torch.empty({megabytes} * 2**20, dtype=torch.uint8)
        return original(*arguments)

    module.{function} = greedy
"""
"""Run by Python as it begins: a function of a trainer takes more memory, and time, than it did, and from its
first call on the trainer gets no more than 1600 MB."""


@pytest.fixture
def greedy(tmp_path, monkeypatch):
    """Make a function of the trainers that are started from now on take more memory, and seconds."""

    def make(module, function, megabytes, pause=0.0):
        text = LIMITER.format(
            project=str(PROJECT), module=module, function=function, megabytes=megabytes, pause=pause
        )
        (tmp_path / "sitecustomize.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return make


def status(run):
    return states.state(run).status


def events_in(run):
    return read_events(run.folder / "events.jsonl")


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [
        ("train", "load_for_training", "loading the model"),
        ("train", "encode", "splitting the texts into tokens"),
        ("train", "fit", "the training"),
        ("train", "load_finetuned", "scoring the model"),
    ],
)
def test_a_trainer_without_memory_says_where_and_what_to_try(tiny, dataset, greedy, module, function, words):
    greedy(module, function, 2000)
    run = queue.submit(replace(FAST, model=tiny, batch_size=4), dataset)
    wait_for(lambda: status(run) not in ("queued", "running"))
    last = events_in(run)[-1]
    assert (last["type"], last.get("smaller_batch")) == ("failed", 2), outputs.log_of(run)
    assert f"enough memory for {words}" in last["reason"]
    assert "batches of 2 instead of 4" in last["remedy"]
    # With a snapshot it may go on, once there is memory.
    assert last["resumable"] == (function == "load_finetuned")


def test_smaller_parts_hold_in_a_run_that_is_resumed(tiny, dataset, greedy, config):
    # Two texts fit, with all the room for what scoring and busy threads reserve; more than two never do.
    # The pause gives a busy machine the time to look before the run is at its end.
    greedy("step", "collate", "(4000 if len(arguments[1]) > 2 else 1)", pause=0.05)
    run = queue.submit(replace(config, batch_size=4, epochs=100), dataset)
    wait_for(lambda: any(event["type"] == "snapshot" for event in events_in(run)), every=0.01)
    kill(trainer_of(run))
    wait_for(lambda: sum(event["type"] == "started" for event in events_in(run)) == 2)
    # The one epoch after that holds a batch of four and one of two.
    began = max(event["step"] for event in events_in(run) if event["type"] == "started")
    steps = [began + 1, began + 2]
    wait_for(lambda: {e["step"] for e in events_in(run) if e["type"] == "evaluated"}.issuperset(steps))
    assert status(run) == "running", outputs.log_of(run)
    assert [event["step"] > 0 for event in events_in(run) if event["type"] == "started"] == [False, True]
    notes = [event["message"] for event in events_in(run) if event["type"] == "note"]
    assert ["parts of 2" in note for note in notes if "Memory ran out" in note] == [True]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_a_lack_of_memory_is_known_and_its_place_said(error):
    with (
        pytest.raises(OutOfMemory, match="enough memory for scoring") as found,
        shortage_is_said("scoring", 16),
    ):
        raise error
    assert found.value.smaller_batch == 8
    assert "batches of 8 instead of 16" in found.value.remedy


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not match"), OSError(28, "No space left on device")]
)
def test_other_errors_are_no_lack_of_memory(error):
    assert not means_out_of_memory(error)
    with pytest.raises(type(error)), shortage_is_said("scoring"):
        raise error


def test_no_smaller_batch_than_one_text_is_proposed():
    assert OutOfMemory("the training", 1).smaller_batch is None
    assert "batches" not in OutOfMemory("the training", 1).remedy


def test_a_snapshot_that_memory_does_not_suffice_to_read_is_not_taken_for_damaged(tmp_path, monkeypatch):
    import torch

    checkpoints.write(tmp_path, checkpoints.TrainingCheckpoint(1, {"weights": torch.ones(10)}, {}))

    def short(_):
        raise OSError(12, os.strerror(12))

    monkeypatch.setattr(checkpoints, "load_file", short)
    with pytest.raises(OSError, match="allocate memory"):
        checkpoints.newest(tmp_path)


# A process that the system ended


@pytest.fixture
def run(dataset):
    return store.create_run(replace(FAST, batch_size=16), dataset)


def test_a_crash_a_kill_and_a_lack_of_memory_are_told_apart(run):
    crash = worker.explain_exit(run, -signal.SIGSEGV, short_of_memory=False)
    assert crash["reason"] == "The training process crashed (SIGSEGV)."
    killed = worker.explain_exit(run, -signal.SIGKILL, short_of_memory=False)
    assert killed["reason"] == "The training process was ended from outside (SIGKILL)."
    short = worker.explain_exit(run, -signal.SIGKILL, short_of_memory=True)
    assert "because memory ran out" in short["reason"]
    assert short["smaller_batch"] == 8
    assert "smaller_batch" not in crash | killed
    assert "signal 63" in worker.explain_exit(run, -63, short_of_memory=False)["reason"]


@pytest.mark.parametrize(
    ("code", "kills", "last_words", "expected"),
    [
        (-9, 3, "", True),
        (-9, 2, "", False),
        (-9, None, "", True),
        (-11, 3, "", False),
        (-6, 2, "memory allocation of 4096 bytes failed", True),
        (
            -6,
            2,
            "terminate called after throwing 'std::bad_alloc'\n  what():  std::bad_alloc",
            True,
        ),
        (-6, 2, "Assertion failed", False),
        (1, 2, "std::bad_alloc", False),
    ],
)
def test_what_a_lack_of_memory_is_known_by(run, monkeypatch, code, kills, last_words, expected):
    (run.folder / "log.txt").write_text(f"step 1\n{last_words}\n")
    monkeypatch.setattr(worker, "memory_kills", lambda: kills)
    assert worker._lacked_memory(run, code, None if kills is None else 2) == expected


def test_an_interruption_for_lack_of_memory_is_not_resumed_by_itself_and_proposes_a_batch(run):
    with EventLog(run.folder / "events.jsonl") as events:
        events.append({"type": "started"})
    worker._record_interruption(run, -9, short_of_memory=True)
    last = events_in(run)[-1]
    assert (last["type"], last["resumes"], last["smaller_batch"]) == ("interrupted", False, 8)


GROUPS = {
    "version 2": (
        "0::/app/tuner",
        {"app/tuner/memory.events": 4, "app/memory.events": 7},
        4,
    ),
    "of a container": ("0::/", {"memory.events": 3}, 3),
    "without a counter of its own": ("0::/app/tuner", {"app/memory.events": 7}, 7),
    "outside of what is shown": ("0::/../../other", {"memory.events": 5}, 5),
    "version 1": ("4:memory:/tuner\n0::/", {"memory/tuner/memory.oom_control": 6}, 6),
    "version 1 in a container": ("4:memory:/docker/abc", {"memory/memory.oom_control": 2}, 2),
    "both versions": ("4:cpu,memory:/a\n0::/b", {"unified/b/memory.events": 8}, 8),
    "of nobody": ("0::/app.slice", {}, 9),
}


@pytest.mark.parametrize("name", GROUPS)
def test_kills_are_counted_in_the_nearest_group_that_counts(tmp_path, name):
    group, files, expected = GROUPS[name]
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(group + "\n")
    (tmp_path / "proc" / "vmstat").write_text("nr_free_pages 1\noom_kill 9\n")
    for file, kills in files.items():
        path = tmp_path / "groups" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"oom_kill_disable 0\noom 20\noom_kill {kills}\n")
    assert memory_kills(tmp_path / "proc", tmp_path / "groups") == expected


def test_where_nobody_counts_nothing_is_known(tmp_path):
    assert memory_kills(tmp_path, tmp_path) is None


def test_this_system_is_read_as_it_is():
    assert (memory_kills() is not None) == Path("/proc/vmstat").exists()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process's size there")
def test_freed_memory_goes_back_to_the_system():
    check = (
        "from pathlib import Path\n"
        "from core.base.memory import give_back_freed_memory\n"
        "def pages(): return int(Path('/proc/self/statm').read_text().split()[1])\n"
        "pieces = [bytearray(60_000) for _ in range(2000)]\n"
        "full, last = pages(), pieces[-1]\n"
        "del pieces\n"
        "kept = pages()\n"
        "give_back_freed_memory()\n"
        "print(kept > 0.9 * full, pages() < 0.5 * full)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True"]
