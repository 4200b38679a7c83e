"""How fast training is, beside what others train with, on the same rows and the same weights.

    python -m tests.benchmarks.train [--data FILE.csv] [--model minilm|base] [--json]
    python -m tests.benchmarks.train --accuracy 2 --seeds 1 2 3

The stacks: `tutorial-N`, the usual tutorial's loop (all texts padded to the longest, float32, torch's AdamW)
in batches of 2 and of the given size; `trainer`, transformers' Trainer as it comes; `trainer-best`, the same
with batches grouped by length and bfloat16; `engine`, this project's, and `engine-free` at a larger batch.
Each is a process of its own in the middle of one training, on the processor alone, or with `--device cuda` on
the GPU (then the peak is of the GPU's memory, and there is no limit to compare with). They work in turn, a
few seconds each, round after round, so that whatever else the machine does hits all alike.

How to read the table: texts/s and tokens/s are medians over the rounds; special tokens count, padding does
not. A ratio (`× trainer`) is the median of the ratios of texts/s within each round, and says more than two
medians. The share of the limit is that of tokens/s in the tokens/s of the encoder's matrix products alone
(`limit.py`), measured in the same rounds; the second share grants that the last layer is needed for the first
token only.

`--accuracy` trains each stack in full instead, once per seed, and scores test.csv beside the training rows
with the last weights in float32.

The Trainer needs what requirements.txt in this folder lists; without it its two stacks are left out.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.children import Child
from tests.benchmarks.report import LIMIT, Rounds, accuracy_table, speed_table, summarise
from tests.benchmarks.workload import PROJECT, SST2, Job, test_file

ENDLESS = 10_000
"""Epochs: more than any measurement by blocks will see."""


def main() -> None:
    """Measure what the command line asks for, and print it."""
    # Before anything of the engine is imported, which changes the environment.
    options = _parser().parse_args()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if options.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    data = Path(options.data or (SST2 if SST2.is_file() else _sample())).resolve()
    with tempfile.TemporaryDirectory() as folder:
        model = _model_folder(options.model, Path(folder))
        jobs = _jobs(options, data, model)
        facts = _facts(options, data)
        if options.accuracy:
            found = facts | {"results": _accuracies(jobs, options.seeds, environment)}
            table = accuracy_table(found["results"])
        else:
            found = facts | _speeds(jobs, options, environment)
            table = speed_table(found)
    print(json.dumps(found, indent=1) if options.json else f"{_words(facts)}\n\n{table}")


def _speeds(jobs: list[Job], options: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, Any]:
    with ExitStack() as cleanup:
        children = []
        for job in jobs:
            _say(f"loading {job.stack}")
            child = Child(job, environment)
            cleanup.callback(child.close)
            child.answer()
            child.pause()
            children.append(child)
        rounds: Rounds = []
        for i in range(options.blocks):
            _say(f"round {i + 1} of {options.blocks}")
            # Each begins once: who works right after whom, and when in a round, should not matter.
            turn = i % len(children)
            order = children[turn:] + children[:turn]
            rounds.append({child.job.stack: child.work(options.seconds) for child in order})
        peaks = {child.job.stack: child.end()["peak_mib"] for child in children}
    return summarise(jobs, rounds, peaks)


def _accuracies(jobs: list[Job], seeds: list[int], environment: Mapping[str, str]) -> list[dict[str, Any]]:
    results = []
    for seed in seeds:
        for job in jobs:
            child = Child(replace(job, seed=seed), environment)
            try:
                result = {"stack": job.stack, "batch": job.batch, "seed": seed, **child.answer()}
            finally:
                child.close()
            _say(f"{job.stack}, seed {seed}: {result['accuracy']:.2%} in {result['seconds']:.1f} s")
            results.append(result)
    return results


def _jobs(options: argparse.Namespace, data: Path, model: Path) -> list[Job]:
    base = Job(
        stack="",
        data=str(data),
        model=str(model),
        batch=options.batch,
        device=options.device,
        precision=options.precision,
        max_length=options.max_length,
        learning_rate=options.learning_rate,
        warmup=0.1 if options.accuracy else 0.0,
        epochs=options.accuracy or ENDLESS,
        seed=1,
        whole=bool(options.accuracy),
    )
    if options.accuracy and not test_file(data).is_file():
        raise SystemExit(f"--accuracy needs a test.csv beside {data.name}, and there is none.")
    batches = {"tutorial-2": 2, f"tutorial-{options.batch}": options.batch, "trainer": options.batch}
    batches |= {"trainer-best": options.batch, "engine": options.batch, "engine-free": options.free_batch}
    unknown = set(options.stacks or ()) - set(batches)
    if unknown:
        raise SystemExit(f"--stacks knows {', '.join(batches)}; not {', '.join(sorted(unknown))}.")
    jobs = [
        replace(base, stack=stack, batch=batch)
        for stack, batch in batches.items()
        if stack in (options.stacks or batches) and _installed(stack)
    ]
    engines = tuple(job.batch for job in jobs if job.stack.startswith("engine"))
    if engines and options.device == "cpu" and not options.accuracy:
        jobs.append(replace(base, stack=LIMIT, limit_batches=engines))
    return jobs


def _installed(stack: str) -> bool:
    missing = stack.startswith("trainer") and importlib.util.find_spec("accelerate") is None
    if missing:
        _say(f"{stack} is left out: transformers' Trainer needs the package accelerate")
    return not missing


def _model_folder(name: str, folder: Path) -> Path:
    from core.learning import pretrained

    bundled = pretrained.resolve("bundled")
    if name == "minilm":
        return bundled
    # In a process of its own: this one stays small, since a child begins with its parent's peak memory.
    command = [sys.executable, "-m", "tests.benchmarks.workload", str(folder), str(bundled)]
    subprocess.run(command, cwd=PROJECT, check=True, stderr=subprocess.DEVNULL)
    return folder


def _sample() -> Path:
    from core.data.storage.sample import SAMPLE

    return SAMPLE


def _facts(options: argparse.Namespace, data: Path) -> dict[str, Any]:
    return {
        "data": f"{data.parent.name}/{data.name}",
        "model": options.model,
        "device": options.device,
        "precision": options.precision,
        "max_length": options.max_length,
        "learning_rate": options.learning_rate,
        "epochs": options.accuracy,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _words(facts: dict[str, Any]) -> str:
    training = f"{facts['epochs']} epochs, " if facts["epochs"] else ""
    return (
        f"{facts['data']}, {facts['model']}, {training}precision {facts['precision']}; {facts['processor']}, "
        f"{facts['cores']} cores; torch {facts['torch']}, transformers {facts['transformers']}"
    )


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", help="CSV with the columns text and label (default: SST-2 if at hand)")
    parser.add_argument(
        "--model", choices=("minilm", "base"), default="minilm", help="base has random weights"
    )
    parser.add_argument("--batch", type=int, default=16, help="texts per step (default: 16)")
    parser.add_argument("--free-batch", type=int, default=64, help="of engine-free (default: 64)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: all on the GPU")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    parser.add_argument("--max-length", type=int, default=128, help="tokens per text (default: 128)")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--blocks", type=int, default=8, help="rounds (default: 8)")
    parser.add_argument("--seconds", type=float, default=4.0, help="least length of a block (default: 4)")
    parser.add_argument("--accuracy", type=int, metavar="EPOCHS", help="train in full and score test.csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="with --accuracy")
    parser.add_argument("--stacks", nargs="+", help="only these (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    main()
