import json

import pytest

from core.runs.events import EventLog, read_events


def test_events_come_back_in_order_with_their_time(tmp_path):
    with EventLog(tmp_path / "events.jsonl") as log:
        log.append({"type": "started", "words": "é\n"})
        log.append({"type": "step", "step": 1})
    events = read_events(tmp_path / "events.jsonl")
    assert [event["type"] for event in events] == ["started", "step"]
    assert events[0]["words"] == "é\n"
    assert events[0]["time"] <= events[1]["time"]


def test_torn_last_line_is_skipped_and_closed_off(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"type": "started", "time": 1}\n{"type": "st')
    assert [event["type"] for event in read_events(path)] == ["started"]
    with EventLog(path) as log:
        log.append({"type": "finished"})
    assert [event["type"] for event in read_events(path)] == ["started", "finished"]


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe\n", b"[1]\n5\nnull\n", b'{"time": 1}\n'])
def test_what_is_no_event_is_passed_over(tmp_path, content):
    (tmp_path / "events.jsonl").write_bytes(content)
    assert read_events(tmp_path / "events.jsonl") == []


def test_no_file_means_no_events(tmp_path):
    assert read_events(tmp_path / "none.jsonl") == []


def test_numbers_that_json_lacks_are_refused(tmp_path):
    with EventLog(tmp_path / "events.jsonl") as log, pytest.raises(ValueError, match="JSON"):
        log.append({"type": "step", "loss": float("nan")})
    assert json.dumps(read_events(tmp_path / "events.jsonl")) == "[]"
