"""The whole state of a training on disk, from which it goes on as if it had never stopped.

A snapshot is a folder `<step>` with the tensors, the plain values and a manifest of their sizes and sha256.
It is written beside the others under another name, forced to the disk, and renamed in the end: whatever
happens at whatever moment, every folder with a number is whole, and one that was damaged later is known by
its manifest and passed over.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

log = logging.getLogger(__name__)

KEPT = 2
"""Snapshots that stay: the newest, and the one before it in case that is damaged."""

SHARE = 0.04
"""Of the training time may go into snapshots."""

PAUSE_SECONDS = 60.0
"""Time until another try after the disk was full."""

TENSORS, VALUES, MANIFEST = "tensors.safetensors", "values.json", "manifest.json"
_UNFINISHED = ".writing-"


@dataclass(frozen=True)
class State:
    """What a training needs to go on."""

    step: int
    """Optimizer steps done."""
    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]
    """Plain values, ready for JSON."""


class NoSpace(Exception):
    """A snapshot found no room on the disk; the ones before it are as they were."""


class Snapshots:
    """Takes snapshots of one training, as often as their cost allows.

    Args:
        root: their folder; None takes none.
        report: receives an event for each one taken, and a note when there is no room for one.
    """

    def __init__(self, root: Path | None, report: Callable[[dict[str, Any]], None]) -> None:
        self._root = root
        self._report = report
        self._next = -float("inf")
        self._no_space = False

    def due(self) -> bool:
        """Whether enough time has gone by for another one."""
        return self._root is not None and time.perf_counter() >= self._next

    def take(self, state: State) -> None:
        """Write one; a full disk is reported, and does not end the training."""
        assert self._root is not None
        started = time.perf_counter()
        try:
            write(self._root, state)
        except NoSpace as error:
            self._next = time.perf_counter() + PAUSE_SECONDS
            if not self._no_space:
                self._report({"type": "note", "message": _no_space_words(self._root, state, error)})
            self._no_space = True
            return
        seconds = time.perf_counter() - started
        self._next = started + seconds / SHARE
        self._no_space = False
        self._report({"type": "snapshot", "step": state.step, "seconds": seconds})


def write(root: Path, state: State) -> None:
    """Add a snapshot and keep beside it only the one before, to `KEPT` in all.

    Those of later steps go, too: a training that writes an earlier one has passed them over as damaged.

    Raises:
        NoSpace: the disk is full, or a limit on files is reached.
        OSError: it cannot be written for another reason.
    """
    root.mkdir(parents=True, exist_ok=True)
    _clear_unfinished(root)
    draft = root / f"{_UNFINISHED}{state.step}"
    try:
        _fill(draft, state)
        target = root / str(state.step)
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
        _force(root)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        if _means_full(error):
            raise NoSpace(str(error)) from error
        raise
    present = _numbered(root)
    kept = [path for path in present if int(path.name) <= state.step][:KEPT]
    for path in present:
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def newest(root: Path) -> tuple[State | None, list[str]]:
    """The newest whole snapshot, and what is wrong with each newer one, in words."""
    damages = []
    for folder in _numbered(root):
        try:
            return _read(folder), damages
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            log.warning("snapshot %s is damaged: %s", folder.name, error)
            damages.append(f"The snapshot of step {int(folder.name):,} is damaged ({error}).")
    return None, damages


def size(state: State) -> int:
    """Bytes of a snapshot."""
    return sum(tensor.nbytes for tensor in state.tensors.values())


def _no_space_words(root: Path, state: State, error: Exception) -> str:
    try:
        free = f"{shutil.disk_usage(root).free / 1e6:,.0f} MB are free"
    except OSError:
        free = str(error)
    return (
        f"No room on the disk for a snapshot: it takes {size(state) / 1e6:,.0f} MB, {free}. The training "
        f"goes on and tries again every {PAUSE_SECONDS:.0f} seconds. Make room: an interruption would cost "
        "what was trained since the last snapshot."
    )


def _fill(draft: Path, state: State) -> None:
    draft.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, draft / TENSORS)
    (draft / VALUES).write_text(json.dumps(state.values), encoding="utf-8")
    manifest = {name: _fingerprint(draft / name) for name in (TENSORS, VALUES)}
    (draft / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    for name in (TENSORS, VALUES, MANIFEST):
        _force(draft / name)
    _force(draft)


def _read(folder: Path) -> State:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for name in (TENSORS, VALUES):
        if manifest[name] != _fingerprint(folder / name):
            raise ValueError(f"{name} is not as it was written")
    values = json.loads((folder / VALUES).read_text(encoding="utf-8"))
    return State(int(folder.name), load_file(folder / TENSORS), values)


def _numbered(root: Path) -> list[Path]:
    folders = [path for path in root.iterdir() if path.name.isdecimal()] if root.is_dir() else []
    return sorted(folders, key=lambda path: int(path.name), reverse=True)


def _clear_unfinished(root: Path) -> None:
    for path in root.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _fingerprint(file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}


def _force(path: Path) -> None:
    """Wait until the disk has it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _means_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    # The safetensors library says so in words alone.
    return any(words in str(error) for words in ("No space left", "File too large", "quota"))
