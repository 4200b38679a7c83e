import json

import pytest

from core.runs.training.events import EventLog, read_events


def test_events_come_back_in_order_with_their_time(tmp_path):
    with EventLog(tmp_path / "events.jsonl") as log:
        log.append({"type": "started", "words": "é\n"})
        log.append({"type": "snapshot", "step": 1})
    events = read_events(tmp_path / "events.jsonl")
    assert [event["type"] for event in events] == ["started", "snapshot"]
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


LINE = {
    "type": "step",
    "time": 1,
    "step": 1,
    "epoch": 0.1,
    "loss": 1,
    "samples_per_second": 1,
    "seconds_left": 1,
}


@pytest.mark.parametrize("wrong", [None, "1", -1, True, [1], float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("name", ["time", "step", "epoch", "loss", "seconds_left"])
def test_a_step_without_a_number_that_pages_rely_on_is_passed_over(tmp_path, name, wrong):
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + json.dumps(LINE | {name: wrong}) + "\n")
    assert read_events(path) == [LINE]


@pytest.mark.parametrize("kind", ["failed", "stopped", "interrupted"])
@pytest.mark.parametrize("wrong", [None, 5, ["x"], {}])
def test_a_turn_stays_a_turn_whatever_its_words_are(tmp_path, kind, wrong):
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"type": kind, "time": 1, "reason": wrong}) + "\n")
    assert read_events(path) == [{"type": kind, "time": 1, "reason": "", "remedy": ""}]


def test_half_characters_are_replaced_as_no_page_can_show_them(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"type": "note", "time": 1, "message": "a\\ud83d"}\n')
    assert read_events(path)[0]["message"] == "a\ufffd"


def test_a_folder_in_place_of_the_file_has_no_events(tmp_path):
    assert read_events(tmp_path) == []


def test_no_file_means_no_events(tmp_path):
    assert read_events(tmp_path / "none.jsonl") == []


def test_numbers_that_json_lacks_are_refused(tmp_path):
    with EventLog(tmp_path / "events.jsonl") as log, pytest.raises(ValueError, match="JSON"):
        log.append({"type": "step", "loss": float("nan")})
    assert json.dumps(read_events(tmp_path / "events.jsonl")) == "[]"
