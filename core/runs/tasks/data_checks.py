"""Checks of a saved data set: what a process of its own finds out about it, and leaves in its folder.

<home>/datasets/<id>/studies/<kind>/  a job's files (see `core.runs.jobs.job`), and table.parquet: what was
                                      found of single texts, where there is such a thing

Kinds: `baselines` (what simple classifiers reach, and which labels they doubt), `trained` (which labels they
doubt together with a trained model) and `curve` (the score by the amount of training texts). A data set
never changes, so neither does what a check has found. Pages use this module: no torch in it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.disk import full_is_said
from core.base.errors import UserError
from core.base.json_files import read_object, write_json
from core.data.storage.datasets import STUDIES, Dataset, find_dataset
from core.runs.jobs import job
from core.runs.jobs.job import Job, Task
from core.runs.tasks.findings import are_sound
from core.runs.training.run import Run

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

BASELINES, TRAINED, CURVE = "baselines", "trained", "curve"
KINDS = (BASELINES, TRAINED, CURVE)

TASK = Task("core.runs.tasks.data_check_work", "this check", "Start it again")

_FILES_OF_OLD = {"parquet": "table.parquet", "npz": "answers.npz", "log": "log.txt"}
"""Earlier versions had <kind>.<ending> beside one another; and what these are called now."""


@dataclass(frozen=True)
class CheckState:
    """What a check does at the moment of asking."""

    status: str
    """See `job.JobState`."""
    share: float = 0.0
    """Of the work that is done, 0 to 1; for a check at work."""
    doing: str = ""
    reason: str = ""
    remedy: str = ""

    @property
    def live(self) -> bool:
        """Whether it may still change by itself."""
        return self.status in ("running", "stopping")


def job_of(dataset: Dataset, kind: str) -> Job:
    """The job of one kind of check of one data set, whether it was ever begun or not."""
    folder = dataset.folder / STUDIES / kind
    if not folder.exists():
        _take_over(folder)
    return Job(TASK, folder)


def _take_over(folder: Path) -> None:
    """What an earlier version found goes where this one looks for it."""
    old = folder.with_name(f"{folder.name}.json")
    with suppress(OSError):
        if not old.is_file():
            return
        found = read_object(old) or {}
        folder.mkdir()
        for ending, name in _FILES_OF_OLD.items():
            with suppress(FileNotFoundError):
                folder.with_name(f"{folder.name}.{ending}").rename(folder / name)
        is_done = found.get("status") == "done"
        write_json(folder / "result.json", {"status": "finished", "result": found} if is_done else found)
        old.unlink()


def start(dataset: Dataset, kind: str, run: Run | None = None) -> None:
    """Start a check in a process of its own, unless it is at work already.

    Args:
        run: the finished run whose model is asked; for the kind `trained`, and for no other.

    Raises:
        UserError: the data set is gone, or its folder may not be written to.
        NoSpace: the disk is full.
    """
    found = job_of(dataset, kind)
    with _refusal_is_said(dataset):
        found.folder.parent.mkdir(exist_ok=True)
        found.folder.mkdir(exist_ok=True)
        job.start(found, {"run": run.id if run else None}, {"share": 0.0, "doing": "Starting"})


@contextmanager
def _refusal_is_said(dataset: Dataset) -> Iterator[None]:
    try:
        with full_is_said("a check of this data set", job.SMALL_FILES, dataset.folder):
            yield
    except FileNotFoundError as error:
        find_dataset(dataset.id)  # Says that it has been deleted, if so.
        raise _unwritable(error) from error
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> UserError:
    return UserError(
        f"a folder {STUDIES} in the data set's folder that may be written to",
        error.strerror or type(error).__name__,
        "Let whoever looks after the machine set its permissions.",
    )


def cancel(dataset: Dataset, kind: str) -> None:
    """End a check that is at work, at once. What it found before, if anything, stays."""
    job.end_now(job_of(dataset, kind))


def state(dataset: Dataset, kind: str) -> CheckState:
    """Whether the check is at work, and how it ended if it did."""
    found = job_of(dataset, kind)
    now = job.state(found)
    if now.status == "finished" and _sound(now.result, dataset, kind) is None:
        now = job.damaged(found)
    share = job.number(now.progress.get("share"))
    known = share if 0 <= share <= 1 else 0.0
    return CheckState(now.status, known, str(now.progress.get("doing", "")), now.reason, now.remedy)


def findings(dataset: Dataset, kind: str) -> dict[str, Any] | None:
    """What a check found about exactly these texts; None while there is nothing, or when it is damaged."""
    result = job.last_result(job_of(dataset, kind))
    return _sound(result, dataset, kind) if result else None


def _sound(result: dict[str, Any], dataset: Dataset, kind: str) -> dict[str, Any] | None:
    """The findings in a result, where they are whole and about exactly these texts."""
    found = result.get("findings")
    if result.get("sha256") != dataset.sha256 or not isinstance(found, dict):
        return None
    return found if are_sound(found, kind) else None


def table(dataset: Dataset, kind: str) -> pd.DataFrame | None:
    """What a check found about single texts; None while there is nothing, or when it is damaged.

    Columns: split, position (in its split, from 0), text (its beginning), label (as given), suggested,
    probability (of the given label, 0 to 1), suggested_probability, likely (whether the label is more likely
    wrong than right); the most doubtful first.
    """
    # Imported late: a command that starts a check begins faster without it.
    import pandas as pd
    import pyarrow as pa

    try:
        rows = pd.read_parquet(table_file(dataset, kind), columns=list(TEXT_COLUMNS + NUMBERS))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, pa.ArrowException):
        log.warning("the %s of data set %s cannot be read", kind, dataset.id)
        return None
    sound = all(pd.api.types.is_string_dtype(rows[name]) for name in TEXT_COLUMNS)
    return rows if sound and all(pd.api.types.is_numeric_dtype(rows[name]) for name in NUMBERS) else None


TEXT_COLUMNS = ("split", "text", "label", "suggested")
NUMBERS = ("position", "probability", "suggested_probability", "likely")


def table_file(dataset: Dataset, kind: str) -> Path:
    """Where `table` lies."""
    return job_of(dataset, kind).folder / "table.parquet"


def answers_file(dataset: Dataset) -> Path:
    """Where the baselines' probabilities of all texts lie, for checks together with a trained model."""
    return job_of(dataset, BASELINES).folder / "answers.npz"


def baseline_of(dataset_id: str, split: str = "all") -> dict[str, Any] | None:
    """What fine-tuning must beat on a data set: the scores of the best of the simple classifiers.

    Args:
        dataset_id: of a saved data set.
        split: the texts on which they are scored, by classifiers that had not seen them: train, validation,
            test or all.

    Returns:
        `name` (tfidf, embeddings or average: the one with the best macro F1 on all texts), `accuracy`,
        `macro_f1`, `majority_accuracy` and `majority_macro_f1`, shares of one; None while they are not known.
    """
    try:
        found = findings(find_dataset(dataset_id), BASELINES)
    except UserError:
        return None
    if not found:
        return None
    scores = found["scores"].get(split)
    if not scores:
        return None
    best, majority = scores[found["best"]], scores["majority"]
    return {
        "name": found["best"],
        **best,
        "majority_accuracy": majority["accuracy"],
        "majority_macro_f1": majority["macro_f1"],
    }
