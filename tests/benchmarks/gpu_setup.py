"""What the sections of `tests.benchmarks.gpu` share: their settings, their models and rows, their results."""

import csv
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.workload import Job

Report = Callable[[dict[str, Any]], None]

MODELS = ("minilm", "base")

QUICK_SHAPES: dict[str, dict[str, int]] = {
    "minilm": {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2},
    "base": {"num_hidden_layers": 3, "hidden_size": 96, "intermediate_size": 192, "num_attention_heads": 3},
}
"""Stand-ins for both models in a quick trial."""

QUICK_FACTOR = 4
"""A quick trial, on two cores, may take so many times the limits."""

NOMINAL_TFLOPS = 989.0
"""bf16 products of an H100 SXM, without sparsity, as its data sheet has it."""

ENDLESS = 10_000
"""Epochs: more than any measurement by blocks will see."""


@dataclass(frozen=True)
class Settings:
    """What all sections know; travels as JSON."""

    device: str
    """cuda, or cpu to try everything out without a card."""
    quick: bool
    """Tiny models and few rows: nothing of what is measured means anything."""
    data: str
    """Folder of sst2/ and trec6/, each with train.csv and test.csv."""
    out: str
    """File of the results, one JSON object a line."""
    scratch: str
    """Folder for everything else; see `prepare`."""
    seconds: float
    """Least length of a block."""
    rounds: int
    at_once: int
    """Trainings side by side where nothing is timed."""

    def model(self, name: str) -> Path:
        """The folder of minilm or base."""
        return Path(self.scratch) / "models" / name

    def rows(self, data_set: str, part: str = "train") -> Path:
        """A CSV with the columns text and label."""
        return Path(self.scratch) / "data" / data_set / f"{part}.csv"

    def environment(self, **more: str) -> dict[str, str]:
        """For processes that measure."""
        found = {**os.environ, "HF_HUB_OFFLINE": "1"}
        # Each compiling process would start one more for every core.
        found |= {"TORCHINDUCTOR_COMPILE_THREADS": "4", "TEXTUNER_MODELS": str(Path(self.scratch) / "models")}
        if self.device == "cpu":
            found["CUDA_VISIBLE_DEVICES"] = ""
        return found | more

    def job(self, stack: str, model: str, batch: int, **more: Any) -> Job:
        """A training on SST-2 that has no end."""
        values: dict[str, Any] = {
            "data": str(self.rows("many")),
            "model": str(self.model(model)),
            "device": self.device,
            "precision": "auto",
            "max_length": 128,
            "learning_rate": 1e-4,
            "warmup": 0.0,
            "epochs": ENDLESS,
            "seed": 1,
            "whole": False,
        }
        return Job(stack=stack, batch=batch, **(values | more))


class Results:
    """The writing end of the file of results: each line is there as soon as it is known."""

    def __init__(self, file: Path, section: str) -> None:
        self._file = file
        self._section = section
        self._lock = threading.Lock()

    def report(self, result: dict[str, Any]) -> None:
        """Print one result, and add it to the file."""
        line = json.dumps({"section": self._section, **result, "time": round(time.time(), 2)}, default=str)
        with self._lock:
            print(line, flush=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())


def read_results(file: Path) -> list[dict[str, Any]]:
    """All whole lines of a file of results."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def prepare(settings: Settings, model: Path) -> None:
    """Write models/minilm, models/base, data/sst2, data/trec6 and data/many into the scratch folder.

    `many` is SST-2 several times over: an epoch of large batches would last half a second, and what is done
    once per epoch would count too much.
    """
    from tests.benchmarks.workload import write_base_model

    if settings.quick:
        for name, shape in QUICK_SHAPES.items():
            write_base_model(settings.model(name), model, **shape)
    else:
        shutil.copytree(model, settings.model("minilm"))
        write_base_model(settings.model("base"), model)
    for name in ("sst2", "trec6"):
        for part in ("train", "test"):
            rows = _read(Path(settings.data) / name / f"{part}.csv")
            write_rows(settings.rows(name, part), rows[:240] if settings.quick else rows)
    write_rows(settings.rows("many"), _read(settings.rows("sst2")) * (1 if settings.quick else 8))


def write_rows(file: Path, rows: Sequence[tuple[str, str]]) -> None:
    """A CSV with the columns text and label."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([("text", "label"), *rows])


def _read(file: Path) -> list[tuple[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [(row["text"], row["label"]) for row in csv.DictReader(lines)]


def matrix_parameters(folder: Path) -> int:
    """Numbers in the encoder's matrices: per layer four of hidden × hidden, two of hidden × intermediate."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    return config["num_hidden_layers"] * (4 * hidden * hidden + 2 * hidden * wide)


def measured_tflops(out: Path) -> float | None:
    """What the section `facts` measured last on this card; None when it has not."""
    found = [row["bf16_tflops"] for row in read_results(out) if row.get("bf16_tflops")]
    return found[-1] if found else None


def to_json(settings: Settings) -> str:
    """Settings as they travel."""
    return json.dumps(asdict(settings))
