"""Kills trainings, hundreds of times, and counts what was lost.

    python -m tests.benchmarks.kills [--kills 200] [--seed 1] [--lines 2] [--json]

Every run is a real training of a tiny model by the real worker and trainer processes, in a home of its own.
SIGKILL ends them at moments that a seed decides: so and so long after the process began (while it still
loads, at any step, while it judges or saves), at a step, in the middle of writing a snapshot (as soon as
its unfinished folder is seen), or when the training is over and the report is written. It hits the trainer,
the worker, or both; now and then a bit of the newest snapshot, or of both, is flipped afterwards. Each time
the run goes on by itself or is resumed, until it ends; then its weights are compared, bit for bit, with
those of a run of the same seed and settings that nobody touched. `--lines` homes are at work side by side.

How to read the figures: `kills` counts signals that ended a process whose run had not ended, by what was
hit and when. `lost` are runs that did not end, are damaged or missing in the list, or that still showed
"running" five seconds after their process was gone. `invalid accepted` are trainings that went on from a
snapshot that had been damaged; `damage found` of `damage done` are those that the run's notes name. `until
shown` is the time from a kill until the run is no longer shown as running, at worst. `steps lost` is the
distance from the last step that the events tell before a kill to the step from which the training went on.
Exit code 0: none lost, none accepted, every damage found, all weights equal, no process and no lock left
behind.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import cycle, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
from filelock import Timeout
from safetensors.numpy import load_file

from core.base import locks
from core.base.errors import UserError
from core.base.home import home
from core.data.labels import LabeledTexts
from core.data.splits import Splits
from core.data.storage.datasets import Dataset, save_dataset
from core.learning.config import TrainingConfig
from core.learning.pretrained import WEIGHTS
from core.runs.training import processes, queue, run_events, states, store
from core.runs.training.events import Event, read_events
from core.runs.training.run import Run, snapshots_folder
from tests.benchmarks.workload import has_bf16
from tests.processes import is_at_work, kill, processes_of, trainer_of, wait_for, worker_process
from tests.tiny import LABEL2ID, TEXTS, write_tiny_model

SHOWN_SECONDS = 5.0
"""Time within which a look must show that a run's process is gone."""

PATIENCE_SECONDS = 120.0
"""Time without what must come next, after which a run counts as lost."""

KILLS_PER_RUN = (4, 9)
LIFE_SECONDS = 4.0
"""Longest time from a process's begin to a kill by the clock; about the first half goes into loading."""

MOMENTS = {"clock": 8, "step": 8, "snapshot": 10, "end": 1}
"""When a process is killed, and how often."""

VICTIMS = {"trainer": 7, "worker": 1, "both": 2}
"""What is killed, and how often."""

DAMAGE_SHARE = 0.25
"""Of the kills after which a bit of the newest snapshot is flipped; each fourth time, of all there are."""

BASE = TrainingConfig(model="local/tiny", learning_rate=1e-3, max_length=16, precision="fp32")
CONFIGS = (
    replace(BASE, epochs=6, batch_size=1, evaluations_per_epoch=5),
    replace(BASE, epochs=12, batch_size=4, evaluations_per_epoch=2, schedule="cosine", class_weights=True),
)
BF16_CONFIGS = (
    replace(BASE, epochs=9, batch_size=2, evaluations_per_epoch=3, precision="bf16"),
    replace(BASE, epochs=16, batch_size=5, evaluations_per_epoch=4, precision="bf16", seed=7),
)
"""Where the processor has it."""


@dataclass
class Tally:
    """What was done to the runs, and what came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    lost: list[str] = field(default_factory=list)
    damages: int = 0
    damages_found: int = 0
    invalid_accepted: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    """Processes, locks and unfinished files that outlived their runs."""
    seconds_until_shown: list[float] = field(default_factory=list)
    steps_lost: list[int] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count what another line found, too."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def well(self) -> bool:
        """Whether nothing was lost."""
        faults = self.lost or self.invalid_accepted or self.unequal or self.left_behind
        return not faults and self.damages == self.damages_found


@dataclass(frozen=True)
class Damage:
    """Snapshots that were damaged at one time."""

    steps: tuple[int, ...]
    events_before: int


class Lost(Exception):
    """A run that does not come to its end, in words."""


class Attack:
    """One run, killed again and again until it ends."""

    def __init__(self, run: Run, chance: random.Random, tally: Tally) -> None:
        self.run = run
        self.chance = chance
        self.tally = tally
        self.damages: list[Damage] = []

    def carry_out(self, kills: int) -> None:
        """Kill it so many times, or until it ends earlier, and see it to its end.

        Raises:
            Lost: it does not end.
        """
        try:
            for _ in range(kills):
                if not self._kill_once():
                    break
            self._wait(lambda: states.has_ended(self.run))
        except (AssertionError, UserError, Timeout) as error:
            words = " ".join(str(error).split())
            raise Lost(f"{states.state(self.run).status}: {type(error).__name__}: {words}") from error
        if states.state(self.run).status != "finished":
            raise Lost(str(states.state(self.run)))

    def settle(self) -> None:
        """Count from its events what the kills cost, and what became of the damages."""
        events = _events(self.run)
        starts = [i for i, event in enumerate(events) if event["type"] == "started"]
        for earlier, later in pairwise(starts):
            reached = max(event.get("step", 0) for event in events[earlier:later])
            self.tally.steps_lost.append(reached - events[later]["step"])
        for damage in self.damages:
            self._settle(damage, events)

    def _settle(self, damage: Damage, events: list[Event]) -> None:
        later = events[damage.events_before :]
        start = next(event for event in later if event["type"] == "started")
        if start["step"] in damage.steps:
            self.tally.invalid_accepted.append(f"{self.run.id}: step {start['step']}")
        notes = " ".join(event["message"] for event in later if event["type"] == "note")
        self.tally.damages += len(damage.steps)
        self.tally.damages_found += sum(f"step {step:,} is damaged" in notes for step in damage.steps)

    def _kill_once(self) -> bool:
        """Returns whether the run still goes on."""
        self._wait(lambda: states.has_ended(self.run) or trainer_of(self.run))
        moment, victim = self._choose(MOMENTS), self._choose(VICTIMS)
        # Looked up before the moment, which does not wait.
        trainer, worker = trainer_of(self.run), worker_process()
        targets = {"trainer": [trainer], "worker": [worker], "both": [worker, trainer]}[victim]
        self.chance.shuffle(targets)
        self._wait_for(moment, trainer)
        events_before = len(_events(self.run))
        began = time.monotonic()
        hit = kill(*targets)
        if states.has_ended(self.run):
            return False
        if all(hit):
            self._count(victim, moment)
        if victim == "worker":
            return True
        if self.chance.random() < DAMAGE_SHARE:
            self._damage()
        self._see_shown(events_before, began)
        return True

    def _count(self, victim: str, moment: str) -> None:
        unfinished = list(snapshots_folder(self.run).glob(".writing-*"))
        if moment == "snapshot" and victim != "worker":
            moment = "in a snapshot" if unfinished else "right after a snapshot"
        self.tally.kills[f"{victim}, {moment}"] += 1

    def _wait_for(self, moment: str, trainer: psutil.Process | None) -> None:
        """Wait for the moment, or until there is nothing to wait for."""
        found = len(_events(self.run))
        begun = time.monotonic()
        report = _changed(self.run.folder / "report.json")
        life = self.chance.uniform(0, LIFE_SECONDS)
        steps, passed = self.chance.randint(1, 60), self.chance.randint(0, 3)
        conditions: dict[str, Callable[[], bool]] = {
            "clock": lambda: time.monotonic() - begun >= life,
            "step": lambda: _steps_done(_events(self.run)[found:]) >= steps,
            "snapshot": lambda: _snapshots(_events(self.run)[found:]) >= passed and self._sees_unfinished(),
            "end": lambda: _changed(self.run.folder / "report.json") != report,
        }
        condition = conditions[moment]
        wait_for(
            lambda: condition() or trainer is None or not is_at_work(trainer), PATIENCE_SECONDS, every=0.01
        )
        # A snapshot takes some milliseconds, and so does the end: not always at the first sight of them.
        if moment in ("snapshot", "end"):
            time.sleep(self.chance.uniform(0, 0.004))

    def _sees_unfinished(self) -> bool:
        # Watched closely for a moment: it is gone in milliseconds.
        folder, end = snapshots_folder(self.run), time.monotonic() + 0.5
        while time.monotonic() < end:
            with suppress(FileNotFoundError):
                if any(name.startswith(".writing-") for name in os.listdir(folder)):  # noqa: PTH208 - fast
                    return True
            time.sleep(0.0005)
        return False

    def _damage(self) -> None:
        folder = snapshots_folder(self.run)
        whole = sorted((p for p in folder.glob("*") if p.name.isdecimal()), key=lambda p: int(p.name))
        victims = whole if self.chance.random() < 0.25 else whole[-1:]
        for snapshot in victims:
            flip_bit(self.chance.choice(sorted(snapshot.iterdir())), self.chance)
        if victims:
            steps = tuple(int(path.name) for path in victims)
            self.damages.append(Damage(steps, len(_events(self.run))))

    def _see_shown(self, events_before: int, began: float) -> None:
        """Wait until a look at the run tells that its process is gone."""

        def shown() -> bool:
            if states.state(self.run).status not in ("running", "stopping"):
                return True
            # It may have gone on by itself meanwhile.
            return any(event["type"] == "interrupted" for event in _events(self.run)[events_before:])

        try:
            wait_for(shown, SHOWN_SECONDS, every=0.005)
        except AssertionError as error:
            raise Lost(f"shown as running {SHOWN_SECONDS:.0f} seconds after its end") from error
        self.tally.seconds_until_shown.append(time.monotonic() - began)

    def _wait(self, condition: Callable[[], object]) -> None:
        """Look at the run as a person with an open page would, and resume it when it does not by itself."""

        def look() -> object:
            queue.ensure_worker()
            if states.state(self.run).status == "interrupted" and not states.is_lost(self.run):
                # The worker may be faster: what cannot be resumed now is looked at again.
                with suppress(UserError):
                    queue.resume(self.run)
            return condition()

        wait_for(look, PATIENCE_SECONDS, every=0.2)

    def _choose(self, weights: dict[str, int]) -> str:
        return self.chance.choices(list(weights), list(weights.values()))[0]


def main() -> int:
    """Kill as often as the command line asks for, and print what came of it."""
    options = _parser().parse_args()
    began = time.monotonic()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        write_tiny_model(models / "tiny")
        configs = [*CONFIGS, *(BF16_CONFIGS if has_bf16() else ())]
        # New processes: each has its own home in its environment.
        with ProcessPoolExecutor(options.lines, get_context("spawn")) as pool:
            lines = [
                pool.submit(
                    drain,
                    Path(folder) / f"home-{i}",
                    models,
                    configs,
                    len(range(i, options.kills, options.lines)),
                    f"{options.seed}/{i}",
                )
                for i in range(options.lines)
            ]
            for line in lines:
                tally.add(line.result())
    found = summarise(tally) | {"seed": options.seed, "minutes": (time.monotonic() - began) / 60}
    print(json.dumps(found, indent=1) if options.json else table(found))
    return 0 if tally.well else 1


def drain(home_folder: Path, models: Path, configs: list[TrainingConfig], kills: int, seed: str) -> Tally:
    """Train runs one after another in a home of their own, with so many kills in all."""
    os.environ |= {"TEXTUNER_HOME": str(home_folder), "TEXTUNER_MODELS": str(models), "HF_HUB_OFFLINE": "1"}
    chance, tally = random.Random(seed), Tally()
    dataset = save_dataset("kills", random_splits(), [], {"file": "kills.csv"})
    untouched: dict[TrainingConfig, Run] = {}
    try:
        for config in cycle(configs):
            left = kills - tally.kills.total()
            if left <= 0:
                break
            if config not in untouched:
                untouched[config] = _train_untouched(config, dataset)
            aimed = min(left, chance.randint(*KILLS_PER_RUN))
            _attack(config, dataset, untouched[config], aimed, chance, tally)
            done = f"{tally.kills.total()} of {kills} kills"
            _say(f"line {seed}: {done}, {len(tally.lost)} of {tally.runs} runs lost")
        tally.left_behind += left_behind()
    finally:
        kill(*processes_of(home_folder))
    return tally


def random_splits() -> Splits:
    """Texts in the tiny model's words, always the same: enough for some hundred steps."""
    chance = random.Random(0)
    words = {label: sorted({w for text in texts for w in text.split()}) for label, texts in TEXTS.items()}

    def part(size: int) -> LabeledTexts:
        labels = [chance.choice(sorted(words)) for _ in range(size)]
        texts = [" ".join(chance.choices(words[label], k=chance.randint(2, 12))) for label in labels]
        return LabeledTexts(texts, [LABEL2ID[label] for label in labels], LABEL2ID)

    return Splits(part(64), part(16), part(16), how="at random")


def flip_bit(file: Path, chance: random.Random) -> None:
    """Change one bit of a file."""
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def same_weights(one: Run, other: Run) -> bool:
    """Whether two runs' best weights are equal, bit for bit."""
    ours, theirs = (load_file(run.folder / "model" / WEIGHTS) for run in (one, other))
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype and ours[name].tobytes() == theirs[name].tobytes()
        for name in ours
    )


def same_scores(one: Run, other: Run) -> bool:
    """Whether two runs tell the same about each of their evaluations, in the same order."""
    names = ("step", "epoch", "loss", "accuracy", "macro_f1", "best")
    ours, theirs = (
        [
            [event[name] for name in names]
            for event in run_events.events_of(run)
            if event["type"] == "evaluated"
        ]
        for run in (one, other)
    )
    return ours == theirs


def left_behind() -> list[str]:
    """Processes, held locks and unfinished files of the present home, whose runs have all ended."""
    end = time.monotonic() + 20
    while processes_of(home()) and time.monotonic() < end:
        time.sleep(0.1)
    found = [" ".join(process.cmdline()) for process in processes_of(home())]
    found += [str(lock) for lock in home().rglob("*.lock") if locks.is_held(lock)]
    found += [f"trainer of {run.id}" for run in store.list_runs() if processes.trainer_of(run)]
    unfinished = (".writing-*", ".saving-*", ".new-*", ".deleted-*")
    return found + [str(path.relative_to(home())) for name in unfinished for path in home().rglob(name)]


def summarise(tally: Tally) -> dict[str, Any]:
    """The figures, ready for JSON."""
    shown, lost = tally.seconds_until_shown, tally.steps_lost
    return {
        "well": tally.well,
        "kills": tally.kills.total(),
        "kills_by_kind": dict(sorted(tally.kills.items())),
        "runs": tally.runs,
        "runs_lost": tally.lost,
        "damages": tally.damages,
        "damages_found": tally.damages_found,
        "invalid_accepted": tally.invalid_accepted,
        "unequal": tally.unequal,
        "left_behind": tally.left_behind,
        "seconds_until_shown": {"median": statistics.median(shown), "max": max(shown)} if shown else None,
        "steps_lost": {"median": statistics.median(lost), "max": max(lost)} if lost else None,
    }


def table(found: dict[str, Any]) -> str:
    """Markdown: a row per figure."""
    kinds = ", ".join(f"{count} × {kind}" for kind, count in found["kills_by_kind"].items())
    shown, steps = found["seconds_until_shown"], found["steps_lost"]
    rows = {
        "kills": f"{found['kills']} ({kinds})",
        "runs": found["runs"],
        "runs lost": len(found["runs_lost"]),
        "invalid snapshots accepted": len(found["invalid_accepted"]),
        "damaged snapshots found": f"{found['damages_found']} of {found['damages']}",
        "resumed runs with other weights or scores": len(found["unequal"]),
        "processes, locks and unfinished files left behind": len(found["left_behind"]),
        "until shown as interrupted": f"at most {shown['max']:.2f} s" if shown else "",
        "steps lost per kill": f"{steps['median']:.0f} in the median, {steps['max']} at most"
        if steps
        else "",
        "minutes": f"{found['minutes']:.1f}",
    }
    faults = [f"{name}: {fault}" for name in FAULTS for fault in found[name]]
    lines = ["| what | found |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join([*lines, *([""] if faults else []), *faults])


FAULTS = ("runs_lost", "invalid_accepted", "unequal", "left_behind")


def _attack(
    config: TrainingConfig, dataset: Dataset, untouched: Run, kills: int, chance: random.Random, tally: Tally
) -> None:
    run = queue.submit(config, dataset)
    tally.runs += 1
    attack = Attack(run, chance, tally)
    try:
        attack.carry_out(kills)
    except Lost as error:
        tally.lost.append(f"{run.id}: {error}")
        return
    finally:
        if run.id not in {listed.id for listed in store.list_runs() if not listed.damage}:
            tally.lost.append(f"{run.id} is not in the list")
    attack.settle()
    if not same_weights(run, untouched):
        tally.unequal.append(f"{run.id}: weights, {config}")
    if not same_scores(run, untouched):
        tally.unequal.append(f"{run.id}: scores, {config}")


def _train_untouched(config: TrainingConfig, dataset: Dataset) -> Run:
    run = queue.submit(config, dataset)
    wait_for(lambda: states.has_ended(run), PATIENCE_SECONDS)
    return run


def _events(run: Run) -> list[Event]:
    return read_events(run.folder / "events.jsonl")


def _steps_done(events: list[Event]) -> int:
    """How far a training has come since it last began, as far as its events tell."""
    start = next((event["step"] for event in reversed(events) if event["type"] == "started"), None)
    return 0 if start is None else max(event.get("step", 0) for event in events) - start


def _snapshots(events: list[Event]) -> int:
    return sum(event["type"] == "snapshot" for event in events)


def _changed(file: Path) -> int | None:
    with suppress(FileNotFoundError):
        return file.stat().st_mtime_ns
    return None


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=200, help="in all (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and victims (default: 1)")
    parser.add_argument("--lines", type=int, default=2, help="homes at work side by side (default: 2)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
