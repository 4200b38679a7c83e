"""Room on the disk for a run: what it takes, checked before it starts, given back at its end. No torch."""

import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.base import disk
from core.base.disk import NoSpace
from core.base.folders import bytes_on_disk
from core.data.storage.datasets import Dataset
from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.runs.training import store
from core.runs.training.events import Reserve
from core.runs.training.run import Run, own_dataset, snapshots_folder

log = logging.getLogger(__name__)

WEIGHT_BYTES = 4
"""Per parameter: weights are kept in float32."""

SNAPSHOT_BYTES = 12
"""Per parameter: its weight and the optimizer's two moments, in float32."""

SNAPSHOTS = 3
"""At a time: two that stay, and one that is being written."""

HEAD_SHARE, HEADER_BYTES = 0.01, 50_000
"""What a file of weights holds beside the encoder's: a new head, and the names and places of all weights."""

COMPANIONS = 20_000_000
"""Bytes of the tokenizer's files beside the weights of a model that is not on this disk yet."""

SMALL_FILES = 100_000
"""Bytes of events, settings and log."""

MAKE_ROOM = f"{disk.MAKE_ROOM} Or choose a smaller model."
RESUME = "Make room, then resume it: it begins as it would have now."

_CLOSING = ".closing"


@dataclass(frozen=True)
class Need:
    """What a run takes of the disk, in bytes; rather too much than too little."""

    data: int
    """The run's own copy of its data set."""
    weights: int
    """The best weights so far, and better ones beside them until those take their place."""
    closing: int
    """The report, and the answer to each held-out text."""
    snapshots: int

    @property
    def ending(self) -> int:
        """All that it must have to end well."""
        return self.data + self.weights + self.closing + SMALL_FILES


def need(config: TrainingConfig, dataset: Dataset) -> Need:
    """What a run with these settings takes.

    Raises:
        UserError: no such model.
    """
    parameters = pretrained.parameters(config.model)
    folder = pretrained.folder_on_disk(config.model)
    beside = sum((folder / name).stat().st_size for name in _companions(folder)) if folder else COMPANIONS
    data = bytes_on_disk(dataset.folder)
    return Need(
        data=data,
        weights=2 * (round(WEIGHT_BYTES * parameters * (1 + HEAD_SHARE)) + HEADER_BYTES + beside),
        closing=data + _report_bytes(len(dataset.label2id)) + _probability_bytes(dataset),
        snapshots=SNAPSHOTS * SNAPSHOT_BYTES * parameters,
    )


def check_new(config: TrainingConfig, dataset: Dataset) -> None:
    """Refuse a run for which the disk has no room.

    Raises:
        NoSpace: with the space needed and found.
    """
    needed = need(config, dataset).ending
    if disk.free_bytes(store.runs_root()) < needed:
        raise NoSpace("this run", needed, store.runs_root(), MAKE_ROOM)


def check_start(run: Run) -> str | None:
    """Refuse to start, or to go on with, a run for which the disk has no room.

    Returns:
        A warning when there is room to end well, but not for all snapshots; else None.

    Raises:
        NoSpace: with the space needed and found.
    """
    needed = remaining(run)
    free = disk.free_bytes(run.folder)
    if free + _older_snapshots(run) < needed:
        raise NoSpace("this run", needed, run.folder, RESUME)
    whole = need(run.config, own_dataset(run)).snapshots
    snapshots = max(0, whole - bytes_on_disk(snapshots_folder(run)))
    if free >= needed + snapshots:
        return None
    return (
        f"The disk has room for the run, but perhaps not for all of its snapshots: up to "
        f"{disk.in_words(needed + snapshots, needed + snapshots)} may be needed, and "
        f"{disk.in_words(free, needed + snapshots, up=False)} are free. When it is full, snapshots pause and "
        "the training goes on; an interruption then costs what was trained since the last one."
    )


def remaining(run: Run) -> int:
    """Bytes that the run has yet to write, snapshots aside."""
    whole = need(run.config, own_dataset(run)).ending
    return max(0, whole - bytes_on_disk(run.folder / "dataset") - bytes_on_disk(run.folder / "model"))


def closing_bytes(run: Run) -> int:
    """Of the report, and of the answers to the held-out texts; rather too many than too few."""
    return need(run.config, own_dataset(run)).closing


def hold_closing(run: Run) -> Reserve:
    """Keep the room for what a run writes at its very end, so that nothing else takes it meanwhile."""
    reserve = Reserve(run.folder / _CLOSING, closing_bytes(run))
    reserve.hold()
    return reserve


def give_back(run: Run) -> bool:
    """Remove what only a run that goes on needs. Returns whether any of it is gone."""
    gone = [path for path in (snapshots_folder(run), run.folder / _CLOSING) if path.exists()]
    for path in gone:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    return any(not path.exists() for path in gone)


def _report_bytes(classes: int) -> int:
    """Of the report: two confusion matrices, a number on a line each, and each class's scores."""
    return 2 * (16 * classes**2 + 400 * classes) + 10_000


def _probability_bytes(dataset: Dataset) -> int:
    """Of the probabilities beside the answers: a float32 for each class of each held-out text, and where a
    file lists those that come back, its place in that list."""
    return 8 * len(dataset.label2id) * (dataset.counts["validation"] + dataset.counts["test"])


def _companions(folder: Path) -> list[str]:
    return [name for name in pretrained.HUB_FILES if name != pretrained.WEIGHTS and (folder / name).is_file()]


def _older_snapshots(run: Run) -> int:
    """Bytes of the snapshots that make way when the disk is full: all but one."""
    folder = snapshots_folder(run)
    sizes = [bytes_on_disk(path) for path in folder.iterdir()] if folder.is_dir() else []
    return sum(sizes) - max(sizes, default=0)
