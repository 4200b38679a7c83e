"""Runs on disk: create, find, list and delete them. The folder of a run is the truth about it."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout

from core.base import folders, locks
from core.base.errors import UserError
from core.base.home import home
from core.base.ids import is_id, new_id
from core.base.json_files import NO_JSON_OF_OURS, write_json
from core.base.json_forms import load
from core.data.storage.datasets import Dataset, copy_dataset
from core.learning import config as settings
from core.learning.config import TrainingConfig
from core.runs.training.events import EventLog
from core.runs.training.run import LOCK, REMEMBERED, Gone, Run, file_marks, hold
from core.runs.training.run_events import edge_events
from core.runs.training.states import is_lost, state, waits

_LATEST = 9e9
"""Seconds since 1970: the year 2255, to which every library counts."""


def runs_root() -> Path:
    """The folder of all runs."""
    return home() / "runs"


def create_run(config: TrainingConfig, dataset: Dataset) -> Run:
    """Write the folder of a new run, in one piece, at the end of the line.

    Raises:
        UserError: settings out of range.
    """
    settings.check(config)
    root = runs_root()
    root.mkdir(parents=True, exist_ok=True)
    run_id = new_id()
    folders.sweep(root)
    draft = root / f"{folders.DRAFT}{run_id}"
    draft.mkdir()
    try:
        copy_dataset(dataset, draft / "dataset")
        with EventLog(draft / "events.jsonl") as events:
            events.append({"type": "queued"})
        # The lock makes numbers unique: the clock may jump, and two may submit at the same instant.
        with FileLock(root / ".submit.lock"):
            content = {
                "number": 1 + max((run.number for run in list_runs()), default=0),
                "name": dataset.name,
                "dataset_id": dataset.id,
                "created": time.time(),
                "settings": settings.to_dict(config),
            }
            write_json(draft / "config.json", content)
            draft.rename(root / run_id)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return _read_run(root / run_id)


def find_run(run_id: str) -> Run:
    """The run with this id, as it stands in a link or a command.

    Raises:
        UserError: not the form of an id.
        Gone: no such run.
    """
    if not is_id(run_id):
        raise UserError("the id of a run, 22 letters, digits, - or _", "something else", "Check the link.")
    folder = runs_root() / run_id
    if not (folder.exists() or folder.is_symlink()):
        raise Gone()
    return _read_run(folder)


def list_runs() -> list[Run]:
    """All runs, newest first, damaged ones among them; last those of which not even the number is known."""
    root = runs_root()
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if is_id(path.name)]
    return sorted(map(_read_run, found), key=lambda run: run.number, reverse=True)


def waiting_runs() -> list[Run]:
    """The line of queued runs, first in, first out."""
    return [run for run in reversed(list_runs()) if state(run).status == "queued"]


def lost_runs() -> list[Run]:
    """Runs whose process is gone and about which nobody has said so yet."""
    return [run for run in list_runs() if is_lost(run)]


def live_runs() -> list[Run]:
    """Runs on which a process is at work, or which wait for one, the first in line first."""
    return [run for run in reversed(list_runs()) if state(run).live]


def delete_run(run_id: str, spare_waiting: bool = False) -> int:
    """Delete a run that no process works on, damaged or not.

    Args:
        spare_waiting: refuse a run that waits in line, too: somebody may just have let it go on.

    Returns:
        Bytes freed.

    Raises:
        UserError: it is being trained, or waits and is to be spared, or its files may not be deleted.
        Gone: no such run.
    """
    run = find_run(run_id)
    if not _has_lock(run):
        return folders.clear(folders.move_to_trash(run.folder))
    try:
        with hold(run, timeout=1):
            if spare_waiting and not run.damage and waits(run):
                raise UserError("a run that has ended", "one that waits", "Take it out of the line first.")
            # Out of sight in one move: what a crash leaves behind is no half of a run.
            grave = folders.move_to_trash(run.folder)
    except Timeout as error:
        raise UserError(
            "a run that has ended", "a run that is being trained", "Stop it first, then delete it."
        ) from error
    except OSError as error:
        raise UserError(
            "a run whose files may be changed", f"one that may not ({error.strerror})", folders.REPERMIT
        ) from error
    return folders.clear(grave)


def _has_lock(run: Run) -> bool:
    """Whether anybody could hold the run: not a file or link in its place, and not where its lock is none."""
    lock = run.folder / LOCK
    try:
        return _is_folder(run.folder) and not lock.is_symlink() and not lock.is_dir()
    except OSError:
        return True


def _read_run(folder: Path) -> Run:
    try:
        if not _is_folder(folder):
            kind = "a link to another place" if folder.is_symlink() else "a file"
            return Run(folder.name, folder, damage=f"It is {kind}, and not a folder.")
        found = (folder / "config.json").stat()
        run = _parse_run(folder, *file_marks(found))
    except UserError as error:
        return Run(folder.name, folder, damage=f"Its settings are not those of this version: {error.reason}")
    except FileNotFoundError:
        return Run(folder.name, folder, damage="Its config.json is missing.")
    except NO_JSON_OF_OURS as error:
        return Run(folder.name, folder, damage=f"Its config.json cannot be read ({type(error).__name__}).")
    return replace(run, damage=_damage(run))


@lru_cache(maxsize=REMEMBERED)
def _parse_run(folder: Path, *marks: int) -> Run:
    content = load(folder / "config.json")
    given = dict(content["settings"])
    known = [field.name for field in fields(TrainingConfig)]
    run = Run(
        id=folder.name,
        folder=folder,
        number=int(content["number"]),
        name=str(content["name"]),
        dataset_id=str(content["dataset_id"]),
        created=float(content["created"]),
        config=settings.from_dict({name: given[name] for name in known if name in given}),
        unknown=tuple(sorted(set(given) - set(known))),
        unrecorded=tuple(name for name in known if name not in given),
    )
    if run.number < 1 or not 0 <= run.created < _LATEST:
        raise ValueError("a number or a time that no run has")
    return run


def _damage(run: Run) -> str | None:
    """What is wrong with the files that tell what the run does."""
    if not _has_lock(run):
        return f"Its {LOCK} is a folder or a link."
    try:
        # Opened, not tried: whoever tries it looks like somebody at work to others.
        os.close(os.open(run.folder / LOCK, os.O_RDWR | locks.NO_LINK))
    except FileNotFoundError:
        pass
    except OSError as error:
        return f"Its {LOCK} cannot be opened ({error.strerror})."
    return None if edge_events(run) else "Its events.jsonl is missing, empty or cannot be read."


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
