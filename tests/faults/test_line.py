"""Two at once: no run is lost, none gets another's place, none is trained twice."""

import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from core.base import locks
from core.base.home import PROJECT, home
from core.runs.training import queue, states, store
from tests.faults.looks import count, looked_at, see_that_nothing_is_left
from tests.processes import wait_for, worker_process
from tests.runs.test_runs import LONG

ROUNDS, REAL_ROUNDS = 97, 3

SUBMITTER = """
import sys
from dataclasses import replace
from core.data.storage.datasets import find_dataset
from core.learning.config import TrainingConfig
from core.runs.training import engines, queue

dataset_id, model, real = sys.argv[1:]
if real == "no":
    engines.start_worker = lambda: None
dataset = find_dataset(dataset_id)
config = TrainingConfig(epochs=2, batch_size=2, max_length=16, precision="fp32", model=model)
print("ready", flush=True)
for line in sys.stdin:
    print(queue.submit(replace(config, seed=int(line)), dataset).id, flush=True)
"""

WORKER = """
import sys
from core.runs.training import states, worker
from core.runs.training.events import EventLog
from filelock import FileLock

def train(run, card):
    with FileLock(run.folder / "run.lock"), EventLog(run.folder / "events.jsonl") as events:
        assert states.waits(run)
        events.append({"type": "started", "step": 0, "total_steps": 1})
        events.append({"type": "finished"})
    print(run.number, flush=True)
    return 0

worker._train = train
print("ready", flush=True)
sys.stdin.readline()
worker.main()
"""
"""A worker whose trainings take no time."""


class Pair:
    """Two processes of the same program, which wait for a line each before they do anything."""

    def __init__(self, program, *arguments):
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, *arguments],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for process in self.processes:
            assert process.stdout.readline() == "ready\n"

    def say(self, words):
        """Tell both the same, at once."""
        for process in self.processes:
            process.stdin.write(f"{words}\n")
            process.stdin.flush()

    def answers(self):
        """The next line of each."""
        return [process.stdout.readline().strip() for process in self.processes]

    def rest(self):
        """All that they still say, when they have ended."""
        said = [process.communicate()[0].splitlines() for process in self.processes]
        assert [process.returncode for process in self.processes] == [0, 0]
        return said


@pytest.fixture
def pair():
    pairs = []

    def start(program, *arguments):
        pairs.append(Pair(program, *arguments))
        return pairs[-1]

    yield start
    for started in pairs:
        for process in started.processes:
            process.kill()
            process.communicate()


def test_two_submissions_at_once_are_two_runs_and_each_is_begun_once(dataset, pair):
    submitters = pair(SUBMITTER, dataset.id, "bundled", "no")
    ids = []
    for seed in range(ROUNDS):
        submitters.say(seed)
        ids += submitters.answers()
    submitters.rest()
    runs = store.list_runs()
    assert len(set(ids)) == 2 * ROUNDS
    assert {run.id for run in runs} == set(ids)
    assert sorted(run.number for run in runs) == list(range(1, 2 * ROUNDS + 1))
    assert [run.number for run in store.waiting_runs()] == list(range(1, 2 * ROUNDS + 1))
    assert not [path for path in store.runs_root().iterdir() if path.name.startswith(".new-")]

    workers = pair(WORKER)
    workers.say("go")
    one, other = ([int(number) for number in said] for said in workers.rest())
    assert sorted(one + other) == list(range(1, 2 * ROUNDS + 1))
    assert one == sorted(one)
    assert other == sorted(other)
    assert {count(run, "started") for run in runs} == {1}
    see_that_nothing_is_left()


def test_two_submissions_at_once_are_trained_one_after_another_and_once(tiny, dataset, pair):
    submitters = pair(SUBMITTER, dataset.id, tiny, "yes")
    runs = []
    for seed in range(REAL_ROUNDS):
        # The line has run empty in between: each time, both may start a worker.
        wait_for(lambda: not locks.is_held(home() / "worker.lock"))
        submitters.say(seed)
        both = [store.find_run(run_id) for run_id in submitters.answers()]
        wait_for(lambda both=both: {looked_at(run) for run in both} == {"finished"})
        runs += both
    submitters.rest()
    assert {count(run, "started") for run in runs} == {1}
    assert {count(run, "finished") for run in runs} == {1}
    in_order = sorted(runs, key=lambda run: run.number)
    assert [run.number for run in in_order] == list(range(1, 2 * REAL_ROUNDS + 1))
    spans = [(states.state(run).started, states.state(run).ended) for run in in_order]
    assert all(earlier[1] <= later[0] for earlier, later in zip(spans, spans[1:], strict=False))
    see_that_nothing_is_left()


def test_a_run_cancelled_at_any_moment_of_its_beginning_ends_once(tiny, dataset):
    chance = random.Random(6)
    runs = [queue.submit(replace(LONG, model=tiny, seed=seed), dataset) for seed in range(4)]
    for run in runs:
        wait_for(lambda run=run: queue.position(run) in (None, 1) and worker_process())
        # It takes seconds from a place in line to the first step.
        time.sleep(chance.uniform(0, 3))
        queue.cancel(run)
        wait_for(lambda run=run: looked_at(run) == "stopped")
    for run in runs:
        assert count(run, "stopped") == 1
        assert count(run, "started") <= 1
    see_that_nothing_is_left()
