"""The protocol of jobs: started once, seen, stopped, killed, resumed, and told how they ended."""

import os
import shutil
import threading
import time
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from core.base import locks
from core.base.disk import NoSpace
from core.base.errors import UserError
from core.runs.jobs import entry, job, process, spawning
from core.runs.jobs.job import Job, Task
from tests.jobs import Asleep, start_none
from tests.processes import is_at_work, kill, wait_for, with_words

TASK = Task("tests.runs.waiting_task", "this task", "Start it again")


@pytest.fixture
def made(tmp_path) -> Job:
    return Job(TASK, tmp_path)


@pytest.fixture
def at_work(made, monkeypatch):
    """A job whose process counts, and ends when it is told to."""
    monkeypatch.setattr(spawning, "ENTRY", "tests.runs.waiting_task")
    job.start(made, {"name": "a"}, {"doing": "Starting"})
    assert job.state(made).live
    wait_for(lambda: "pid" in job.state(made).progress)
    yield made
    job.end_now(made)


def ended(made) -> job.JobState:
    wait_for(lambda: not job.state(made).live)
    return job.state(made)


def process_at(made) -> psutil.Process:
    return wait_for(lambda: with_words("tests.runs.waiting_task", str(made.folder)))


@pytest.mark.process
def test_it_says_what_it_is_at_and_what_came_of_it(at_work):
    assert job.process_of(at_work) == process_at(at_work)
    (at_work.folder / "end").touch()
    state = ended(at_work)
    assert (state.status, state.result) == ("finished", {"asked": {"name": "a"}})
    assert not at_work.progress_file.exists()


@pytest.mark.process
def test_it_stops_when_it_is_asked_to_and_goes_on(at_work):
    job.ask_to_stop(at_work)
    state = ended(at_work)
    assert (state.status, state.resumable, state.progress["count"] > 0) == ("stopped", True, True)
    job.start(at_work, progress=state.progress)
    assert job.state(at_work).progress["count"] == state.progress["count"]
    (at_work.folder / "end").touch()
    assert ended(at_work).result == {"asked": {"name": "a"}}


@pytest.mark.process
def test_it_is_ended_at_once(at_work):
    at_it = process_at(at_work)
    job.end_now(at_work)
    assert not is_at_work(at_it)
    assert job.state(at_work).status == "stopped"


@pytest.mark.process
def test_a_kill_is_seen_and_it_can_go_on(at_work):
    assert kill(process_at(at_work)) == [True]
    state = job.state(at_work)
    assert (state.status, state.live, state.resumable) == ("interrupted", False, True)
    assert (state.reason, state.remedy) == ("Its process ended without a word.", "Start it again.")
    job.start(at_work)
    (at_work.folder / "end").touch()
    assert ended(at_work).status == "finished"


@pytest.mark.process
def test_a_folder_that_is_deleted_ends_it(at_work):
    at_it = process_at(at_work)
    # In one move: the process writes into it all the time.
    shutil.rmtree(at_work.folder.rename(at_work.folder.with_name("deleted")), ignore_errors=True)
    wait_for(lambda: not is_at_work(at_it))
    assert not at_work.folder.exists()


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "nice"), reason="this system has no priorities")
def test_it_lowers_its_priority(at_work):
    assert process_at(at_work).nice() > psutil.Process().nice()


def test_several_starts_at_once_are_one_process(made, monkeypatch):
    asked = start_none(monkeypatch)
    threads = [threading.Thread(target=job.start, args=(made, {})) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_a_second_process_leaves_one_at_work_alone(made):
    with FileLock(made.lock):
        assert process.do(made, lambda found: pytest.fail("it works")) == 0
    assert job.state(made).status == "none"


def test_a_stop_before_the_process_has_come_to_its_lock_is_heard(made, monkeypatch):
    start_none(monkeypatch)
    job.start(made, {})
    job.end_now(made)
    assert process.do(made, lambda found: pytest.fail("it works")) == 0
    assert job.state(made).status == "stopped"


def test_one_that_was_started_long_ago_and_holds_no_lock_is_interrupted(made, monkeypatch):
    start_none(monkeypatch)
    job.start(made, {})
    assert job.state(made).live
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + job.START_SECONDS + 1)
    assert job.state(made).status == "interrupted"


def test_one_that_ends_while_somebody_looks_is_not_taken_for_interrupted(made, monkeypatch):
    job.say_progress(made, count=1)

    def is_held(lock):
        job.say_finished(made, {"n": 1})
        return False

    monkeypatch.setattr(locks, "is_held", is_held)
    assert (job.state(made).status, job.state(made).result) == ("finished", {"n": 1})


def test_what_came_of_an_earlier_go_stays_until_the_next_has_ended(made, monkeypatch):
    start_none(monkeypatch)
    job.say_finished(made, {"n": 1})
    job.start(made, {})
    job.end_now(made)
    assert (job.state(made).status, job.last_result(made)) == ("stopped", {"n": 1})


def test_nothing_to_do_is_as_if_it_had_never_been_begun(made, monkeypatch):
    start_none(monkeypatch)
    job.start(made, {})

    def not_now(found):
        raise process.NothingToDo("a training began")

    assert process.do(made, not_now) == 0
    assert job.state(made).status == "none"


@pytest.mark.parametrize(
    ("error", "reason", "resumable"),
    [
        (UserError("a column", "none", "Choose one."), "Expected a column; found none.", False),
        (NoSpace("the files", 10**18, Path("/")), "of room for the files", True),
        (OSError(28, "No space left on device"), "of room for the files of this task", True),
        (MemoryError(), "enough memory for this task", True),
        (ValueError("no idea"), "This task broke off: ValueError: no idea", True),
    ],
)
def test_why_it_failed_is_said_and_only_what_another_go_may_mend_can_be_resumed(
    made, error, reason, resumable, monkeypatch
):
    start_none(monkeypatch)
    job.start(made, {}, {"done": 3})

    def fail(found):
        raise error

    assert process.do(made, fail) == 1
    state = job.state(made)
    assert (state.status, state.resumable, state.progress["done"]) == ("failed", resumable, 3)
    assert reason in state.reason
    assert state.remedy


def test_a_process_that_the_system_ended_for_lack_of_memory_is_said_to_be(made, monkeypatch):
    class Killed(Asleep):
        @staticmethod
        def wait() -> int:
            return -9

    monkeypatch.setattr(job, "memory_kills", lambda: 3)
    monkeypatch.setattr("core.base.memory_kills.memory_kills", lambda: 4)
    monkeypatch.setattr(spawning, "start_job", lambda *_: Killed)
    job.start(made, {})
    state = ended(made)
    assert (state.status, "memory ran out" in state.reason) == ("failed", True)


DAMAGES = (b"{ torn", b"\xff\xfe\x00", b"[1, 2]", b'{"status": "finished"}', b'{"status": 3}', b"[" * 5000)


@pytest.mark.parametrize("content", DAMAGES)
def test_a_damaged_result_is_said_to_be_one(made, content):
    made.result_file.write_bytes(content)
    state = job.state(made)
    assert (state.status, state.resumable) == ("failed", True)
    assert "damaged" in state.reason


def test_half_of_a_character_in_a_reason_can_be_shown(made):
    made.result_file.write_bytes(b'{"status": "failed", "reason": "\\ud800"}')
    assert job.state(made).reason.encode() == b"?"


@pytest.mark.parametrize(
    "content", [*DAMAGES, b'{"pid": "y", "asked": NaN}', b'{"pid": 1}', b'{"pid": 1e99}']
)
def test_a_damaged_progress_hides_no_job_at_work_and_ends_no_other_process(made, content):
    made.progress_file.write_bytes(content)
    assert job.state(made).status == "interrupted"
    with FileLock(made.lock):
        assert job.state(made).live
        job.end_now(made)
        assert job.state(made).status == "stopping"


def test_a_module_that_is_no_task_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="was expected"):
        entry.main("os", tmp_path)
