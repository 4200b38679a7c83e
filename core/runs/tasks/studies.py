"""Studies of a saved data set: what a process of its own finds out about it, and leaves in its folder.

<home>/datasets/<id>/studies/   <kind>.json      how it ended, and what was found; written whole
                                <kind>.parquet   the same per text, where there is such a thing
                                <kind>.progress  what it is at; gone when it has ended with a word
                                <kind>.lock      held by the process for as long as it lives
                                <kind>.log       what it printed
                                <kind>.stop      somebody ended it

Kinds: `baselines` (what simple classifiers reach, and which labels they doubt), `trained` (which labels they
doubt together with a trained model) and `curve` (the score by the amount of training texts). A data set
never changes, so neither does what a study has found. Pages use this module: no torch in it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from core.base import locks
from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.memory_kills import memory_kills, see_off
from core.data.storage.datasets import STUDIES, Dataset, find_dataset
from core.runs.training import engines, store
from core.runs.training.store import Run

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

BASELINES, TRAINED, CURVE = "baselines", "trained", "curve"
KINDS = (BASELINES, TRAINED, CURVE)

DONE, FAILED = "done", "failed"
"""How a study says that it ended."""

START_SECONDS = 30.0
"""Time from the start of a process until it must hold its lock."""

END_SECONDS = 10.0
"""Time for a process to end when the system is asked to end it."""

AGAIN = "Start it again."
MEMORY_RAN_OUT = (
    "The system ended the process (SIGKILL), most likely because memory ran out.",
    "Close other programs, then start it again.",
)
SMALL_FILES = 1_000_000
"""Bytes that a study takes, by and large."""

_starting = threading.Lock()
_NO_JSON_OF_OURS = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class StudyState:
    """What a study does at the moment of asking."""

    status: str
    """none, running, done, failed, stopped or lost."""
    share: float = 0.0
    """Of the work that is done, 0 to 1; for a study at work."""
    doing: str = ""
    reason: str = ""
    remedy: str = ""

    @property
    def live(self) -> bool:
        """Whether it may still change by itself."""
        return self.status == "running"


_STOPPED = StudyState("stopped", reason="It was ended on request.", remedy=AGAIN)
_LOST = StudyState("lost", reason="Its process ended without a word.", remedy=AGAIN)


@dataclass(frozen=True)
class Study:
    """One kind of study of one data set: where its files are."""

    dataset: Dataset
    kind: str

    def file(self, ending: str) -> Path:
        """<kind>.<ending> in the folder of the data set's studies."""
        return self.dataset.folder / STUDIES / f"{self.kind}.{ending}"


def start(dataset: Dataset, kind: str, run: Run | None = None) -> None:
    """Start a study in a process of its own, unless it is at work already.

    Args:
        run: the finished run whose model is asked; for the kind `trained`, and for no other.

    Raises:
        UserError: the data set is gone, or its folder may not be written to.
        NoSpace: the disk is full.
    """
    study = Study(dataset, kind)
    with _starting:
        if state(dataset, kind).live:
            return
        with _refusal_is_said(study):
            study.file("lock").parent.mkdir(exist_ok=True)
            for draft in study.file("json").parent.glob(f".{kind}.*.new"):
                draft.unlink(missing_ok=True)
            study.file("stop").unlink(missing_ok=True)
            # From now on it counts as at work: the process takes a moment to its lock.
            _write_progress(study, {"share": 0.0, "doing": "Starting", "asked": time.time()})
            kills = memory_kills()
            process = engines.start_study(study.file("log"), dataset.folder, kind, run.id if run else None)
    see_off(process, kills, lambda: write_failure(study, *MEMORY_RAN_OUT))


@contextmanager
def _refusal_is_said(study: Study) -> Iterator[None]:
    try:
        with full_is_said("a study of this data set", SMALL_FILES, study.dataset.folder):
            yield
    except FileNotFoundError as error:
        find_dataset(study.dataset.id)  # Says that it has been deleted, if so.
        raise _unwritable(study, error) from error
    except OSError as error:
        raise _unwritable(study, error) from error


def _unwritable(study: Study, error: OSError) -> UserError:
    return UserError(
        f"a folder {STUDIES} in the data set's folder that may be written to",
        error.strerror or type(error).__name__,
        "Let whoever looks after the machine set its permissions.",
    )


def cancel(dataset: Dataset, kind: str) -> None:
    """End a study that is at work, at once. What it found before, if anything, stays."""
    study = Study(dataset, kind)
    with suppress(OSError):
        study.file("stop").touch()
    process = _process_of(study)
    if process is None:
        return
    with suppress(psutil.Error):
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()


def _process_of(study: Study) -> psutil.Process | None:
    """The process at work on the study: a number alone proves nothing, see `processes.trainer_of`."""
    progress = _read(study.file("progress")) or {}
    with suppress(psutil.Error, ValueError, TypeError, OverflowError):
        process = psutil.Process(int(progress.get("pid") or 0))
        words = process.cmdline()
        if "core.runs.tasks.examiner" in words and str(study.dataset.folder) in words and study.kind in words:
            return process
    return None


def state(dataset: Dataset, kind: str) -> StudyState:
    """Whether the study is at work, and how it ended if it did."""
    study = Study(dataset, kind)
    progress = _read(study.file("progress"))
    with suppress(OSError):
        if locks.is_held(study.file("lock")):
            return _running(progress)
    stopped = study.file("stop").exists()
    if progress is not None and not stopped and _is_starting(progress):
        return _running(progress)
    if progress is not None:
        return _STOPPED if stopped else _LOST
    ending = _read(study.file("json"))
    if ending is None:
        return StudyState("none")
    if ending.get("status") == FAILED:
        return StudyState("failed", reason=str(ending.get("reason")), remedy=str(ending.get("remedy")))
    if findings(dataset, kind) is None:
        return StudyState("failed", reason=f"Its file {kind}.json is damaged.", remedy=AGAIN)
    return StudyState("done")


def _is_starting(progress: dict[str, Any]) -> bool:
    asked = progress.get("asked")
    return isinstance(asked, int | float) and 0 <= time.time() - asked < START_SECONDS


def _running(progress: dict[str, Any] | None) -> StudyState:
    share = progress.get("share") if progress else None
    known = float(share) if isinstance(share, int | float) and 0 <= share <= 1 else 0.0
    return StudyState("running", known, str((progress or {}).get("doing", "")))


def findings(dataset: Dataset, kind: str) -> dict[str, Any] | None:
    """What a study found about exactly these texts; None while there is nothing, or when it is damaged."""
    ending = _read(Study(dataset, kind).file("json"))
    if not ending or ending.get("status") != DONE or ending.get("sha256") != dataset.sha256:
        return None
    found = ending.get("findings")
    return found if isinstance(found, dict) and _SOUND[kind](found) else None


def table(dataset: Dataset, kind: str) -> pd.DataFrame | None:
    """What a study found about single texts; None while there is nothing, or when it is damaged.

    Columns: split, position (in its split, from 0), text (its beginning), label (as given), suggested,
    probability (of the given label, 0 to 1), suggested_probability, likely (whether the label is more likely
    wrong than right); the most doubtful first.
    """
    # Imported late: a command that starts a study begins faster without it.
    import pandas as pd
    import pyarrow as pa

    try:
        rows = pd.read_parquet(Study(dataset, kind).file("parquet"), columns=list(TEXT_COLUMNS + NUMBERS))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, pa.ArrowException):
        log.warning("the %s of data set %s cannot be read", kind, dataset.id)
        return None
    sound = all(pd.api.types.is_string_dtype(rows[name]) for name in TEXT_COLUMNS)
    return rows if sound and all(pd.api.types.is_numeric_dtype(rows[name]) for name in NUMBERS) else None


TEXT_COLUMNS = ("split", "text", "label", "suggested")
NUMBERS = ("position", "probability", "suggested_probability", "likely")


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


# Said by the process at work


def say_progress(study: Study, share: float, doing: str) -> None:
    """Write down how far it is, and which process is at work on it: the one that asks for this."""
    _write_progress(study, {"share": share, "doing": doing, "pid": os.getpid()})


def _write_progress(study: Study, content: dict[str, Any]) -> None:
    with whole_file(study.file("progress")) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")


def write_findings(study: Study, found: dict[str, Any], seconds: float) -> None:
    """Write down what was found; the last word of a study."""
    _end(study, {"status": DONE, "sha256": study.dataset.sha256, "seconds": seconds, "findings": found})


def write_failure(study: Study, reason: str, remedy: str) -> None:
    """Write down why it failed, and what to do; the last word of a study."""
    _end(study, {"status": FAILED, "reason": reason, "remedy": remedy})


def _end(study: Study, ending: dict[str, Any]) -> None:
    store.write_json(study.file("json"), ending)
    study.file("progress").unlink(missing_ok=True)


# What is sound


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # Halves of a character, which JSON can spell and no page can show: a ValueError.
        json.dumps(content, ensure_ascii=False).encode()
    except FileNotFoundError:
        return None
    except _NO_JSON_OF_OURS:
        return {}
    return content if isinstance(content, dict) else {}


def _are_baselines(found: dict[str, Any]) -> bool:
    scores = found.get("scores")
    names = {"tfidf", "embeddings", "average", "majority"}
    return (
        isinstance(scores, dict)
        and "all" in scores
        and all(isinstance(part, dict) and set(part) == names for part in scores.values())
        and all(_are_scores(one) for part in scores.values() for one in part.values())
        and isinstance(found.get("best"), str)
        and found["best"] in names - {"majority"}
        and _are_counts(found, "texts", "judged", "folds", "suspects")
    )


def _is_trained(found: dict[str, Any]) -> bool:
    return isinstance(found.get("run"), str) and _are_counts(found, "number", "judged", "suspects")


def _is_curve(found: dict[str, Any]) -> bool:
    points = found.get("points")
    return (
        isinstance(points, list)
        and bool(points)
        and all(
            isinstance(point, dict)
            and _are_counts(point, "texts")
            and _is_share(point.get("share"))
            and _is_share(point.get("macro_f1"))
            and isinstance(point.get("scores"), list)
            and all(map(_is_share, point["scores"]))
            for point in points
        )
        and isinstance(found.get("verdict"), str)
    )


_SOUND = {BASELINES: _are_baselines, TRAINED: _is_trained, CURVE: _is_curve}


def _are_scores(content: object) -> bool:
    return isinstance(content, dict) and all(_is_share(content.get(n)) for n in ("accuracy", "macro_f1"))


def _are_counts(content: dict[str, Any], *names: str) -> bool:
    return all(type(content.get(name)) is int and 0 <= content[name] < 2**53 for name in names)


def _is_share(value: object) -> bool:
    return (type(value) is int or type(value) is float) and math.isfinite(value) and 0 <= value <= 1
