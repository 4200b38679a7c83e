"""Whoever looks again reads only what is new, and sees what a reader of the whole file sees."""

import json
from pathlib import Path

import pytest

from core.learning.config import TrainingConfig
from core.runs.training import run_events, store
from core.runs.training.events import EventLog


@pytest.fixture
def run(dataset):
    return store.create_run(TrainingConfig(), dataset)


def step(number: int) -> dict:
    numbers = {"loss": 0.5, "accuracy": 0.5, "samples_per_second": 9.0, "seconds_left": 1.0}
    return {"type": "step", "step": number, "epoch": number / 10, **numbers}


def started(number: int) -> dict:
    return {
        "type": "started",
        "step": number,
        "total_steps": 9,
        "epochs": 1,
        "train_texts": 9,
        "truncated": 0,
    }


def write(run, *events):
    with EventLog(run.folder / "events.jsonl") as log:
        for event in events:
            log.append(event)


def test_each_look_equals_reading_the_whole_file(run):
    for events in ([started(0), step(1), step(2)], [step(3), step(4)], [started(2), step(3)], [step(4)]):
        write(run, *events)
        assert run_events.follow(run) == run_events.events_of(run)
    assert [event["step"] for event in run_events.follow(run) if event["type"] == "step"] == [1, 2, 3, 4]


def test_a_look_with_nothing_new_gives_the_same_list_and_never_changes_an_earlier_one(run):
    write(run, started(0), step(1))
    first = run_events.follow(run)
    assert run_events.follow(run) is first
    write(run, step(2))
    assert len(run_events.follow(run)) == len(first) + 1


def test_what_was_read_is_not_read_again(run, monkeypatch):
    write(run, started(0), *map(step, range(1, 50)))
    run_events.follow(run)
    read = []
    monkeypatch.setattr(run_events, "parse_events", lambda content: read.append(content) or [])
    write(run, step(50))
    run_events.follow(run)
    run_events.follow(run)
    assert [json.loads(content)["step"] for content in read] == [50]


def test_a_half_written_line_is_taken_when_it_is_whole(run):
    path: Path = run.folder / "events.jsonl"
    line = json.dumps({**started(0), "time": 1.0}).encode() + b"\n"
    before = run_events.follow(run)
    with path.open("ab", buffering=0) as file:
        file.write(line[:20])
        assert run_events.follow(run) == before
        file.write(line[20:])
    assert run_events.follow(run)[-1]["type"] == "started"


def test_a_file_that_was_replaced_is_read_from_its_beginning(run):
    write(run, started(0), step(1), step(2))
    run_events.follow(run)
    path: Path = run.folder / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.with_name("new").write_bytes(lines[0] + lines[1])
    path.with_name("new").replace(path)
    assert run_events.follow(run) == run_events.events_of(run)
    path.unlink()
    assert run_events.follow(run) == []
