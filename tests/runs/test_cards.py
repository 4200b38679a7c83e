"""Several GPUs: each has a run of its own. The cards here are folders; the trainings are real."""

import os

import psutil
import pytest

from core.base import cards
from core.base.home import home
from core.runs.training import processes, queue, run_events, states, store, worker
from tests.processes import processes_of
from tests.runs.test_runs import FAST


@pytest.fixture
def two_cards(tmp_path, monkeypatch):
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr(cards, "DRIVER", tmp_path / "gpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ["0", "1"]),
        ("1,0", ["1", "0"]),
        ("GPU-8f2a,GPU-1c3d", ["GPU-8f2a", "GPU-1c3d"]),
        ("1", [None]),
        ("", [None]),
        ("0,", [None]),
    ],
)
def test_cards_are_those_that_cuda_may_see(two_cards, monkeypatch, given, expected):
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert cards.visible_cards() == expected


def test_without_a_driver_or_with_one_card_cuda_chooses(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(cards, "DRIVER", tmp_path / "none")
    assert cards.visible_cards() == [None]
    (tmp_path / "one" / "0000:01:00.0").mkdir(parents=True)
    monkeypatch.setattr(cards, "DRIVER", tmp_path / "one")
    assert cards.visible_cards() == [None]


def test_no_card_takes_what_another_has_and_what_cannot_begin_is_passed_over(dataset, no_worker):
    runs = [store.create_run(FAST, dataset) for _ in range(3)]
    line = worker.Line()
    assert [line.take().id for _ in runs] == [run.id for run in runs]
    assert line.take() is None and line.busy
    line.give_back(runs[1], passed_over=False)
    line.give_back(runs[0], passed_over=True)
    assert line.take().id == runs[1].id
    line.give_back(runs[1], passed_over=True)
    line.give_back(runs[2], passed_over=True)
    assert line.take() is None and not line.busy


def test_the_wait_is_shared_by_the_cards(dataset, no_worker, monkeypatch, two_cards):
    runs = [store.create_run(FAST, dataset) for _ in range(3)]
    monkeypatch.setattr(queue, "_seconds_left", lambda ahead, runs: 60.0)
    assert queue.expected_wait(runs[2]) == 60.0
    monkeypatch.setattr(cards, "DRIVER", home() / "none")
    assert queue.expected_wait(runs[2]) == 120.0


@pytest.mark.process
@pytest.mark.timeout(300)
def test_two_runs_train_at_the_same_time_each_on_its_card(dataset, no_worker, monkeypatch, two_cards):
    runs = [store.create_run(FAST, dataset) for _ in range(3)]
    seen = {}
    look = worker._Ending.look

    def look_at_trainers(ending):
        look(ending)
        for process in processes_of(home()):
            try:
                if "core.runs.training.trainer" in process.cmdline():
                    seen[process.cmdline()[3]] = process.environ()["CUDA_VISIBLE_DEVICES"]
            except psutil.Error:
                continue

    monkeypatch.setattr(worker._Ending, "look", look_at_trainers)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.05)
    worker.main()
    assert [states.state(run).status for run in runs] == ["finished"] * 3
    assert {seen[str(run.folder)] for run in runs} == {"0", "1"}
    spans = [[event["time"] for event in run_events.events_of(run)] for run in runs[:2]]
    # The second began before the first had ended.
    assert seen[str(runs[0].folder)] != seen[str(runs[1].folder)]
    assert max(span[0] for span in spans) < min(span[-1] for span in spans)
    assert processes.device_lock(1).name == "device-1.lock" and not processes.is_training()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
