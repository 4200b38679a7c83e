"""Forecasts beside what trainings take: python -m tests.benchmarks.forecast [--only WORD] [--repeat N].

For each case the forecast is measured by the process that the app uses, then the training runs as the app
runs it, and time and memory are set beside each other. On a quiet machine both should be within 25 %.
"""

import argparse
import csv
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.labels import LabeledTexts
from core.data.splits import SplitPlan, split_by_percent
from core.data.storage.datasets import Dataset, delete_dataset, save_dataset
from core.learning.config import TrainingConfig
from core.learning.forecasting.estimate import Forecast
from core.runs.results import outputs
from core.runs.tasks import forecasts
from core.runs.training import queue, run_events, states, store
from core.runs.training.run import Run
from tests.benchmarks.workload import PROJECT

DATA = PROJECT.parent / "shared" / "data"
WITHIN = 0.25


@dataclass(frozen=True)
class Case:
    """A data set, how much of it, and the settings that cost time and memory."""

    data: str
    rows: int
    batch_size: int
    max_length: int
    epochs: int
    precision: str = "auto"

    @property
    def name(self) -> str:
        """As in the table, and for --only."""
        return (
            f"{self.data}-{self.rows} b{self.batch_size} l{self.max_length} e{self.epochs} {self.precision}"
        )


CASES = (
    Case("trec6", 5452, 16, 128, 1),
    Case("trec6", 5452, 64, 64, 2),
    Case("trec6", 1000, 2, 128, 1, "fp32"),
    Case("sst2", 2000, 16, 128, 2),
    Case("sst2", 2000, 64, 64, 2),
    Case("sms_spam", 2000, 16, 64, 2),
    Case("sms_spam", 2000, 64, 128, 2),
    Case("movie_reviews", 300, 16, 128, 2),
    Case("movie_reviews", 300, 16, 256, 1),
    Case("movie_reviews", 300, 64, 256, 1),
)


def main() -> None:
    """Run the cases that the command line asks for, and print a table."""
    options = _parser().parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as home:
        os.environ["TEXTUNER_HOME"] = home
        for _ in range(options.repeat):
            for case in CASES:
                if options.only in case.name and (DATA / case.data).is_dir():
                    rows.append(run(case))
                    print(json.dumps(rows[-1]) if options.json else _row(rows[-1]), flush=True)
    if not rows:
        print(f"no case of this name, or no data in {DATA}", file=sys.stderr)
    elif not options.json:
        good = sum(abs(row[name]) <= WITHIN for row in rows for name in ("time_off", "memory_off"))
        print(f"{good} of {2 * len(rows)} within {WITHIN:.0%}")


def run(case: Case) -> dict[str, Any]:
    """Forecast, train, compare."""
    dataset = load(case)
    config = TrainingConfig(
        epochs=case.epochs,
        batch_size=case.batch_size,
        max_length=case.max_length,
        precision=case.precision,
    )
    began = time.perf_counter()
    found = forecasts.wait(dataset, config)
    took = time.perf_counter() - began
    training = queue.submit(config, dataset)
    while states.state(training).live:
        time.sleep(0.2)
    report = outputs.report_of(training)
    parts = real_parts(training, report)
    store.delete_run(training.id)
    delete_dataset(dataset.id)
    return compare(case, found, report, parts, took)


def real_parts(training: Run, report: dict[str, Any]) -> dict[str, float]:
    """What can be told apart of what the training took, by the names of the forecast's parts."""
    events = run_events.events_of(training)
    snapshots = sum(event["seconds"] for event in events if event["type"] == "snapshot")
    return {"steps": report["train_seconds"], "snapshots": snapshots}


def compare(
    case: Case, found: Forecast, report: dict[str, Any], parts: dict[str, float], took: float
) -> dict[str, Any]:
    """One row: forecast, real, and how far the real was from the forecast, as a share of the forecast."""
    return {
        "case": case.name,
        "forecast_took": took,
        "quiet": found.quiet,
        "seconds": found.seconds,
        "real_seconds": report["total_seconds"],
        "time_off": report["total_seconds"] / found.seconds - 1,
        "bytes": found.memory_bytes,
        "real_bytes": report["peak_memory_bytes"],
        "memory_off": report["peak_memory_bytes"] / found.memory_bytes - 1,
        "parts": found.parts,
        "real_parts": parts,
    }


def load(case: Case) -> Dataset:
    """Some rows of a real data set, saved as one of the app's."""
    with (DATA / case.data / "train.csv").open(encoding="utf-8", newline="") as file:
        pairs = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    random.Random(0).shuffle(pairs)
    pairs = pairs[: case.rows]
    label2id = {label: i for i, label in enumerate(sorted({label for _, label in pairs}))}
    labeled = LabeledTexts([text for text, _ in pairs], [label2id[label] for _, label in pairs], label2id)
    return save_dataset(case.name, split_by_percent(labeled, SplitPlan()), [], {"file": case.data})


def _row(row: dict[str, Any]) -> str:
    parts = " ".join(
        f"{name} {seconds:.1f}" + (f"/{row['real_parts'][name]:.1f}" if name in row["real_parts"] else "")
        for name, seconds in row["parts"].items()
    )
    return (
        f"{row['case']:<36} {'quiet' if row['quiet'] else 'busy ':<5} in {row['forecast_took']:4.1f} s: "
        f"{row['seconds']:6.1f} s, took {row['real_seconds']:6.1f} s ({row['time_off']:+.0%}); "
        f"{row['bytes'] / 1e6:5.0f} MB, used {row['real_bytes'] / 1e6:5.0f} MB ({row['memory_off']:+.0%}) "
        f"[{parts}]"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.forecast",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--repeat", type=int, default=1, help="how often each case is measured")
    parser.add_argument("--folder", type=Path, help="where to keep runs meanwhile (default: temporary)")
    parser.add_argument("--json", action="store_true", help="one JSON object per case")
    return parser


if __name__ == "__main__":
    main()
