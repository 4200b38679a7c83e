"""Which settings suit which data: the search behind the defaults.

    python -m tests.benchmarks.defaults [--data sst2 trec6 ...] [--rates ...] [--batches ...] [--epochs ...]

Trains the embedded model with every combination on every data set and seed, as the app does, and prints the
mean accuracy on the validation texts. Nothing is chosen by the test texts: `--test` adds their accuracy, for
settings that are already chosen. A data set is a folder of the shared data; `sst2:500` is its first 500
training texts. Results are kept line by line in `--out`, and what is there is not run again.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
SHARED = PROJECT.parent / "shared" / "data"
PARTS = {"train": "train", "validation": "dev", "test": "test"}


def main() -> None:
    """Run what is missing, two trainings at a time with a core each, and print the table."""
    options = _parser().parse_args()
    grid = itertools.product(options.data, options.rates, options.batches, options.epochs, options.seeds)
    jobs = [dict(zip(("data", "rate", "batch", "epochs", "seed"), values, strict=True)) for values in grid]
    done = _results(options.out)
    missing = [job for job in jobs if _key(job) not in done]
    with ThreadPoolExecutor(options.processes) as pool:
        for i, result in enumerate(pool.map(_in_a_process, missing), 1):
            with options.out.open("a", encoding="utf-8") as out:
                out.write(json.dumps(result) + "\n")
            print(f"{i} of {len(missing)}: {json.dumps(result)}", file=sys.stderr, flush=True)
    print(_table([_results(options.out)[_key(job)] for job in jobs], options.test))


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Train once. Returns the job with accuracy on both held-out parts (0 to 1) and seconds of training."""
    # Imported late: the parent process only starts others.
    from core.learning import hardware
    from core.learning.config import TrainingConfig
    from core.learning.training import train as training
    from core.learning.training.hooks import Hooks

    training.use_all_cores = lambda: hardware.torch.set_num_threads(1)
    config = TrainingConfig(
        learning_rate=job["rate"], batch_size=job["batch"], epochs=job["epochs"], seed=job["seed"]
    )
    with tempfile.TemporaryDirectory() as folder:
        outcome = training.train_classifier(
            _splits(job["data"]), config, Path(folder) / "model", Hooks(lambda _: None, lambda: False)
        )
    report = outcome.report
    return job | {
        "validation": report["validation"]["accuracy"],
        "test": report["test"]["accuracy"],
        "seconds": report["train_seconds"],
    }


def _splits(name: str) -> Any:
    import pandas as pd

    from core.data.labels import LabeledTexts
    from core.data.splits import Splits

    folder, _, rows = name.partition(":")
    frames = {}
    for part, file in PARTS.items():
        path = SHARED / folder / f"{file}.csv"
        frames[part] = pd.read_csv(path, dtype=str, keep_default_na=False) if path.is_file() else None
    if frames["validation"] is None:
        held_out = frames["train"].sample(frac=0.1, random_state=0)
        frames["train"], frames["validation"] = frames["train"].drop(held_out.index), held_out
    if frames["test"] is None:
        held_out = frames["train"].sample(frac=0.2, random_state=1)
        frames["train"], frames["test"] = frames["train"].drop(held_out.index), held_out
    if rows:
        frames["train"] = frames["train"].sample(frac=1, random_state=2).head(int(rows))
    label2id = {label: i for i, label in enumerate(sorted(set(frames["train"]["label"])))}
    return Splits(
        **{part: _labeled(frame, label2id, LabeledTexts) for part, frame in frames.items()}, how="as given"
    )


def _labeled(frame: Any, label2id: dict[str, int], kind: Any) -> Any:
    frame = frame[frame["label"].isin(label2id)]
    return kind(frame["text"].tolist(), [label2id[label] for label in frame["label"]], label2id)


def _in_a_process(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.defaults", "--job", json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _results(out: Path) -> dict[str, dict[str, Any]]:
    lines = out.read_text(encoding="utf-8").splitlines() if out.is_file() else []
    results = [json.loads(line) for line in lines]
    return {_key(result): result for result in results}


def _key(job: dict[str, Any]) -> str:
    return json.dumps([job[name] for name in ("data", "rate", "batch", "epochs", "seed")])


def _table(results: list[dict[str, Any]], test: bool) -> str:
    import pandas as pd

    frame = pd.DataFrame(results)
    part = "test" if test else "validation"
    frame[part] *= 100
    table = frame.pivot_table(
        index=["rate", "batch", "epochs"], columns="data", values=part, aggfunc="mean"
    ).round(1)
    header = f"| learning rate | batch | epochs | {' | '.join(f'{name} (%)' for name in table.columns)} |"
    rows = [
        f"| {rate:g} | {batch} | {epochs} | {' | '.join(f'{value:.1f}' for value in row)} |"
        for (rate, batch, epochs), row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join([header, "|" + "---|" * (3 + len(table.columns)), *rows])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.defaults", description=__doc__)
    parser.add_argument("--data", nargs="+", default=["sst2", "trec6", "banking77", "sst2:500"])
    parser.add_argument("--rates", nargs="+", type=float, default=[5e-5, 1e-4, 2e-4, 4e-4])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--epochs", nargs="+", type=int, default=[3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time")
    parser.add_argument("--out", type=Path, default=Path("defaults.jsonl"), help="where results are kept")
    parser.add_argument("--test", action="store_true", help="show the test texts' accuracy")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    _job = _parser().parse_args().job
    if _job:
        print(json.dumps(train(_job)))
    else:
        main()
