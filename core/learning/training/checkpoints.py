"""The whole state of a training on disk, from which it goes on as if it had never stopped.

A snapshot is a folder `<step>` with the tensors, the plain values and a manifest of their sizes and sha256.
It is written beside the others under another name, forced to the disk, and renamed in the end: whatever
happens at whatever moment, every folder with a number is whole, and one that was damaged later is known by
its manifest and passed over.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.base import disk
from core.base.disk import NoSpace
from core.base.folders import sha256_of
from core.base.memory import means_out_of_memory

log = logging.getLogger(__name__)

KEPT = 2
"""Snapshots that stay: the newest, and the one before it in case that is damaged."""

SHARE = 0.03
"""Of the training time may go into snapshots; the two steps after one are slower, which adds a little."""

PAUSE_SECONDS = 60.0
"""Time until another try after the disk or the memory was full."""

TENSORS, VALUES, MANIFEST = "tensors.safetensors", "values.json", "manifest.json"
_UNFINISHED = ".writing-"


@dataclass(frozen=True)
class TrainingCheckpoint:
    """What a training needs to go on."""

    step: int
    """Optimizer steps done."""
    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]
    """Plain values, ready for JSON."""


class TrainingCheckpoints:
    """Takes snapshots of one training, as often as their cost allows.

    Args:
        root: their folder; None takes none.
        report: receives an event for each one taken, and a note when there is no room for one.
        spared: bytes of the disk that snapshots leave free, for what the training has to write besides.
        resume: the state that the training goes on from; None when it begins.
    """

    def __init__(
        self,
        root: Path | None,
        report: Callable[[dict[str, Any]], None],
        spared: Callable[[], int] = lambda: 0,
        resume: TrainingCheckpoint | None = None,
    ) -> None:
        self.resume = resume
        self._root = root
        self._report = report
        self._spared = spared
        self._next = -float("inf")
        self._paused = False

    def due(self) -> bool:
        """Whether enough time has gone by for another one."""
        return self._root is not None and time.perf_counter() >= self._next

    def take(self, gather: Callable[[], TrainingCheckpoint]) -> None:
        """Write what `gather` gives; a lack of room or memory is reported, and does not end the training."""
        assert self._root is not None
        started = time.perf_counter()
        try:
            state = gather()
            write(self._root, state, self._spared())
        except NoSpace as error:
            self._pause(f"{error.reason} {_PAUSED}")
            return
        except (MemoryError, RuntimeError, OSError, SafetensorError) as error:
            if not means_out_of_memory(error):
                raise
            self._pause(f"Too little memory for a snapshot. {_PAUSED}")
            return
        seconds = time.perf_counter() - started
        self._next = started + seconds / SHARE
        self._paused = False
        self._report({"type": "snapshot", "step": state.step, "seconds": seconds})

    def give_up_older(self) -> bool:
        """Make room on the disk. See `give_up_older`."""
        return self._root is not None and give_up_older(self._root)

    def _pause(self, message: str) -> None:
        self._next = time.perf_counter() + PAUSE_SECONDS
        if not self._paused:
            self._report({"type": "note", "message": message})
        self._paused = True


_PAUSED = (
    f"The training goes on without snapshots and tries again every {PAUSE_SECONDS:.0f} seconds. Make room: "
    "an interruption would cost what was trained since the last snapshot."
)


def write(root: Path, state: TrainingCheckpoint, spared: int = 0) -> None:
    """Add a snapshot and keep beside it only the one before, to `KEPT` in all.

    Those of later steps go, too: a training that writes an earlier one has passed them over as damaged.
    Where there is no room for a third, the older one makes way before the new one is written.

    Args:
        spared: bytes to leave free on the disk.

    Raises:
        NoSpace: the disk is full, or a limit on files is reached; the newest one before is as it was.
        OSError: it cannot be written for another reason.
    """
    try:
        _write(root, state, spared)
    except NoSpace:
        if not give_up_older(root):
            raise
        _write(root, state, spared)
    present = _numbered(root)
    kept = [path for path in present if int(path.name) <= state.step][:KEPT]
    for path in present:
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def newest(root: Path) -> tuple[TrainingCheckpoint | None, list[str]]:
    """The newest whole snapshot, and what is wrong with each newer one, in words."""
    damages: list[str] = []
    for folder in _numbered(root):
        try:
            return _read(folder), damages
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            if means_out_of_memory(error):
                raise
            log.warning("snapshot %s is damaged: %s", folder.name, error)
            damages.append(f"The snapshot of step {int(folder.name):,} is damaged ({error}).")
    return None, damages


def size(state: TrainingCheckpoint) -> int:
    """Bytes of a snapshot."""
    return sum(tensor.nbytes for tensor in state.tensors.values())


def give_up_older(root: Path) -> bool:
    """Make room on the disk: remove what is unfinished, and all whole snapshots but the newest.

    Returns:
        Whether any of it is gone.
    """
    older = [folder for folder in _numbered(root) if _is_whole(folder)][1:]
    gone = [*older, *root.glob(f"{_UNFINISHED}*")]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return any(not folder.exists() for folder in gone)


def _write(root: Path, state: TrainingCheckpoint, spared: int) -> None:
    needed = size(state) + spared
    if root.is_dir() and disk.free_bytes(root) < needed:
        raise NoSpace("a snapshot of the training", needed, root)
    draft = root / f"{_UNFINISHED}{state.step}"
    try:
        with disk.full_is_said("a snapshot of the training", needed, root):
            root.mkdir(parents=True, exist_ok=True)
            _clear_unfinished(root)
            _fill(draft, state)
            target = root / str(state.step)
            if target.exists():
                shutil.rmtree(target)
            draft.rename(target)
            disk.force(root)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _fill(draft: Path, state: TrainingCheckpoint) -> None:
    draft.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, draft / TENSORS)
    (draft / VALUES).write_text(json.dumps(state.values), encoding="utf-8")
    with ThreadPoolExecutor(max_workers=1) as disk_work:
        # The disk and the processor, each for a large part of a second, at the same time.
        forced = disk_work.submit(disk.force, draft / TENSORS)
        manifest = {name: _fingerprint(draft / name) for name in (TENSORS, VALUES)}
        forced.result()
    (draft / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    for path in (draft / VALUES, draft / MANIFEST, draft):
        disk.force(path)


def _read(folder: Path) -> TrainingCheckpoint:
    _check(folder)
    values = json.loads((folder / VALUES).read_text(encoding="utf-8"))
    return TrainingCheckpoint(int(folder.name), load_file(folder / TENSORS), values)


def _check(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for name in (TENSORS, VALUES):
        if manifest[name] != _fingerprint(folder / name):
            raise ValueError(f"{name} is not as it was written")


def _is_whole(folder: Path) -> bool:
    try:
        _check(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _numbered(root: Path) -> list[Path]:
    folders = [path for path in root.iterdir() if path.name.isdecimal()] if root.is_dir() else []
    return sorted(folders, key=lambda path: int(path.name), reverse=True)


def _clear_unfinished(root: Path) -> None:
    for path in root.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _fingerprint(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
