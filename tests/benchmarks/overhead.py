"""What it costs that a run can be watched and resumed: events and snapshots beside a training without them.

    python -m tests.benchmarks.overhead [--data FILE.csv] [--rounds 30] [--steps 100] [--json]

Three processes train the embedded model on the same rows with the same seed, by `fit` itself, and work in
turn, the same steps in each round. One of them is `off` and writes nothing; one is `events` and writes events
and a log and asks before every step whether to stop, as the app's trainer does; one is `safe` and takes
snapshots besides. They change parts from round to round, since two processes that do the same differ by some
per cent, by where in memory they happen to lie. A step and what is written after it are counted together.

How to read the figures: a snapshot falls into one round of many, so that a median would not see it. The ratio
of `safe` is therefore that of the whole time for all rounds, and so are the two parts that it is made of: the
time that the snapshots took, as the training itself measured it, and all else. Beside it is the median of the
rounds' ratios, which shows what events and log cost, free of what else the machine did. The first snapshot is
taken right after the first step, in the warm-up, which does not count; from then on they are as far apart, in
the time that a process was `safe`, as their cost allows (`core.learning.training.checkpoints.SHARE`), so a
measurement should be long enough for several.
"""

import argparse
import itertools
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.benchmarks.children import Child
from tests.benchmarks.pace import Orders
from tests.benchmarks.workload import SST2, Job, read_rows

STACKS = ("off", "events", "safe")
WARM_UP_STEPS = 30
EPOCHS = 10_000
"""More than any measurement will see."""


class Turn(Child):
    """A process that trains so many steps at a time."""

    module = "tests.benchmarks.overhead"

    def steps(self, count: int, part: str) -> dict[str, Any]:
        """Let it train so many steps in this part. Returns their seconds, and those of their snapshots."""
        return self._in_turn(steps=count, part=part)


class Steps:
    """Trains so many steps for each order, and stands still in between."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._left = WARM_UP_STEPS
        self.part = "safe"
        self._safe_before = 0.0
        self._began = time.perf_counter()
        self.snapshots: list[float] = []

    def safe_clock(self) -> float:
        """Seconds at work as `safe`."""
        now = time.perf_counter() - self._began if self.part == "safe" else 0.0
        return self._safe_before + now

    def over(self) -> bool:
        """Asked before every step. Returns whether no more are ordered."""
        if self._left == 0:
            self._safe_before = self.safe_clock()
            self._orders.reply(seconds=time.perf_counter() - self._began, snapshots=self.snapshots)
            self.snapshots.clear()
            order = self._orders.wait()
            self._left, self.part = order.get("steps", 0), order.get("part", "off")
            self._began = time.perf_counter()
            if self._left == 0:
                return True
        self._left -= 1
        return False


def main() -> None:
    """Measure what the command line asks for, and print it."""
    options = _parser().parse_args()
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        # Snapshots are written to a disk, as those of runs are: /tmp may be in memory.
        rounds = _rounds(_job(options), options, environment | {"TEXTUNER_HOME": options.home or folder})
    found = summarise(rounds, options.steps)
    print(json.dumps(found, indent=1) if options.json else table(found))


def summarise(rounds: list[dict[str, dict[str, Any]]], steps: int) -> dict[str, Any]:
    """Ratios to the training that writes nothing, and the snapshots' share.

    Args:
        rounds: by stack, seconds of the round and of each snapshot in it.
        steps: of each stack in each round.
    """
    seconds = {stack: [blocks[stack]["seconds"] for blocks in rounds] for stack in STACKS}
    taken = [one for blocks in rounds for one in blocks["safe"]["snapshots"]]
    whole = {stack: sum(values) for stack, values in seconds.items()}
    return {
        "rounds": len(rounds),
        "steps_per_round": steps,
        "seconds": whole,
        "milliseconds_per_step": {s: 1000 * whole[s] / steps / len(rounds) for s in STACKS},
        "ratio_of_all": {s: whole[s] / whole["off"] for s in STACKS[1:]},
        "median_ratio": {
            s: statistics.median(a / b for a, b in zip(seconds[s], seconds["off"], strict=True))
            for s in STACKS[1:]
        },
        "snapshots": len(taken),
        "snapshot_seconds": {"median": statistics.median(taken), "max": max(taken)} if taken else None,
        "snapshots_share": sum(taken) / whole["off"],
        "ratio_without_snapshots": (whole["safe"] - sum(taken)) / whole["off"],
        "blocks": seconds,
    }


def table(found: dict[str, Any]) -> str:
    """Markdown: a row per training."""
    lines = ["| training | ms/step | all rounds × off | median round × off |", "|---|---:|---:|---:|"]
    for stack in STACKS:
        ratios = [f"{found[name][stack]:.3f}" for name in ("ratio_of_all", "median_ratio") if stack != "off"]
        cells = [f"{found['milliseconds_per_step'][stack]:.2f}", *(ratios or ["", ""])]
        lines.append(f"| {stack} | {' | '.join(cells)} |")
    cost = found["snapshot_seconds"]
    each = f", {cost['median']:.2f} s each in the median" if cost else ""
    words = (
        f"{found['rounds']} rounds of {found['steps_per_round']} steps; "
        f"{found['snapshots']} snapshots{each}: "
        f"{found['snapshots_share']:.1%} of the time of `off`; all else of `safe` is "
        f"{found['ratio_without_snapshots']:.3f} × off."
    )
    return "\n".join([*lines, "", words])


def _rounds(job: Job, options: argparse.Namespace, environment: dict[str, str]) -> list[dict[str, Any]]:
    rounds = []
    with ExitStack() as cleanup:
        turns = []
        for _ in STACKS:
            turns.append(Turn(job, environment))
            cleanup.callback(turns[-1].close)
            turns[-1].answer()
            turns[-1].pause()
        orders = itertools.cycle(itertools.permutations(STACKS))
        for i in range(options.rounds):
            print(f"round {i + 1} of {options.rounds}", file=sys.stderr, flush=True)
            parts = next(orders)
            rounds.append(
                {part: turn.steps(options.steps, part) for part, turn in zip(parts, turns, strict=True)}
            )
    return rounds


def _job(options: argparse.Namespace) -> Job:
    from core.data.storage.sample import SAMPLE
    from core.learning import pretrained

    return Job(
        stack="turn",
        data=str(Path(options.data or (SST2 if SST2.is_file() else SAMPLE)).resolve()),
        model=str(pretrained.resolve("bundled")),
        batch=options.batch,
        precision="auto",
        max_length=128,
        learning_rate=1e-4,
        warmup=0.0,
        epochs=EPOCHS,
        seed=1,
        whole=False,
        device="cpu",
    )


def train(job: Job) -> None:
    """Train as the app's trainer does, as many steps as ordered, with what the part of the moment writes."""
    # Before torch, as in the app: OpenMP reads its settings when torch loads it.
    import core.learning  # noqa: F401
    from core.learning.training import checkpoints
    from core.runs.training.events import EventLog
    from core.runs.training.trainer import _in_words

    steps = Steps(Orders())
    checkpoints.time = SimpleNamespace(perf_counter=steps.safe_clock)
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(dir=os.environ["TEXTUNER_HOME"])))
        log = logging.getLogger("textuner")
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", filename=folder / "log.txt")
        events = cleanup.enter_context(EventLog(folder / "events.jsonl"))

        def report(event: dict[str, Any]) -> None:
            if steps.part == "off":
                return
            if event["type"] == "snapshot":
                steps.snapshots.append(event["seconds"])
            events.append(event)
            log.info("%s", _in_words(event))

        def should_stop() -> bool:
            return (steps.part != "off" and (folder / "stop").exists()) or steps.over()

        class Taken(checkpoints.TrainingCheckpoints):
            def due(self) -> bool:
                return steps.part == "safe" and super().due()

        _fit(job, report, should_stop, Taken(folder / "snapshots", report))


def _fit(
    job: Job, report: Callable[[dict[str, Any]], None], should_stop: Callable[[], bool], taken: Any
) -> None:
    import torch

    from core.learning import batching
    from core.learning.config import TrainingConfig
    from core.learning.hardware import choose_hardware, keep_freed_memory, use_all_cores
    from core.learning.models import interface
    from core.learning.tokenizer import TextTokenizer
    from core.learning.training import loop
    from core.learning.training.hooks import Hooks

    use_all_cores()
    keep_freed_memory()
    torch.manual_seed(job.seed)
    rows = read_rows(Path(job.data))
    config = TrainingConfig(
        epochs=job.epochs, batch_size=job.batch, learning_rate=job.learning_rate, seed=job.seed
    )
    dataset = batching.encode(rows.texts, rows.labels, TextTokenizer(Path(job.model), job.max_length))
    hardware = choose_hardware(job.precision)
    network = interface.load_for_training(Path(job.model), rows.label2id, hardware, job.seed)
    # Neither scores nor keeps weights: that is the same with and without.
    store = SimpleNamespace(stored=None, save=lambda *_: None)
    loop.fit(network, loop.TrainingData(dataset, None), config, Hooks(report, should_stop), store, taken)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", help="CSV with the columns text and label (default: SST-2 if at hand)")
    parser.add_argument("--home", help="folder on the disk to write to (default: a temporary one)")
    parser.add_argument("--batch", type=int, default=16, help="texts per step (default: 16)")
    parser.add_argument("--rounds", type=int, default=30, help="multiples of six are fair (default: 30)")
    parser.add_argument(
        "--steps", type=int, default=100, help="of each training in each round (default: 100)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    # With a job, this is one of the trainings themselves.
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        train(Job(**json.loads(sys.argv[1])))
    else:
        main()
