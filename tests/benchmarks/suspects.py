"""How many wrong labels are found: python -m tests.benchmarks.suspects [--seeds N …] [--train N …].

Flips a share of the labels of a file by a seed, each to another class at random, and counts how many of the
flips stand in the first tenth of the list of suspects: by TF-IDF alone, by frozen embeddings alone, by both,
and by both together with a model that was trained on the flipped labels as the Train page would. The seconds
are those of both baselines with five folds; `core_seconds`, of all cores together, say the same on a machine
that others use, too.

With --cleanlab, what the library of that name finds in the same probabilities; it is no dependency of this
project, so install it first.
"""

import argparse
import csv
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import core.learning  # noqa: F401 - its settings come before torch
from core.data.labels import LabeledTexts
from core.data.splits import SplitPlan, split_by_percent
from core.learning.baselines import baselines
from core.learning.baselines.baselines import AVERAGE, Baselines
from core.learning.hardware import keep_freed_memory, use_all_cores
from core.learning.label_errors import detection, trained_model
from core.learning.suggestions import suggest
from core.learning.training.hooks import Hooks
from core.learning.training.train import train_classifier

PROJECT = Path(__file__).resolve().parents[2]
ROTTEN_TOMATOES = PROJECT.parent / "shared" / "data" / "rotten_tomatoes" / "train.csv"
FIRST = 0.1
"""Share of the list that a person looks through."""


def main() -> None:
    options = parse()
    use_all_cores()
    keep_freed_memory()
    texts, true, names = read(options.data)
    rows = []
    for seed in options.seeds:
        rows.append(measure(texts, true, names, seed, options))
        print(json.dumps(rows[-1]), flush=True)
    print(table(rows))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROTTEN_TOMATOES, metavar="FILE.csv")
    parser.add_argument("--share", type=float, default=0.05, help="of the labels that are flipped")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--train", type=int, nargs="*", default=[], metavar="SEED", help="train with these seeds"
    )
    parser.add_argument("--epochs", type=int, help="of the training; without it, as suggested")
    parser.add_argument("--cleanlab", action="store_true")
    return parser.parse_args()


def read(file: Path) -> tuple[list[str], np.ndarray, list[str]]:
    """Texts, class numbers and class names of a file with the columns text and label."""
    csv.field_size_limit(2**31 - 1)
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    names = sorted({row["label"] for row in rows})
    return [row["text"] for row in rows], np.array([names.index(row["label"]) for row in rows]), names


def flip(true: np.ndarray, classes: int, share: float, seed: int) -> np.ndarray:
    """The labels, a share of them each exchanged for another class."""
    generator = np.random.default_rng(seed)
    labels = true.copy()
    chosen = generator.choice(len(true), round(share * len(true)), replace=False)
    labels[chosen] = (labels[chosen] + generator.integers(1, classes, len(chosen))) % classes
    return labels


def measure(
    texts: list[str], true: np.ndarray, names: list[str], seed: int, options: argparse.Namespace
) -> dict[str, float]:
    """Seconds and shares found, with one seed."""
    labels = flip(true, len(names), options.share, seed)
    wrong = labels != true
    began, worked = time.perf_counter(), time.process_time()
    found = baselines.cross_validate(texts, labels.tolist(), len(names))
    row: dict[str, float] = {"seed": seed, "seconds": time.perf_counter() - began}
    row["core_seconds"] = time.process_time() - worked
    row |= {name: share_found(answers, labels, wrong) for name, answers in found.probabilities.items()}
    ranked = detection.rank(found.probabilities[AVERAGE], labels, found.known)
    row |= {"likely": int(ranked.likely.sum()), "likely_right": float(wrong[ranked.likely].mean())}
    if options.cleanlab:
        row |= by_cleanlab(found, labels, wrong)
    if seed in options.train:
        row |= train(texts, labels, names, found, wrong, options.epochs)
    return row


def share_found(answers: np.ndarray, labels: np.ndarray, wrong: np.ndarray) -> float:
    """Of the wrong labels, the share in the first tenth of the list."""
    ranked = detection.rank(answers, labels, np.full(len(labels), True))
    return in_first(ranked.order, wrong)


def in_first(order: np.ndarray, wrong: np.ndarray) -> float:
    return float(wrong[order[: round(FIRST * len(wrong))]].sum() / wrong.sum())


def by_cleanlab(found: Baselines, labels: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """What cleanlab's rankings find in the same probabilities."""
    from cleanlab.rank import get_label_quality_scores

    row = {}
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        scores = get_label_quality_scores(labels, found.probabilities[AVERAGE], method=method)
        row[f"cleanlab_{method}"] = in_first(np.argsort(scores, kind="stable"), wrong)
    adjusted = get_label_quality_scores(labels, found.probabilities[AVERAGE], adjust_pred_probs=True)
    return row | {"cleanlab_adjusted": in_first(np.argsort(adjusted, kind="stable"), wrong)}


def train(
    texts: list[str],
    labels: np.ndarray,
    names: list[str],
    found: Baselines,
    wrong: np.ndarray,
    epochs: int | None,
) -> dict[str, float]:
    """What is found after a training on the flipped labels, with the split and the settings of the pages."""
    labeled = LabeledTexts(texts, labels.tolist(), {name: number for number, name in enumerate(names)})
    splits = split_by_percent(labeled, SplitPlan())
    config = suggest("bundled", len(splits.train), len(names))
    config = replace(config, epochs=epochs or config.epochs)
    held = {*splits.validation.texts, *splits.test.texts}
    held_out = np.array([text in held for text in texts])
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        train_classifier(splits, config, Path(folder), Hooks(lambda event: None, lambda: False))
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        model = trained_model.ask(Path(folder), texts, names, lambda share: None)
    combined = trained_model.combine(found.probabilities[AVERAGE], model, labels, held_out)
    held_baseline = share_found(found.probabilities[AVERAGE][held_out], labels[held_out], wrong[held_out])
    return {
        "train_seconds": seconds,
        "ask_seconds": time.perf_counter() - began,
        "model_alone": share_found(model, labels, wrong),
        "trained": share_found(combined, labels, wrong),
        "held_out_baselines": held_baseline,
        "held_out_model": share_found(model[held_out], labels[held_out], wrong[held_out]),
        "held_out_trained": share_found(combined[held_out], labels[held_out], wrong[held_out]),
    }


def table(rows: Sequence[dict[str, float]]) -> str:
    """A row per seed and one of their means, as Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    means = {name: statistics.mean(row[name] for row in rows if name in row) for name in names} | {
        "seed": "mean"
    }
    lines = [f"| {' | '.join(names)} |", f"|{' ---: |' * len(names)}"]
    lines += [f"| {' | '.join(_cell(row.get(name, '')) for name in names)} |" for row in [*rows, means]]
    return "\n".join(lines)


def _cell(value: float | str) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
