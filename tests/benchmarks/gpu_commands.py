"""The section `commands`: what a person types on the card: train, predict there and on the processor, resume.

Three trainings with the same seed run side by side, each in its own home: one whose labels are asked for, one
more, which tells whether two trainings are the same to the bit at all, and one that is killed half-way.
"""

import csv
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from core.base.folders import sha256_of
from core.learning.pretrained import WEIGHTS
from tests.benchmarks.gpu_runs import Home, wait_until
from tests.benchmarks.gpu_setup import QUICK_FACTOR, Report, Settings

LIMIT = 70
"""Seconds for one command."""

KILL_SHARE = 0.35
"""The training is killed when it has done so much of its steps."""

ANSWER = "predicted_label"
"""The column of the labels, in a file that has a column `label` already."""

WORKER, TRAINER = "core.runs.training.worker", "core.runs.training.trainer"


def measure(settings: Settings, report: Report) -> None:
    """Report each command."""
    limit = LIMIT * (QUICK_FACTOR if settings.quick else 1)
    first, second, killed = (Home(settings, name) for name in ("trained", "trained-again", "killed"))
    with ThreadPoolExecutor(3) as pool:
        training = pool.submit(_train, first, limit)
        again = pool.submit(_train, second, limit)
        resuming = pool.submit(_kill_and_resume, killed, limit)
        for name, future in (("train", training), ("train again", again), ("resume", resuming)):
            _report(report, name, future.result)
        for part in ("test", "train"):
            predicting = pool.submit(_predict_both, settings, first, part, limit)
            _report(report, f"predict {part}.csv", predicting.result)
    _report(report, "same seed again", lambda: compare_weights(first.model(), second.model()))
    _report(report, "resumed and not interrupted", lambda: compare_weights(first.model(), killed.model()))


def _report(report: Report, name: str, work: Any) -> None:
    try:
        report({"command": name, **work()})
    except Exception as error:  # noqa: BLE001 - one that fails should not hide the others
        report({"command": name, "error": f"{type(error).__name__}: {error}"[:2000]})


def _train(home: Home, limit: float) -> dict[str, Any]:
    began = time.monotonic()
    ended = json.loads(home.run(*home.train_arguments(), limit=limit).splitlines()[-1])
    return {"seconds": round(time.monotonic() - began, 1), **_outcome(ended)}


def _outcome(ended: dict[str, Any]) -> dict[str, Any]:
    names = ("status", "device", "precision", "hardware_reason", "train_seconds", "samples_per_second")
    found = {name: ended[name] for name in names if name in ended}
    return found | {"test_accuracy": (ended.get("test") or {}).get("accuracy")}


def _kill_and_resume(home: Home, limit: float) -> dict[str, Any]:
    run = json.loads(home.run(*home.train_arguments(), "--detach", limit=limit).splitlines()[-1])["run"]

    def is_due() -> bool:
        events = home.events()
        steps = max((event["step"] for event in events if event["type"] == "step"), default=0)
        total = max((event.get("total_steps", 0) for event in events), default=0)
        snapshots = [event for event in events if event["type"] == "snapshot"]
        return bool(snapshots) and steps >= KILL_SHARE * total > 0

    wait_until(is_due, limit, f"{KILL_SHARE:.0%} of the steps")
    # The worker first: it would start the lost training again by itself.
    killed = home.kill(WORKER) + home.kill(TRAINER)
    steps = max(event.get("step", 0) for event in home.events())
    ended = json.loads(home.run("resume", run, "--json", limit=limit).splitlines()[-1])
    starts = [event.get("step", 0) for event in home.events() if event["type"] == "started"]
    return {"killed": killed, "killed_at_step": steps, "went_on_from_steps": starts, **_outcome(ended)}


def _predict_both(settings: Settings, home: Home, part: str, limit: float) -> dict[str, Any]:
    """The same file on the card and on the processor, whose labels are those of float32."""
    source, answers, seconds = settings.rows("trec6", part), [], []
    for place, hidden in (("card", {}), ("processor", {"CUDA_VISIBLE_DEVICES": ""})):
        out = Path(settings.scratch) / f"{place}-{part}.csv"
        other = Home(settings, f"predict-{place}-{part}", **hidden)
        began = time.monotonic()
        other.run("predict", home.model(), source, "--text", "text", "--out", out, limit=limit)
        seconds.append(round(time.monotonic() - began, 1))
        answers.append(_read(out))
    pairs = list(zip(*answers, strict=True))
    return {
        "texts": len(pairs),
        "seconds_on_card": seconds[0],
        "seconds_on_processor": seconds[1],
        "labels_that_differ": sum(one[ANSWER] != other[ANSWER] for one, other in pairs),
        "largest_difference_of_confidence": max(
            abs(float(one["confidence"]) - float(other["confidence"])) for one, other in pairs
        ),
    }


def _read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def compare_weights(one: Path, other: Path) -> dict[str, Any]:
    """Whether two model folders hold the same weights, and by how much they differ at most."""
    from safetensors.numpy import load_file

    hashes = [sha256_of(folder / WEIGHTS)[:16] for folder in (one, other)]
    ours, theirs = (load_file(folder / WEIGHTS) for folder in (one, other))
    return {
        "equal": hashes[0] == hashes[1],
        "sha256": hashes,
        "largest_difference": max(float(abs(ours[name] - theirs[name]).max()) for name in ours),
    }
