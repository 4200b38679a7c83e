"""Data sets and runs in every state, written into TEXTUNER_HOME for page tests and screenshots."""

import json
import math
import random
from contextlib import ExitStack
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pandas as pd
from filelock import FileLock

from core.base.json_files import write_json
from core.data.labels import LabeledTexts
from core.data.splits import SplitPlan, split_by_percent
from core.data.storage.datasets import Dataset, save_dataset
from core.data.storage.uploads import Upload
from core.learning.config import TrainingConfig
from core.learning.evaluation.calibration import Calibration, read_calibration, write_calibration
from core.learning.evaluation.full_report import judge
from core.runs.jobs import job
from core.runs.results import exports
from core.runs.results.models import Model
from core.runs.tasks import labellings
from core.runs.tasks.labellings import Labelling
from core.runs.training import states, stop_requests, store
from core.runs.training.events import EventLog
from core.runs.training.run import Run
from core.serving.file_labelling.plan import Plan

LABELS = ("complaint", "praise", "question")
STATUSES = ("queued", "running", "stopping", "finished", "stopped", "failed", "interrupted", "damaged")
STEPS = 60
TEMPERATURE = 1.4


def make_dataset(name: str = "Messages", labels: tuple[str, ...] = LABELS, per_class: int = 20) -> Dataset:
    texts = [f"{label} number {i}" for i in range(per_class) for label in labels]
    numbers = [i % len(labels) for i in range(len(texts))]
    labeled = LabeledTexts(texts, numbers, {label: i for i, label in enumerate(labels)})
    splits = split_by_percent(labeled, SplitPlan(20, 20))
    return save_dataset(name, splits, [], {"file": "made.csv", "text": ["text"], "label": "label"})


def make_run(
    status: str,
    dataset: Dataset,
    held: ExitStack,
    config: TrainingConfig | None = None,
    labels: tuple[str, ...] = LABELS,
    log: str = "",
    form: str = "whole",
    wording: str = "{split} text {i} about {label}",
) -> Run:
    """A run in this state. A lock that keeps it "running" is held until `held` is closed.

    Args:
        form: of what a finished run leaves: whole, old (as versions before intervals and probabilities left
            it) or collapsed (one label for all texts).
        wording: of the texts that it was judged on.
    """
    run = store.create_run(config or TrainingConfig(), dataset)
    if status == "queued":
        return run
    if status == "damaged":
        (run.folder / "config.json").write_text("{ torn")
        return store.find_run(run.id)
    steps = STEPS // 2 if status in ("running", "stopping", "failed", "interrupted") else STEPS
    with EventLog(run.folder / "events.jsonl") as events:
        for event in training_events(steps):
            events.append(event)
        for event in ENDINGS.get(status, []):
            events.append(event)
    (run.folder / "log.txt").write_text(log or "step 1\nstep 2\n")
    if status in ("running", "stopping"):
        held.enter_context(FileLock(run.folder / "run.lock"))
    if status == "stopping":
        stop_requests.ask_to_stop(run)
    if status in ("finished", "stopped"):
        write_result(run, labels, form=form, wording=wording)
    return run


ENDINGS = {
    "finished": [{"type": "finished"}],
    "stopped": [{"type": "stopped", "reason": "Stopped on request; the best weights so far are kept."}],
    "failed": [
        {
            "type": "failed",
            "reason": "Expected a finite loss; found nan at step 30.",
            "remedy": "Choose a smaller learning rate.",
        }
    ],
    "interrupted": [
        {"type": "interrupted", "reason": "The process was ended (SIGKILL).", "remedy": states.RESUME}
    ],
}


def make_labelling(status: str, run: Run, upload: Upload, held: ExitStack, **wishes: object) -> Labelling:
    """A labelling in this state: running, stopping, stopped, interrupted or failed; nothing works on it."""
    plan = Plan(str(upload.path), str(run.folder / "model"), ("text",), **wishes)
    with patch("core.runs.jobs.spawning.start_job", lambda *_: SimpleNamespace(wait=lambda: 0)):
        found = labellings.start(upload.name, plan)
    job.say_progress(found.job, done=18_432, rows=60_000, rate=912.0)
    if status in ("running", "stopping"):
        held.enter_context(FileLock(found.job.lock))
    if status in ("stopping", "stopped"):
        labellings.stop(found)
    if status == "failed":
        why = "Expected a file with the column 'text'; found the columns 'id'."
        job.say_failed(found.job, why, "Choose it.", resumable=False)
    return found


def training_events(steps: int) -> list[dict]:
    rng = random.Random(1)
    events: list[dict] = [
        {
            "type": "started",
            "device": "cpu",
            "precision": "bf16",
            "hardware_reason": "the processor has bf16 in hardware",
            "total_steps": STEPS,
            "steps_per_epoch": STEPS // 3,
            "epochs": 3,
            "train_texts": 320,
            "truncated": 4,
            "padding": 0.1,
        }
    ]
    for step in range(1, steps + 1):
        epoch = step * 3 / STEPS
        loss = 1.1 * math.exp(-step / 25) + rng.random() * 0.08
        events.append(
            {
                "type": "step",
                "step": step,
                "epoch": epoch,
                "loss": loss,
                "accuracy": 1 - loss / 2,
                "learning_rate": 1e-4,
                "samples_per_second": 84.0,
                "tokens_per_second": 1900.0,
                "seconds_left": (STEPS - step) * 1.3,
            }
        )
        if step % 10 == 0:
            share = 0.9 - 0.6 * math.exp(-step / 18)
            events.append(
                {
                    "type": "evaluated",
                    "step": step,
                    "epoch": epoch,
                    "loss": 1.1 * math.exp(-step / 30) + 0.1,
                    "accuracy": share,
                    "macro_f1": share - 0.03,
                    "best": True,
                }
            )
    return events


def write_result(
    run: Run,
    labels: tuple[str, ...] = LABELS,
    per_class: int = 30,
    form: str = "whole",
    wording: str = "{split} text {i} about {label}",
) -> None:
    """A model folder (its files are not weights), a report and predictions, made up but consistent."""
    (run.folder / "model").mkdir()
    id2label = {str(i): label for i, label in enumerate(labels)}
    (run.folder / "model" / "config.json").write_text(json.dumps({"id2label": id2label}))
    (run.folder / "model" / "model.safetensors").write_bytes(b"not weights")
    predictions = make_predictions(labels, per_class, form, wording, seed=run.number)
    report: dict = {split: make_scores(part, labels) for split, part in predictions.groupby("split")}
    report |= {
        "device": "cpu",
        "precision": "bf16",
        "hardware_reason": "the processor has bf16 in hardware",
        "train_seconds": 41.0,
        "total_seconds": 47.0,
        "samples_per_second": 84.0,
        "tokens_per_second": 1900.0,
    }
    if form == "old":
        predictions = predictions.drop(columns="probabilities")
        report |= {split: older(report[split]) for split in ("validation", "test")}
    else:
        write_calibration(run.folder / "model", Calibration(TEMPERATURE))
        collapse = {"label": labels[0], "share": 1.0} if form == "collapsed" else None
        fitted = {"temperature": TEMPERATURE, "fitted_on": "validation", "texts": per_class * len(labels)}
        report |= {"calibration": fitted | {"reason": None}, "collapsed": collapse}
    write_json(run.folder / "report.json", report)
    predictions.to_parquet(run.folder / "predictions.parquet", index=False)


def make_predictions(
    labels: tuple[str, ...], per_class: int, form: str = "whole", wording: str = "{label} {i}", seed: int = 0
) -> pd.DataFrame:
    rng = np.random.default_rng(3 + seed)
    rows = []
    for split in ("validation", "test"):
        for number, label in enumerate(labels):
            for i in range(per_class):
                wrong = rng.random() < 0.15
                given = (number + 1 + rng.integers(2)) % len(labels) if wrong else number
                probabilities = sure_of(0 if form == "collapsed" else given, len(labels), rng)
                text = wording.format(split=split, i=i, label=label)
                given = int(probabilities.argmax())
                rows.append([split, text, label, labels[given], probabilities.max(), probabilities])
    names = ["split", "text", "label", "predicted", "confidence", "probabilities"]
    return pd.DataFrame(rows, columns=names)


def sure_of(number: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """float32 [classes]: probabilities with this class as the most likely one."""
    logits = rng.normal(0, 0.6, classes)
    logits[number] = logits.max() + rng.uniform(0.2, 5)
    powers = np.exp(logits - logits.max())
    return (powers / powers.sum()).astype(np.float32)


def make_scores(answers: pd.DataFrame, labels: tuple[str, ...]) -> dict:
    probabilities = np.stack(answers["probabilities"].to_list()).astype(float)
    truth = answers["label"].map(list(labels).index).to_numpy()
    return judge(probabilities, truth, list(labels), TEMPERATURE)


def older(scores: dict) -> dict:
    """The scores as versions wrote them before intervals and calibration were known."""
    kept = ("texts", "accuracy", "macro_f1", "loss", "majority_accuracy", "per_class", "confusion")
    return {name: scores[name] for name in kept}


def make_exports(model: Model, lacking: tuple[str, ...] = ()) -> None:
    """What the Export page keeps of a model (its files are none), without the forms that are lacking."""
    folder = model.place / exports.FOLDER / exports.mark_of(model)
    folder.mkdir(parents=True)
    for number, form in enumerate(exports.MADE, 1):
        (folder / exports.FILES[form]).write_bytes(bytes(1_000_000 * number))
    parities = {
        exports.ONNX: {"texts": 515, "labels_equal": 515, "largest_difference": 3.1e-6},
        exports.ONNX_INT8: {
            "texts": 1836,
            "labels_equal": 1820,
            "largest_difference": 0.0731,
            "accuracy_torch": 0.8896,
            "accuracy_onnx": 0.8861,
        },
    }
    reason = [
        "ort.wasm.bundle.min.mjs from https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/",
        "no answer (<urlopen error [Errno -3] Temporary failure in name resolution>)",
        "Try again with a network, or set TEXTUNER_ONNXRUNTIME_WEB to the dist folder of the npm package "
        "onnxruntime-web 1.30.0. Everything else can still be exported.",
    ]
    note = {
        "parities": {form: facts for form, facts in parities.items() if form not in lacking},
        "lacking": dict.fromkeys(lacking, reason),
        "measured": 1821,
        "calibration": str(read_calibration(model.folder)),
    }
    (folder / exports.NOTE).write_text(json.dumps(note))
