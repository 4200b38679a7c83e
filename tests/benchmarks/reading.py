"""How fast a large table is read, beside pandas, and how long all takes until it is split.

python -m tests.benchmarks.reading [--rows 1000000] [--rounds 3]

Writes a clean CSV file (id, text, label; about 150 MB for a million rows) into a temporary folder. The
readers take turns, each time in a process of its own; the figures are medians. Then one process reads the
file, looks at its columns, finds what is wrong with it, and splits it. Peak memory is that of the whole
process.
"""

import argparse
import csv
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from core.data.labels import ColumnMapping, label_texts
from core.data.quality.checks import find_problems, profile_columns
from core.data.reading.files import read_table
from core.data.splits import SplitPlan, split_by_percent
from core.data.tables import Limits
from tests.benchmarks.workload import PROJECT

LIMITS = Limits(bytes=2 * 1024**3, rows=10_000_000)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CLASSES = 8
Result = TypeVar("Result")


def write_table(path: Path, rows: int) -> None:
    """A clean file: a third of the texts hold commas and one in seven marks, so that they are quoted."""
    source = random.Random(0)
    words = ["".join(source.choices(LETTERS, k=source.randint(2, 9))) for _ in range(20_000)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        for i in range(rows):
            text = " ".join(source.choices(words, k=source.randint(10, 32)))
            text = text.replace(" ", ", ", 1) if i % 3 == 0 else text
            writer.writerow([i, f'{text} "so"' if i % 7 == 0 else text, f"class {i % CLASSES}"])


def read_with_pandas(path: Path) -> dict[str, float]:
    import pandas as pd

    return {"read": seconds_of(lambda: pd.read_csv(path, dtype=str, keep_default_na=False))}


def read(path: Path) -> dict[str, float]:
    return {"read": seconds_of(lambda: read_table(path, LIMITS))}


def prepare(path: Path) -> dict[str, float]:
    """All that happens to a file until it can be trained on, step by step."""
    seconds: dict[str, float] = {}
    table = timed(seconds, "read", lambda: read_table(path, LIMITS))
    timed(seconds, "profile", lambda: profile_columns(table))
    labeled, rejected = timed(seconds, "label", lambda: label_texts(table, ColumnMapping(("text",), "label")))
    timed(seconds, "find problems", lambda: find_problems(labeled, table.rejected + rejected))
    timed(seconds, "split", lambda: split_by_percent(labeled, SplitPlan()))
    return seconds


JOBS = {"pandas": read_with_pandas, "read_table": read, "prepare": prepare}


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def timed(seconds: dict[str, float], name: str, work: Callable[[], Result]) -> Result:
    start = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - start
    return result


def in_own_process(job: str, path: Path) -> dict[str, Any]:
    """`seconds` by step, `processor` time in seconds, and `peak` memory of the process in MB."""
    command = [sys.executable, "-m", "tests.benchmarks.reading", "--job", job, "--file", str(path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def compare(path: Path, rounds: int) -> None:
    times: dict[str, list[float]] = {"pandas": [], "read_table": []}
    peaks: dict[str, list[float]] = {name: [] for name in times}
    for _ in range(rounds):
        for name in times:
            answer = in_own_process(name, path)
            times[name].append(answer["seconds"]["read"])
            peaks[name].append(answer["peak"])
    ratios = [ours / theirs for ours, theirs in zip(times["read_table"], times["pandas"], strict=True)]
    print("| reader | seconds | peak memory (MB) |\n| --- | ---: | ---: |")
    for name in times:
        print(f"| {name} | {statistics.median(times[name]):.2f} | {statistics.median(peaks[name]):,.0f} |")
    print(f"\nread_table takes {statistics.median(ratios):.2f} times as long as pandas.\n")


def tell_steps(path: Path) -> None:
    answer = in_own_process("prepare", path)
    print("| step | seconds |\n| --- | ---: |")
    for name, seconds in answer["seconds"].items():
        print(f"| {name} | {seconds:.1f} |")
    print(f"| all | {sum(answer['seconds'].values()):.1f} |\n")
    print(f"Processor time {answer['processor']:.1f} s, peak memory {answer['peak']:,.0f} MB.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        seconds = JOBS[options.job](options.file)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "processor": time.process_time(), "peak": peak}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, options.rows)
        print(f"{options.rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB\n")
        compare(path, options.rounds)
        tell_steps(path)


if __name__ == "__main__":
    main()
