"""One check of a data set, in a process of its own. See `data_checks` for what it leaves.

Checks wait for one another, and work at low priority: a training beside them keeps its speed.
"""

from __future__ import annotations

import logging
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base import locks
from core.base.disk import whole_file
from core.base.errors import UserError
from core.base.formatting import shorten
from core.base.home import home
from core.base.memory import shortage_is_said
from core.data.storage.datasets import PARTS, Dataset, find_dataset, load_splits
from core.runs.jobs import job
from core.runs.jobs.job import Job
from core.runs.jobs.process import lower_priority
from core.runs.results import outputs
from core.runs.tasks import data_checks
from core.runs.tasks.data_checks import BASELINES, CURVE, TASK, TRAINED
from core.runs.training import store
from core.runs.training.run import Run, own_dataset

if TYPE_CHECKING:
    import numpy as np

    from core.learning.label_errors.detection import Suspects

__all__ = ["TASK", "work"]

log = logging.getLogger("textuner")

LISTED = 2_000
"""Suspects that are kept with their texts."""

READ_CHARACTERS = 2_000
"""Of each of these texts: as much as tells its label. A browser gets hundreds of them at once."""

SAY_SECONDS = 0.5
"""Time between two writings of the progress."""

LOCK = "studies.lock"
"""In the home folder: held by the one check at work."""

Report = Callable[[float, str], None]


def work(found: Job) -> dict[str, Any]:
    """Do the check, once no other one is at work."""
    dataset, kind = find_dataset(found.folder.parent.parent.name), found.folder.name
    job.say_progress(found, share=0.0, doing="Waiting for another check to end")
    # One at a time: each takes all cores, and a good part of the memory.
    with locks.hold(home() / LOCK):
        began = time.monotonic()
        job.say_progress(found, share=0.0, doing="Loading")
        _be_modest()
        findings = _CHECKS[kind](dataset, _reporter(found), found.request().get("run"))
    return {"sha256": dataset.sha256, "seconds": time.monotonic() - began, "findings": findings}


def _be_modest() -> None:
    """Leave the processor to others who want it; the check uses what they leave."""
    from core.learning.hardware import keep_freed_memory, use_all_cores

    lower_priority()
    use_all_cores()
    keep_freed_memory()


def _reporter(found: Job) -> Report:
    said = -SAY_SECONDS

    def report(share: float, doing: str) -> None:
        nonlocal said
        if time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            job.say_progress(found, share=share, doing=doing)

    return report


@dataclass(frozen=True)
class _Rows:
    """All texts of a data set, one split behind the other."""

    texts: list[str]
    labels: list[int]
    splits: np.ndarray
    positions: np.ndarray
    """In the split, from 0."""

    @staticmethod
    def of(dataset: Dataset) -> _Rows:
        import numpy as np

        with shortage_is_said("reading the data set"):
            splits = load_splits(dataset.folder)
        parts = [getattr(splits, name) for name in PARTS]
        return _Rows(
            [text for part in parts for text in part.texts],
            [label for part in parts for label in part.labels],
            np.repeat(PARTS, [len(part) for part in parts]),
            np.concatenate([np.arange(len(part)) for part in parts]),
        )


def _find_baselines(dataset: Dataset, report: Report, run_id: str | None) -> dict[str, Any]:
    """What simple classifiers reach, and which labels they doubt."""
    import numpy as np

    from core.learning.baselines import baselines
    from core.learning.label_errors import detection

    rows = _Rows.of(dataset)
    with shortage_is_said("the baselines"):
        found = baselines.cross_validate(rows.texts, rows.labels, len(dataset.label2id), report)
    answers = found.probabilities[baselines.AVERAGE]
    ranked = detection.rank(answers, found.labels, found.known)
    with whole_file(data_checks.answers_file(dataset)) as draft, draft.open("wb") as file:
        np.savez(file, rows=found.rows, known=found.known, probabilities=answers)
    _write_table(dataset, BASELINES, rows, found.rows, answers, ranked)
    scores = {"all": baselines.score_all(found, np.arange(len(found.rows)))}
    for split in PARTS:
        chosen = np.flatnonzero(rows.splits[found.rows] == split)
        if len(chosen):
            scores[split] = baselines.score_all(found, chosen)
    return {
        "texts": len(rows.texts),
        "judged": len(found.rows),
        "unknown": int((~found.known).sum()),
        "folds": found.folds,
        "seconds": found.seconds,
        "scores": scores,
        "best": max(found.probabilities, key=lambda name: scores["all"][name]["macro_f1"]),
        "suspects": int(ranked.likely.sum()),
    }


def _find_trained(dataset: Dataset, report: Report, run_id: str | None) -> dict[str, Any]:
    """Which labels a trained model doubts together with the baselines."""
    import numpy as np

    from core.learning.label_errors import detection
    from core.learning.label_errors.trained_model import ask, combine

    run, folder = _trained_on(dataset, run_id)
    judged, known, baseline = _kept_baselines(dataset)
    rows = _Rows.of(dataset)
    labels = np.array(rows.labels)[judged]
    names = _class_names(dataset)
    asked = f"Asking the model of run {run.number}"
    with shortage_is_said("asking the model"):
        model = ask(folder, [rows.texts[row] for row in judged], names, lambda share: report(share, asked))
    answers = combine(baseline, model, labels, rows.splits[judged] != "train")
    ranked = detection.rank(answers, labels, known)
    _write_table(dataset, TRAINED, rows, judged, answers, ranked)
    found = {"run": run.id, "number": run.number, "judged": len(judged)}
    return found | {"suspects": int(ranked.likely.sum())}


def _trained_on(dataset: Dataset, run_id: str | None) -> tuple[Run, Path]:
    """The run and the folder of its model.

    Raises:
        UserError: there is no such run, it has no model, or it was trained on other texts.
    """
    run = store.find_run(run_id or "")
    folder = outputs.model_folder(run)
    if folder is None or own_dataset(run).sha256 != dataset.sha256:
        raise UserError(
            "a finished run that was trained on this data set",
            "a run without a model" if folder is None else "a run on other texts",
            "Train on this data set, then ask again.",
        )
    return run, folder


def _kept_baselines(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which texts the baselines judged, whether they knew their classes, and the answers.

    Raises:
        UserError: there are none, or they are damaged.
    """
    import numpy as np

    missing = data_checks.findings(dataset, BASELINES) is None
    try:
        with np.load(data_checks.answers_file(dataset), allow_pickle=False) as kept:
            judged, known, answers = kept["rows"], kept["known"], kept["probabilities"]
        texts = sum(dataset.counts.values())
        sound = len(judged) == len(known) == len(answers) and (judged >= 0).all() and (judged < texts).all()
        if not missing and sound and answers.shape[1] == len(dataset.label2id):
            return judged, known, answers
    except (OSError, ValueError, LookupError, AttributeError, TypeError, EOFError, zipfile.BadZipFile):
        log.warning("the baselines of data set %s cannot be read", dataset.id)
    raise UserError("the baselines of this data set", "none that are whole", "Find the baselines first.")


def _find_curve(dataset: Dataset, report: Report, run_id: str | None) -> dict[str, Any]:
    """How good the baseline is with a part of the training texts."""
    from core.learning.baselines.learning_curve import learning_curve

    rows = _Rows.of(dataset)
    with shortage_is_said("the learning curve"):
        curve = learning_curve(rows.texts, rows.labels, len(dataset.label2id), report)
    return asdict(curve)


def _write_table(
    dataset: Dataset, kind: str, rows: _Rows, judged: np.ndarray, answers: np.ndarray, ranked: Suspects
) -> None:
    """The most doubtful labels, with their texts."""
    import numpy as np
    import pandas as pd

    order = ranked.order[:LISTED]
    chosen = judged[order]
    given = np.array([rows.labels[row] for row in chosen], dtype=np.int64)
    labels = _class_names(dataset)
    table = pd.DataFrame(
        {
            "split": rows.splits[chosen].astype(object),
            "position": rows.positions[chosen],
            "text": [shorten(rows.texts[row], READ_CHARACTERS) for row in chosen],
            "label": [labels[number] for number in given],
            "suggested": [labels[number] for number in ranked.suggested[order]],
            "probability": answers[order, given].astype(float),
            "suggested_probability": answers[order].max(axis=1).astype(float),
            "likely": ranked.likely[order],
        }
    )
    with whole_file(data_checks.table_file(dataset, kind)) as draft:
        table.to_parquet(draft, index=False)


def _class_names(dataset: Dataset) -> list[str]:
    """In the order of their numbers."""
    return sorted(dataset.label2id, key=dataset.label2id.__getitem__)


_CHECKS = {BASELINES: _find_baselines, TRAINED: _find_trained, CURVE: _find_curve}
