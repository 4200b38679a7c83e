"""What a training will take, known before it starts: measured in a process of its own, kept, and looked up.

<home>/forecasts/<what is trained on>-<how>/  a job's files (see `core.runs.jobs.job`)
                 measuring.lock               held by the one process that measures

Nothing is measured while something else is, or while a training is at work: neither would be measured as it
is alone. Pages look, and let it begin.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.base import locks
from core.base.errors import UserError
from core.base.formatting import duration, size
from core.base.home import home
from core.base.json_files import NO_JSON_OF_OURS, read_object, write_json
from core.data.storage.datasets import Dataset
from core.learning import config as settings
from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.learning.forecasting import estimate
from core.learning.forecasting.estimate import Forecast, Measurements
from core.runs.jobs import job
from core.runs.jobs.job import Job, JobState, Task
from core.runs.training import processes
from core.runs.training.run import Run

log = logging.getLogger(__name__)

TASK = Task("core.runs.tasks.forecast_work", "the measuring", "Try again later")

FILE = "forecast.json"
"""In a run's folder: what was expected of it when it was submitted."""

BUSY_SECONDS = 600.0
"""Age from which what was measured on a busy machine is measured anew."""

OLD_SECONDS = 30 * 24 * 3600.0
"""Age from which anything is."""

PATIENCE_SECONDS = 300.0
"""Time until another try where measuring went wrong."""

DELETED = "The data set has been deleted meanwhile."
NOT_HERE = "The model is not on this machine yet, and for texts this long there is no other to go by."
FROM_OUTSIDE = "The measuring was ended from outside."

LOCK = "measuring.lock"

_VERSION = 1


@dataclass(frozen=True)
class Outlook:
    """What is known now of what a training will take."""

    state: str
    """measured, measuring, waiting (for a training or another measuring to end), unmeasured or failed."""
    forecast: Forecast | None = None
    """The best that is known; while nothing is measured for these very settings, an estimate, if any."""
    problem: str = ""
    """Why it could not be measured."""
    at_hand: bool = True
    """Whether the model is on this machine; of one that is not there are only estimates."""

    @property
    def pending(self) -> bool:
        """Whether looking again may show more."""
        return self.state in ("measuring", "waiting", "unmeasured")


def look(dataset: Dataset, config: TrainingConfig) -> Outlook:
    """What is known of a training with these settings. Starts nothing.

    Raises:
        UserError: no such model.
    """
    at_hand = pretrained.is_at_hand(config.model)
    if not dataset.folder.is_dir():
        # A page that still shows it would begin a process at every look.
        return Outlook("failed", None, DELETED, at_hand)
    if not at_hand and config.max_length > pretrained.find(TrainingConfig.model).longest:
        # The model that stands in for it does not read texts that long.
        return Outlook("failed", None, NOT_HERE, at_hand)
    measured_config = config if at_hand else _stand_in(config)
    found = job_of(dataset, measured_config)
    now, measured = job.state(found), _measurements(found)
    known = _known(measured, dataset, config, measured_config)
    if measured and not _is_stale(measured):
        return Outlook("measured", known, at_hand=at_hand)
    if now.live or locks.is_held(root() / LOCK):
        return Outlook("measuring" if now.live else "waiting", known, at_hand=at_hand)
    failed = _failure(found, now)
    if failed:
        return Outlook("failed", known, failed, at_hand)
    state = "waiting" if processes.is_training() else "unmeasured"
    return Outlook(state, known, at_hand=at_hand)


def begin(dataset: Dataset, config: TrainingConfig) -> None:
    """Start the process that measures a few steps of this training, if nobody measures and none trains."""
    if look(dataset, config).state != "unmeasured":
        return
    wanted = config if pretrained.is_at_hand(config.model) else _stand_in(config)
    found = job_of(dataset, wanted)
    try:
        found.folder.mkdir(parents=True, exist_ok=True)
        job.start(found, {"dataset": dataset.id, "settings": settings.to_dict(wanted)})
    except OSError as error:
        log.warning("the measuring cannot be started: %s", error)


def wait(dataset: Dataset, config: TrainingConfig) -> Forecast:
    """Measure it if need be, and wait until it is known.

    Raises:
        UserError: it could not be measured.
    """
    while (outlook := look(dataset, config)).pending:
        begin(dataset, config)
        time.sleep(0.2)
    if outlook.forecast is None:
        raise UserError(
            "a forecast of this training", outlook.problem, "It can be trained without; try again later."
        )
    return outlook.forecast


def record(run: Run, dataset: Dataset) -> None:
    """Write down in the run what is expected of it, if anything is, to be compared with what it takes."""
    found = look(dataset, run.config).forecast
    if found is None:
        return
    try:
        write_json(run.folder / FILE, asdict(found))
    except OSError as error:
        # The run is in the line already, and can do without.
        log.warning("the forecast of run %s cannot be written: %s", run.id, error)


def recorded(run: Run) -> Forecast | None:
    """What was expected of the run when it was submitted; None when nothing was, or it cannot be read."""
    with suppress(ValueError):
        return estimate.read(read_object(run.folder / FILE))
    return None


def in_words(found: Forecast) -> str:
    """Time and memory: "1 min 20 s and 1.1 GB of memory"."""
    where = "GPU memory" if found.device == "cuda" else "memory"
    return f"{duration(found.seconds)} and {size(found.memory_bytes)} of {where}"


def compared(found: Forecast, report: dict[str, Any]) -> str | None:
    """Forecast against real, in one line; None when the report does not say what the run took."""
    seconds, memory = report.get("total_seconds"), report.get("peak_memory_bytes")
    if not seconds:
        return None
    if report.get("converged"):
        return f"Forecast {duration(found.seconds)} for all epochs; stopped early after {duration(seconds)}."
    words = f"Forecast {duration(found.seconds)}, took {duration(seconds)} ({_off(seconds, found.seconds)})"
    if memory:
        off = _off(memory, found.memory_bytes)
        words += f"; memory {size(found.memory_bytes)}, used {size(memory)} ({off})"
    return words + "."


def _off(real: float, expected: float) -> str:
    return f"{real / expected - 1:+.0%}" if expected else "nothing was expected"


def _known(
    measured: Measurements | None, dataset: Dataset, config: TrainingConfig, measured_config: TrainingConfig
) -> Forecast | None:
    if measured and measured_config == config:
        return estimate.forecast(measured, config, dataset.counts)
    model = pretrained.find(config.model)
    others = sorted(_others(dataset, config), key=lambda other: _distance(other, config))
    fit = (other for other in others if estimate.can_estimate(other, model))
    other = next(fit, None)
    return estimate.estimate(other, config, dataset.counts, model) if other else None


def _others(dataset: Dataset, config: TrainingConfig) -> list[Measurements]:
    """What was measured with the same texts and max length on this machine."""
    folders = root().glob(f"{_texts_key(dataset, config)}-*")
    found = (_measurements(Job(TASK, folder)) for folder in folders)
    return [measured for measured in found if measured]


def _distance(other: Measurements, config: TrainingConfig) -> tuple[bool, bool, float, bool]:
    batches = max(other.batch_size, config.batch_size) / min(other.batch_size, config.batch_size)
    return other.model != config.model, other.precision != config.precision, batches, not other.quiet


def _stand_in(config: TrainingConfig) -> TrainingConfig:
    """The embedded model in the place of one that is not on this machine."""
    return replace(config, model=TrainingConfig.model)


def _is_stale(measured: Measurements) -> bool:
    return time.time() - measured.measured > (OLD_SECONDS if measured.quiet else BUSY_SECONDS)


def _failure(found: Job, now: JobState) -> str:
    """What went wrong lately; nothing when it is worth another try."""
    if now.status in ("none", "finished") or now == job.damaged(found):
        return ""
    failed = now.status == "failed"
    try:
        file = found.result_file if failed else found.progress_file
        lately = time.time() - file.stat().st_mtime < PATIENCE_SECONDS
    except FileNotFoundError:
        return ""
    return (now.reason if failed else FROM_OUTSIDE) if lately else ""


def _measurements(found: Job) -> Measurements | None:
    """What was measured; None when there is nothing, or nothing sound."""
    result = job.last_result(found)
    if result is None:
        return None
    try:
        return estimate.from_dict(result)
    except NO_JSON_OF_OURS:
        log.warning("the forecast %s cannot be read", found.folder.name)
        return None


def root() -> Path:
    """The folder of all that was measured."""
    return home() / "forecasts"


def job_of(dataset: Dataset, config: TrainingConfig) -> Job:
    """The job that measures a training with these settings, whether it was ever begun or not."""
    how = _hash(_weights_mark(config.model), config.model, config.batch_size, config.precision)
    return Job(TASK, root() / f"{_texts_key(dataset, config)}-{how}")


def _texts_key(dataset: Dataset, config: TrainingConfig) -> str:
    return _hash(_VERSION, _machine(), dataset.sha256, config.max_length)


def _hash(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:24]


def _machine() -> list[str | int | None]:
    """What makes a training faster or slower, as far as it can be told without torch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [platform.node(), platform.machine(), cores, gpus, _torch_version()]


@cache
def _torch_version() -> str:
    return version("torch")


def _weights_mark(model: str) -> list[int]:
    """Changes when the owner of the machine replaces a model of their own."""
    folder = pretrained.find(model).folder
    if folder is None:
        return []
    with suppress(OSError):
        found = (folder / pretrained.WEIGHTS).stat()
        return [found.st_size, found.st_mtime_ns]
    return []
