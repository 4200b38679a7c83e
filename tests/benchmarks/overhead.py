"""What it costs that a run can be watched and resumed: events and snapshots beside a training without them.

    python -m tests.benchmarks.overhead [--data FILE.csv] [--rounds 30] [--steps 100] [--json]

Three processes train the embedded model on the same rows with the same seed, by `fit` itself: `off` writes
nothing; `events` writes events and a log and asks before every step whether to stop, as the app's trainer
does; `safe` takes snapshots besides. They work in turn, the same steps in each round, and are off the
processor in between; whoever does not work has a clock that stands still, so that snapshots come as often as
in a training that nobody holds up. A step and what is written after it are counted together.

How to read the figures: a snapshot falls into one round of many, so that a median would not see it. The ratio
of `safe` is therefore that of the whole time for all rounds, and so are the two parts that it is made of: the
time that the snapshots took, as the training itself measured it, and all else. Beside it is the median of the
rounds' ratios, which shows what events and log cost, free of what else the machine did. The first snapshot is
taken right after the first step, in the warm-up, which does not count; from then on they are as far apart as
their cost allows (`core.learning.snapshots.SHARE`), so a measurement should be long enough for several.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
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

    def steps(self, count: int) -> dict[str, Any]:
        """Let it train so many steps. Returns their seconds, and those of each snapshot among them."""
        return self._in_turn(steps=count)


class Steps:
    """Trains so many steps for each order, and stands still in between; its clock, too."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._left = WARM_UP_STEPS
        self._stood_still = 0.0
        self._began = self.clock()
        self.snapshots: list[float] = []

    def clock(self) -> float:
        """Seconds at work."""
        return time.perf_counter() - self._stood_still

    def over(self) -> bool:
        """Asked before every step. Returns whether no more are ordered."""
        if self._left == 0:
            self._orders.reply(seconds=self.clock() - self._began, snapshots=self.snapshots)
            self.snapshots.clear()
            waited = time.perf_counter()
            self._left = self._orders.wait().get("steps", 0)
            self._stood_still += time.perf_counter() - waited
            self._began = self.clock()
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
        for stack in STACKS:
            turns.append(Turn(replace(job, stack=stack), environment))
            cleanup.callback(turns[-1].close)
            turns[-1].answer()
            turns[-1].pause()
        for i in range(options.rounds):
            print(f"round {i + 1} of {options.rounds}", file=sys.stderr, flush=True)
            # Each begins once in so many rounds: who works right after whom should not matter.
            first = i % len(turns)
            order = turns[first:] + turns[:first]
            rounds.append({turn.job.stack: turn.steps(options.steps) for turn in order})
    return rounds


def _job(options: argparse.Namespace) -> Job:
    from core.data.sample import SAMPLE
    from core.learning import catalogue

    return Job(
        stack="",
        data=str(Path(options.data or (SST2 if SST2.is_file() else SAMPLE)).resolve()),
        model=str(catalogue.resolve("bundled")),
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
    """Train as the app's trainer does, with or without what makes a run safe, as many steps as ordered."""
    # Before torch, as in the app: OpenMP reads its settings when torch loads it.
    import core.learning  # noqa: F401
    from core.learning import snapshots
    from core.runs.events import EventLog
    from core.runs.trainer import _in_words

    orders = Orders()
    steps = Steps(orders)
    # Snapshots are due by the time that the training works.
    snapshots.time = SimpleNamespace(perf_counter=steps.clock)
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(dir=os.environ["TEXTUNER_HOME"])))
        log = logging.getLogger("textuner")
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", filename=folder / "log.txt")
        events = cleanup.enter_context(EventLog(folder / "events.jsonl"))

        def report(event: dict[str, Any]) -> None:
            if event["type"] == "snapshot":
                steps.snapshots.append(event["seconds"])
            events.append(event)
            log.info("%s", _in_words(event))

        def should_stop() -> bool:
            return (folder / "stop").exists() or steps.over()

        quiet = job.stack == "off"
        taken = snapshots.Snapshots(folder / "snapshots" if job.stack == "safe" else None, report)
        _fit(job, (lambda _: None) if quiet else report, steps.over if quiet else should_stop, taken)


def _fit(
    job: Job, report: Callable[[dict[str, Any]], None], should_stop: Callable[[], bool], taken: Any
) -> None:
    import torch

    from core.learning import batching, fit, networks
    from core.learning.config import TrainingConfig
    from core.learning.hardware import choose_hardware, keep_freed_memory, use_all_cores
    from core.learning.tokenizer import TextTokenizer

    use_all_cores()
    keep_freed_memory()
    torch.manual_seed(job.seed)
    rows = read_rows(Path(job.data))
    config = TrainingConfig(
        epochs=job.epochs, batch_size=job.batch, learning_rate=job.learning_rate, seed=job.seed
    )
    dataset = batching.encode(rows.texts, rows.labels, TextTokenizer(Path(job.model), job.max_length))
    hardware = choose_hardware(job.precision)
    network = networks.load_for_training(Path(job.model), rows.label2id, hardware, job.seed)
    # Neither scores nor keeps weights: that is the same with and without.
    fit.fit(network, dataset, None, config, report, should_stop, lambda *_: None, taken)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", help="CSV with the columns text and label (default: SST-2 if at hand)")
    parser.add_argument("--home", help="folder on the disk to write to (default: a temporary one)")
    parser.add_argument("--batch", type=int, default=16, help="texts per step (default: 16)")
    parser.add_argument("--rounds", type=int, default=30, help="default: 30")
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
