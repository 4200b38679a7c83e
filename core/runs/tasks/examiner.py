"""python -m core.runs.tasks.examiner FOLDER KIND [RUN]: one study of the data set in this folder.

What it finds goes into the data set's folder (see `studies`), what it prints into the study's log. Studies
wait for one another, and work at low priority: a training beside them keeps its speed.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from core.base import locks
from core.base.disk import NoSpace, means_full, whole_file
from core.base.errors import UserError
from core.base.formatting import shorten
from core.base.home import home
from core.base.memory import OutOfMemory, means_out_of_memory, shortage_is_said
from core.data.storage.datasets import PARTS, Dataset, find_dataset, load_splits
from core.runs.tasks import studies
from core.runs.tasks.studies import BASELINES, CURVE, TRAINED, Study
from core.runs.training import store
from core.runs.training.store import Run

if TYPE_CHECKING:
    import numpy as np

    from core.learning.label_errors.detection import Suspects

log = logging.getLogger("textuner")

NICE = 10
"""Steps of priority below that of other processes."""

LISTED = 2_000
"""Suspects that are kept with their texts."""

READ_CHARACTERS = 2_000
"""Of each of these texts: as much as tells its label. A browser gets hundreds of them at once."""

SAY_SECONDS = 0.5
"""Time between two writings of the progress."""

LOCK = "studies.lock"
"""In the home folder: held by the one study at work."""

LOOK_SECONDS = 1.0
"""Time to wait for a study's lock: whoever only looks whether it is held, holds it for a moment."""

Report = Callable[[float, str], None]


def main(folder: Path, kind: str, run_id: str | None = None) -> int:
    """Do the study. Returns the exit code: 0 when it ended as it should, or somebody else is at it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        study = Study(find_dataset(folder.name), kind)
        with locks.hold(study.file("lock"), timeout=LOOK_SECONDS):
            if study.file("stop").exists():
                log.info("ended on request before it began")
                return 0
            return _study(study, run_id)
    except Timeout:
        log.info("nothing to do: another process is at work on it")
    except (locks.LockGone, UserError) as error:
        log.info("nothing to do: the data set is gone (%s)", error)
    return 0


def _study(study: Study, run_id: str | None) -> int:
    try:
        studies.say_progress(study, 0.0, "Waiting for another study to end")
        # One at a time: each takes all cores, and a good part of the memory.
        with locks.hold(home() / LOCK):
            began = time.monotonic()
            studies.say_progress(study, 0.0, "Loading")
            _be_modest()
            found = _STUDIES[study.kind](study, _reporter(study), run_id)
            studies.write_findings(study, found, time.monotonic() - began)
    except UserError as error:
        log.info("%s", error)
        return _fail(study, error)
    except Exception as error:
        log.exception("the study broke off")
        return _fail(study, error)
    log.info("done in %.1f s", time.monotonic() - began)
    return 0


def _be_modest() -> None:
    """Leave the processor to others who want it; the study uses what they leave."""
    from core.learning.hardware import keep_freed_memory, use_all_cores

    if hasattr(os, "nice"):
        os.nice(NICE)
    use_all_cores()
    keep_freed_memory()


def _fail(study: Study, error: Exception) -> int:
    if not isinstance(error, UserError) and means_out_of_memory(error):
        error = OutOfMemory("this study", expected="enough memory for this study")
    if not isinstance(error, UserError) and means_full(error):
        error = NoSpace("this study", studies.SMALL_FILES, study.dataset.folder, cause=error)
    if isinstance(error, UserError):
        studies.write_failure(study, error.reason, error.remedy)
    else:
        studies.write_failure(
            study,
            f"It broke off: {type(error).__name__}: {str(error)[:300]}",
            f"Start it again; {study.kind}.log in the data set's folder of studies has the details.",
        )
    return 1


def _reporter(study: Study) -> Report:
    said = -SAY_SECONDS

    def report(share: float, doing: str) -> None:
        nonlocal said
        if time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            studies.say_progress(study, share, doing)

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


def _find_baselines(study: Study, report: Report, run_id: str | None) -> dict[str, Any]:
    """What simple classifiers reach, and which labels they doubt."""
    import numpy as np

    from core.learning.baselines import baselines
    from core.learning.label_errors import detection

    rows = _Rows.of(study.dataset)
    with shortage_is_said("the baselines"):
        found = baselines.cross_validate(rows.texts, rows.labels, len(study.dataset.label2id), report)
    answers = found.probabilities[baselines.AVERAGE]
    ranked = detection.rank(answers, found.labels, found.known)
    with whole_file(study.file("npz")) as draft, draft.open("wb") as file:
        np.savez(file, rows=found.rows, known=found.known, probabilities=answers)
    _write_table(study, rows, found.rows, answers, ranked)
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


def _find_trained(study: Study, report: Report, run_id: str | None) -> dict[str, Any]:
    """Which labels a trained model doubts together with the baselines."""
    import numpy as np

    from core.learning.label_errors import detection
    from core.learning.label_errors.trained_model import ask, combine

    run, folder = _trained_on(study.dataset, run_id)
    judged, known, baseline = _kept_baselines(study.dataset)
    rows = _Rows.of(study.dataset)
    labels = np.array(rows.labels)[judged]
    names = _class_names(study.dataset)
    asked = f"Asking the model of run {run.number}"
    with shortage_is_said("asking the model"):
        model = ask(folder, [rows.texts[row] for row in judged], names, lambda share: report(share, asked))
    answers = combine(baseline, model, labels, rows.splits[judged] != "train")
    ranked = detection.rank(answers, labels, known)
    _write_table(study, rows, judged, answers, ranked)
    found = {"run": run.id, "number": run.number, "judged": len(judged)}
    return found | {"suspects": int(ranked.likely.sum())}


def _trained_on(dataset: Dataset, run_id: str | None) -> tuple[Run, Path]:
    """The run and the folder of its model.

    Raises:
        UserError: there is no such run, it has no model, or it was trained on other texts.
    """
    run = store.find_run(run_id or "")
    folder = store.model_folder(run)
    if folder is None or store.own_dataset(run).sha256 != dataset.sha256:
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

    missing = studies.findings(dataset, BASELINES) is None
    try:
        with np.load(Study(dataset, BASELINES).file("npz"), allow_pickle=False) as kept:
            judged, known, answers = kept["rows"], kept["known"], kept["probabilities"]
        texts = sum(dataset.counts.values())
        sound = len(judged) == len(known) == len(answers) and (judged >= 0).all() and (judged < texts).all()
        if not missing and sound and answers.shape[1] == len(dataset.label2id):
            return judged, known, answers
    except (OSError, ValueError, LookupError, AttributeError, TypeError, EOFError, zipfile.BadZipFile):
        log.warning("the baselines of data set %s cannot be read", dataset.id)
    raise UserError("the baselines of this data set", "none that are whole", "Find the baselines first.")


def _find_curve(study: Study, report: Report, run_id: str | None) -> dict[str, Any]:
    """How good the baseline is with a part of the training texts."""
    from core.learning.baselines.learning_curve import learning_curve

    rows = _Rows.of(study.dataset)
    with shortage_is_said("the learning curve"):
        curve = learning_curve(rows.texts, rows.labels, len(study.dataset.label2id), report)
    return asdict(curve)


def _write_table(
    study: Study, rows: _Rows, judged: np.ndarray, answers: np.ndarray, ranked: Suspects
) -> None:
    """The most doubtful labels, with their texts."""
    import numpy as np
    import pandas as pd

    order = ranked.order[:LISTED]
    chosen = judged[order]
    given = np.array([rows.labels[row] for row in chosen], dtype=np.int64)
    labels = _class_names(study.dataset)
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
    with whole_file(study.file("parquet")) as draft:
        table.to_parquet(draft, index=False)


def _class_names(dataset: Dataset) -> list[str]:
    """In the order of their numbers."""
    return sorted(dataset.label2id, key=dataset.label2id.__getitem__)


_STUDIES = {BASELINES: _find_baselines, TRAINED: _find_trained, CURVE: _find_curve}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:4]))
