"""A run: what to do, with what, and the folder that it is; and the lock of whoever works on it.

<home>/runs/<id>/  config.json  dataset/  events.jsonl  run.lock  trainer.pid  log.txt  stop  stop-now
                   snapshots/  model/  report.json  predictions.parquet
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.base import locks
from core.base.errors import UserError
from core.data.storage.datasets import Dataset, read_dataset
from core.learning.config import TrainingConfig

LOCK = "run.lock"
"""Held by whoever works on the run, for as long as they live."""

REMEMBERED = 4096
"""Runs whose files are not read again while they stay as they are."""


@dataclass(frozen=True)
class Run:
    """One training, asked for by a person: what to do, with what, and where it is kept."""

    id: str
    folder: Path
    number: int = 0
    """Place in the order of submission."""
    name: str = ""
    """Name of the data set."""
    dataset_id: str = ""
    created: float = 0.0
    """Seconds since 1970."""
    config: TrainingConfig = TrainingConfig()
    damage: str | None = None
    """What is wrong with the folder, if anything; what could be read is there all the same."""
    unknown: tuple[str, ...] = ()
    """Names of settings of another version, which this one does not know."""
    unrecorded: tuple[str, ...] = ()
    """Names of settings that the version which made the run did not write down; the default may be untrue."""

    @property
    def readable(self) -> bool:
        """Whether its config.json could be read: what it is called, and its settings."""
        return self.number > 0


class Gone(UserError):
    """There is no such run, or no longer."""

    def __init__(self) -> None:
        super().__init__(
            "the id of a run that is kept here", "no such run", "It may have been deleted; see the Runs page."
        )


def is_alive(run: Run) -> bool:
    """Whether a process is at work on the run: it holds the run's lock for as long as it lives."""
    return locks.is_held(run.folder / LOCK)


@contextmanager
def hold(run: Run, timeout: float = -1) -> Iterator[None]:
    """Hold the run's lock: nobody else begins with the run, or deletes it, meanwhile.

    Args:
        timeout: seconds to wait for it; below zero for ever.

    Raises:
        Timeout: somebody else holds it.
        Gone: the run is deleted.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locks.hold(run.folder / LOCK, timeout))
        except locks.LockGone as error:
            raise Gone() from error
        yield


def snapshots_folder(run: Run) -> Path:
    """Where the state of the run's training is kept now and then."""
    return run.folder / "snapshots"


def own_dataset(run: Run) -> Dataset:
    """The run's own copy of its data, which stays when the saved data set is deleted."""
    return read_dataset(run.folder / "dataset")


def marks_of(run: Run, *names: str) -> tuple[tuple[int, int, int] | None, ...]:
    """Of each of these files of the run: what changes with its content; None where it cannot be looked at."""
    return tuple(map(_marks_or_none, (run.folder / name for name in names)))


def _marks_or_none(path: Path) -> tuple[int, int, int] | None:
    try:
        return file_marks(path.stat())
    except OSError:
        return None


def file_marks(found: os.stat_result) -> tuple[int, int, int]:
    """What changes with the content of a file, and (the last one) with who may read it."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
