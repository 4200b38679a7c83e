"""Checks of a data set in every state, written into its folder for page tests and screenshots."""

from contextlib import ExitStack

import pandas as pd
from filelock import FileLock

from core.data.storage.datasets import PARTS, Dataset, load_splits
from core.learning.baselines.learning_curve import SHARES
from core.runs.jobs import job
from core.runs.jobs.job import Job
from core.runs.tasks import data_checks
from core.runs.tasks.data_checks import BASELINES, CURVE, TRAINED

LISTED = 40


def make_check(dataset: Dataset, kind: str, status: str, held: ExitStack, run_id: str = "") -> Job:
    """A check in this state: running, interrupted, stopped, failed or finished.

    `held` frees a running one.
    """
    found = data_checks.job_of(dataset, kind)
    found.folder.mkdir(parents=True, exist_ok=True)
    if status in ("running", "interrupted", "stopped"):
        job.say_progress(found, share=0.4, doing="Reading the texts with the embedded model")
    if status == "running":
        held.enter_context(FileLock(found.lock))
    if status == "stopped":
        found.stop_file.touch()
    if status == "failed":
        job.say_failed(
            found,
            "Expected two classes or more with at least two different texts each; found 0 of 3.",
            "Add texts: a classifier has to learn a class from one text and be tried on another.",
        )
    if status == "finished":
        if kind != CURVE:
            make_rows(dataset).to_parquet(data_checks.table_file(dataset, kind), index=False)
        findings = FINDINGS[kind](run_id)
        job.say_finished(found, {"sha256": dataset.sha256, "seconds": 12.5, "findings": findings})
    return found


def make_rows(dataset: Dataset) -> pd.DataFrame:
    """The first texts of each split as suspects; every second one is likely to have a wrong label."""
    splits, labels = load_splits(dataset.folder), list(dataset.label2id)
    rows = []
    for part in PARTS:
        texts = getattr(splits, part)
        for position, (text, number) in enumerate(zip(texts.texts, texts.labels, strict=True)):
            other = labels[(number + 1) % len(labels)]
            rows.append(
                [part, position, text, labels[number], other, 0.02 * len(rows), 0.9, len(rows) % 2 == 0]
            )
    names = [
        "split",
        "position",
        "text",
        "label",
        "suggested",
        "probability",
        "suggested_probability",
        "likely",
    ]
    return pd.DataFrame(rows[:LISTED], columns=names)


def baselines_found(run_id: str = "") -> dict:
    scores = {
        "tfidf": {"accuracy": 0.81, "macro_f1": 0.79},
        "embeddings": {"accuracy": 0.84, "macro_f1": 0.83},
        "average": {"accuracy": 0.88, "macro_f1": 0.87},
        "majority": {"accuracy": 0.4, "macro_f1": 0.19},
    }
    return {
        "texts": 60,
        "judged": 60,
        "unknown": 1,
        "folds": 5,
        "seconds": {"tfidf": 1.0, "embeddings": 2.0},
        "scores": {"all": scores, "validation": scores},
        "best": "average",
        "suspects": 20,
    }


def trained_found(run_id: str) -> dict:
    return {"run": run_id, "number": 1, "judged": 60, "suspects": 20}


def curve_found(run_id: str = "") -> dict:
    means = (0.62, 0.74, 0.81, 0.87)
    points = [
        {
            "share": share,
            "texts": round(48 * share),
            "macro_f1": mean,
            "scores": [mean - 0.04, mean - 0.01, mean + 0.02, mean + 0.03],
        }
        for share, mean in zip(SHARES, means, strict=True)
    ]
    verdict = "The second half of the texts added +6.0 points of macro F1. More texts would most likely help."
    return {"points": points, "gain": 0.04, "verdict": verdict}


FINDINGS = {BASELINES: baselines_found, TRAINED: trained_found, CURVE: curve_found}
