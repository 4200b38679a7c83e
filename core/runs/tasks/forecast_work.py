"""Measures a few steps of a training, in a process of its own. See `forecasts` for what becomes of it."""

import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from core.base import locks
from core.data.storage.datasets import find_dataset, load_splits
from core.learning import config as settings
from core.learning.forecasting import estimate
from core.runs.jobs.job import Job
from core.runs.jobs.process import LOOK_SECONDS, NothingToDo
from core.runs.tasks import forecasts
from core.runs.tasks.forecasts import TASK
from core.runs.training import processes

__all__ = ["TASK", "work"]

log = logging.getLogger("textuner")

KEPT = 500
"""Trainings of which it is kept what was measured, the newest."""


def work(found: Job) -> dict[str, Any]:
    """Measure the training that the job's request names, unless something else is measured or trained."""
    request = found.request()
    dataset, config = find_dataset(str(request.get("dataset"))), settings.from_dict(request["settings"])
    try:
        with locks.hold(forecasts.root() / forecasts.LOCK, timeout=LOOK_SECONDS):
            sweep(forecasts.root(), spare=found.folder)
            # Imported late: the lock should be held before torch is loaded, which takes seconds.
            from core.learning.forecasting.measurement import Disturbed, measure

            splits = load_splits(dataset.folder)
            try:
                return estimate.to_dict(measure(splits, config, found.folder, processes.is_training))
            except Disturbed as error:
                raise NothingToDo("a training began") from error
    except Timeout as error:
        raise NothingToDo("another process measures") from error


def sweep(root: Path, spare: Path) -> None:
    """Remove what a process that was ended left, and all but the newest. For the holder of the lock."""
    for left in [*root.glob("*/*/"), *root.glob("*.json"), *root.glob("*.begun")]:
        # Beside the folders: files of an earlier version.
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    folders = [folder for folder in root.iterdir() if folder.is_dir() and folder != spare]
    for folder in sorted(folders, key=_age)[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    with suppress(OSError):
        return -(folder / "result.json").stat().st_mtime
    return 0.0
