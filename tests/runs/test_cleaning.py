"""Runs deleted singly and by age, and what is never deleted."""

import os
import threading
import time

import pytest
from filelock import FileLock, Timeout

from core.base import folders
from core.base.errors import UserError
from core.learning.config import TrainingConfig
from core.runs.results import cleaning
from core.runs.training import queue, states, store
from core.runs.training.events import EventLog
from core.runs.training.run import Gone, hold, is_alive

DAY = 24 * 3600


@pytest.fixture(autouse=True)
def no_worker(monkeypatch):
    monkeypatch.setattr("core.runs.training.engines.start_worker", lambda: None)


@pytest.fixture
def past(monkeypatch):
    """Sets the clock back by days while something is written."""

    def write(days, action):
        now = time.time()
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda: now - days * DAY)
            return action()

    return write


def run_that(dataset, *events):
    """A run with these events behind `queued`."""
    run = store.create_run(TrainingConfig(), dataset)
    with EventLog(run.folder / "events.jsonl") as log:
        for event in events:
            log.append({"type": event} if isinstance(event, str) else event)
    return run


def ids(runs):
    return [run.id for run in runs]


def test_what_a_run_takes_is_what_deleting_it_frees(dataset):
    run = run_that(dataset, "started", "finished")
    (run.folder / "model").mkdir()
    (run.folder / "model" / "model.safetensors").write_bytes(bytes(100_000))
    size = cleaning.bytes_of(run)
    assert size == sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file()) > 100_000
    before = cleaning.bytes_of_all()
    assert store.delete_run(run.id) == size
    assert before - cleaning.bytes_of_all() == size


def test_age_counts_from_the_end_and_the_oldest_comes_first(dataset, past):
    oldest = past(40, lambda: run_that(dataset, "started", "finished"))
    old = past(31, lambda: run_that(dataset, "started", "stopped"))
    past(29, lambda: run_that(dataset, "started", "failed"))
    # Begun long ago, and ended today.
    late = past(50, lambda: run_that(dataset, "started"))
    with EventLog(late.folder / "events.jsonl") as log:
        log.append({"type": "finished"})
    assert ids(cleaning.older_than(30)) == [oldest.id, old.id]
    assert len(cleaning.older_than(0)) == 4


def test_runs_that_wait_work_or_go_on_by_themselves_are_never_old(dataset, past):
    def write():
        return [
            run_that(dataset),
            run_that(dataset, "started"),
            run_that(dataset, "started", {"type": "interrupted", "resumes": True}),
            run_that(dataset, "started"),
        ]

    queued, working, resuming, lost = past(100, write)
    with FileLock(working.folder / "run.lock"):
        assert cleaning.older_than(0) == []
    assert states.is_lost(lost)
    assert states.state(resuming).status == states.state(queued).status == "queued"


def test_an_interrupted_run_can_be_old(dataset, past):
    run = past(40, lambda: run_that(dataset, "started", {"type": "interrupted", "resumes": False}))
    assert ids(cleaning.older_than(30)) == [run.id]


def test_a_damaged_run_counts_from_its_last_change_and_not_while_somebody_works_on_it(dataset):
    old, young = run_that(dataset, "started", "finished"), run_that(dataset, "started", "finished")
    for run in (old, young):
        (run.folder / "config.json").write_text("{")
    os.utime(old.folder, (0, time.time() - 31 * DAY))
    assert ids(cleaning.older_than(30)) == [old.id]
    with FileLock(old.folder / "run.lock"):
        assert cleaning.older_than(30) == []


def test_deleting_goes_on_past_a_run_that_cannot_be_deleted_and_says_why(dataset):
    runs = [run_that(dataset, "started", "finished") for _ in range(4)]
    sizes = list(map(cleaning.bytes_of, runs))
    queue_again(runs[2])
    store.delete_run(runs[3].id)
    with FileLock(runs[0].folder / "run.lock"):
        done = cleaning.delete(runs)
    assert (done.deleted, done.freed) == (1, sizes[1])
    reasons = {run.id: error.found for run, error in done.refused}
    assert reasons == {runs[0].id: "a run that is being trained", runs[2].id: "one that waits"}
    assert {run.id for run in store.list_runs()} == {runs[0].id, runs[2].id}


def queue_again(run):
    with EventLog(run.folder / "events.jsonl") as log:
        log.append({"type": "queued"})


def test_files_that_may_not_be_deleted_are_said_and_the_run_is_out_of_sight(dataset, monkeypatch):
    run = run_that(dataset, "started", "finished")

    def refuse(path):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("shutil.rmtree", refuse)
    done = cleaning.delete([run])
    assert "Operation not permitted" in done.refused[0][1].found
    assert store.list_runs() == []


def test_a_run_that_may_not_be_moved_stays_whole(dataset, monkeypatch):
    run = run_that(dataset, "started", "finished")

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        store.delete_run(run.id)
    assert states.state(store.find_run(run.id)).status == "finished"


# What crashes leave


def age(path, hours):
    os.utime(path, (0, time.time() - hours * 3600))


def test_left_overs_are_swept_once_they_are_nobodys(dataset):
    run = run_that(dataset, "started", "finished")
    root = store.runs_root()
    young, old = root / (".new-" + "a" * 22), root / (".deleted-" + "b" * 22 + "-0")
    for folder in (young, old, run.folder / ".saving-x"):
        folder.mkdir()
        (folder / "weights").write_bytes(b"1234567")
    (run.folder / ".report.json.new").write_bytes(b"123")
    for path in (old, run.folder / ".saving-x", run.folder / ".report.json.new", run.folder):
        age(path, 25)
    age(young, 23)
    with FileLock(run.folder / "run.lock"):
        assert cleaning.sweep() == 7
    assert (run.folder / ".saving-x").exists()
    assert cleaning.sweep() == 10
    assert young.exists()
    left = sorted(path.name for path in run.folder.iterdir())
    assert left == ["config.json", "dataset", "events.jsonl", "run.lock"]


def test_submitting_sweeps(dataset):
    grave = store.runs_root() / ".deleted-x"
    grave.mkdir(parents=True)
    age(grave, 25)
    store.create_run(TrainingConfig(), dataset)
    assert not grave.exists()


# Races: whoever comes too late gets an error for people, and no half of a run is left


def test_a_look_or_a_lock_does_not_bring_a_deleted_run_back(dataset):
    run = run_that(dataset, "started", {"type": "interrupted", "resumes": False})
    store.delete_run(run.id)
    assert not is_alive(run)
    with pytest.raises(Gone), hold(run):
        pass
    with pytest.raises(Gone):
        queue.resume(run)
    queue.cancel(run)
    assert states.state(run).status == "damaged"
    assert not run.folder.exists()


def test_whoever_waits_for_the_lock_of_a_run_that_is_deleted_meanwhile_is_told(dataset):
    run = run_that(dataset, "started", {"type": "interrupted", "resumes": False})
    said = []

    def resume():
        try:
            queue.resume(run)
        except UserError as error:
            said.append(error)

    # As deleting does it: the folder moves away while the lock is held.
    with hold(run):
        waiting = threading.Thread(target=resume)
        waiting.start()
        time.sleep(0.3)
        grave = folders.move_to_trash(run.folder)
    waiting.join()
    assert [type(error) for error in said] == [Gone]
    assert not run.folder.exists()
    assert "queued" not in (grave / "events.jsonl").read_text().splitlines()[-1]


def test_a_resume_first_makes_the_deletion_wait_its_turn_and_spare_the_run(dataset):
    run = run_that(dataset, "started", {"type": "interrupted", "resumes": False})
    queue.resume(run)
    with pytest.raises(UserError, match="Take it out of the line"):
        store.delete_run(run.id, spare_waiting=True)
    assert states.state(run).status == "queued"


def test_resuming_and_deleting_at_once_ends_in_one_of_the_two(dataset):
    for _ in range(30):
        run = run_that(dataset, "started", {"type": "interrupted", "resumes": False})
        outcomes = {}
        start = threading.Barrier(2)

        def attempt(name, action, outcomes=outcomes, start=start):
            start.wait()
            try:
                action()
                outcomes[name] = "done"
            except UserError as error:
                outcomes[name] = error.found

        actions = {
            "resume": lambda run=run: queue.resume(run),
            "delete": lambda run=run: store.delete_run(run.id, spare_waiting=True),
        }
        threads = [threading.Thread(target=attempt, args=pair) for pair in actions.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, outcomes.values())) in (["done", "no such run"], ["done", "one that waits"])
        assert run.folder.exists() == (outcomes["resume"] == "done")


def test_a_lock_is_waited_for_no_longer_than_asked(dataset):
    run = run_that(dataset)
    with FileLock(run.folder / "run.lock"):
        assert is_alive(run)
        with pytest.raises(Timeout), hold(run, timeout=0.2):
            pass
    with hold(run, timeout=0.2):
        assert is_alive(run)
    assert not is_alive(run)
