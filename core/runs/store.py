"""Runs on disk. The folder of a run is the truth about it; everything here reads or writes such folders.

<home>/runs/<id>/  config.json  dataset/  events.jsonl  run.lock  trainer.pid  log.txt  stop  stop-now
                   snapshots/  model/  report.json  predictions.parquet
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from core.data.datasets import Dataset, copy_dataset, read_dataset
from core.errors import UserError
from core.home import home
from core.learning import config as settings
from core.learning.config import TrainingConfig
from core.runs.events import FINAL, TURNS, Event, EventLog, parse_events, read_events, without_undone

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{22}")
WEIGHTS = "model.safetensors"
RESUME = "Resume it: it goes on from its last snapshot."
"""What to do about a run whose process was lost."""

STOP, STOP_NOW = "stop", "stop-now"
"""Files that carry a person's word to the process at work; they outlive both."""

_EDGE_BYTES = 4096

# Trying a lock takes it for an instant: two readers of one process must not take each other for the trainer.
_probe = threading.Lock()


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
    """Why the folder cannot be read, if so; then nothing else but id and folder is known."""


@dataclass(frozen=True)
class RunState:
    """What a run does at the moment of asking."""

    status: str
    """queued, running, stopping, finished, failed, stopped, interrupted or damaged."""
    reason: str = ""
    remedy: str = ""
    started: float | None = None
    ended: float | None = None

    @property
    def live(self) -> bool:
        """Whether it may still change by itself."""
        return self.status in ("queued", "running", "stopping")

    @property
    def seconds(self) -> float | None:
        """Time from its start to its end, or until now."""
        if self.started is None:
            return None
        # A clock may have been set back meanwhile.
        return max(0.0, (self.ended or time.time()) - self.started)


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
    run_id = secrets.token_urlsafe(16)
    draft = root / f".new-{run_id}"
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
        UserError: not the form of an id, or no such run.
    """
    if not isinstance(run_id, str) or not ID_PATTERN.fullmatch(run_id):
        raise UserError("the id of a run, 22 letters, digits, - or _", "something else", "Check the link.")
    folder = runs_root() / run_id
    if not folder.is_dir():
        raise UserError(
            "the id of a run that is kept here", "no such run", "It may have been deleted; see the Runs page."
        )
    return _read_run(folder)


def list_runs() -> list[Run]:
    """All runs, newest first, damaged ones among them."""
    root = runs_root()
    if not root.is_dir():
        return []
    folders = [path for path in root.iterdir() if ID_PATTERN.fullmatch(path.name) and path.is_dir()]
    return sorted(map(_read_run, folders), key=lambda run: run.number, reverse=True)


def state(run: Run) -> RunState:
    """What the run does now, from the first and the last of its events and from its lock."""
    if run.damage:
        return RunState("damaged", run.damage, "Delete it, or restore its folder from a copy.")
    found = _ended(run)
    if found is None and is_alive(run):
        started = _started(_edge_events(run))
        return RunState("stopping" if stop_asked(run) else "running", started=started)
    # Asked again: it may have ended between the two looks.
    return found or _ended(run) or _unattended(run)


def waiting_runs() -> list[Run]:
    """The line of queued runs, first in, first out."""
    return [run for run in reversed(list_runs()) if state(run).status == "queued"]


def state_unattended(run: Run) -> RunState:
    """What the run does, for whoever holds its lock."""
    return _ended(run) or _unattended(run)


def waits(run: Run) -> bool:
    """Whether no process has begun with the run yet. For whoever holds the run's lock."""
    return _ended(run) is None and _unattended(run).status == "queued"


def lost_runs() -> list[Run]:
    """Runs whose process is gone and about which nobody has said so yet."""
    return [run for run in list_runs() if is_lost(run)]


def live_runs() -> list[Run]:
    """Runs on which a process is at work, or which wait for one, the first in line first."""
    return [run for run in reversed(list_runs()) if state(run).live]


def is_lost(run: Run) -> bool:
    """Whether a process began with the run and is gone without a word."""
    if run.damage or has_ended(run) or is_alive(run):
        return False
    last = _last_turn(read_events(run.folder / "events.jsonl"))
    # Asked again: it may have ended between the two looks.
    return last is not None and last["type"] == "started" and not has_ended(run)


def can_resume(run: Run) -> bool:
    """Whether a person may let the run go on: interrupted, or failed for a cause that can be removed."""
    last = _last_turn(_edge_events(run))
    if last and last["type"] == "failed":
        return bool(last.get("resumable"))
    return not run.damage and not has_ended(run) and _unattended(run).status == "interrupted"


def smaller_batch(run: Run) -> int | None:
    """The batch size (texts) proposed after memory ran out; None when it did not."""
    last = _last_turn(_edge_events(run))
    smaller = last.get("smaller_batch") if last else None
    return smaller if isinstance(smaller, int) else None


def last_event(run: Run, kind: str) -> Event | None:
    """The newest event of a type that comes often, from the end of the file; None when none is there."""
    return next((event for event in reversed(_edge_events(run)) if event["type"] == kind), None)


def progress(run: Run) -> tuple[int, int | None]:
    """Steps done, and steps in all; these are not known before the data has been read."""
    last = next((e for e in reversed(_edge_events(run)) if e["type"] in ("step", "started")), None)
    started = last_event(run, "started")
    return last["step"] if last else 0, started["total_steps"] if started else None


def has_ended(run: Run) -> bool:
    """Whether the run said its last word: finished, failed or stopped."""
    return _ended(run) is not None


def is_alive(run: Run) -> bool:
    """Whether a process is at work on the run: it holds the run's lock for as long as it lives."""
    return is_held(run.folder / "run.lock")


def is_held(lock: Path) -> bool:
    """Whether another process, or another part of this one, holds the lock."""
    if not lock.exists():
        return False
    with _probe:
        try:
            with FileLock(lock, blocking=False):
                return False
        except Timeout:
            return True


def events_of(run: Run) -> list[Event]:
    """Everything that happened in the run so far, without the steps that an interruption undid."""
    return without_undone(read_events(run.folder / "events.jsonl"))


def ask_to_stop(run: Run, now: bool = False) -> None:
    """Leave word that the run should stop: at its next step, or `now`, whatever it is doing."""
    with suppress(FileNotFoundError):  # Deleted meanwhile: there is nothing left to stop.
        (run.folder / STOP).touch()
        if now:
            (run.folder / STOP_NOW).touch()


def stop_asked(run: Run) -> bool:
    """Whether somebody asked the run to stop."""
    return (run.folder / STOP).exists()


def stop_now_asked(run: Run) -> bool:
    """Whether somebody asked that the run should not even end its step."""
    return (run.folder / STOP_NOW).exists()


def forget_stop(run: Run) -> None:
    """Take back that it should stop: it goes on."""
    for name in (STOP, STOP_NOW):
        (run.folder / name).unlink(missing_ok=True)


def stop_heard(run: Run) -> bool:
    """Whether the process at work on the run has said that it is about to stop."""
    last = next((e for e in reversed(_edge_events(run)) if e["type"] in ("started", "stopping")), None)
    return last is not None and last["type"] == "stopping"


def snapshots_folder(run: Run) -> Path:
    """Where the state of the run's training is kept now and then."""
    return run.folder / "snapshots"


def model_folder(run: Run) -> Path | None:
    """The run's best weights so far, as a Hugging Face folder; None while there are none."""
    folder = run.folder / "model"
    return folder if (folder / WEIGHTS).is_file() else None


def report_of(run: Run) -> dict[str, Any] | None:
    """The run's scores, speed and hardware; None while there are none, or when the file is damaged."""
    try:
        return json.loads((run.folder / "report.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        log.warning("the report of run %s cannot be read", run.id)
        return None


def predictions_of(run: Run) -> pd.DataFrame | None:
    """split, text, label, predicted and confidence of each held-out text; None while there are none."""
    # Imported late: worker and trainer begin twice as fast without it.
    import pandas as pd

    path = run.folder / "predictions.parquet"
    return pd.read_parquet(path) if path.is_file() else None


def log_of(run: Run, characters: int = 20_000) -> str:
    """The end of what the training process printed."""
    try:
        content = (run.folder / "log.txt").read_bytes()
    except FileNotFoundError:
        return ""
    return content.decode("utf-8", errors="replace")[-characters:]


def own_dataset(run: Run) -> Dataset:
    """The run's own copy of its data, which stays when the saved data set is deleted."""
    return read_dataset(run.folder / "dataset")


def delete_run(run_id: str) -> int:
    """Delete a run that no process works on.

    Returns:
        Bytes freed.

    Raises:
        UserError: no such run, or it is being trained.
    """
    run = find_run(run_id)
    try:
        with FileLock(run.folder / "run.lock", timeout=1):
            size = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
            # Out of sight in one move; what a crash leaves behind is no half of a run.
            grave = run.folder.with_name(f".deleted-{run.id}")
            run.folder.rename(grave)
    except Timeout as error:
        raise UserError(
            "a run that has ended", "a run that is being trained", "Stop it first, then delete it."
        ) from error
    shutil.rmtree(grave)
    return size


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON so that the file is there whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=2, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read_run(folder: Path) -> Run:
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return Run(
            id=folder.name,
            folder=folder,
            number=int(content["number"]),
            name=str(content["name"]),
            dataset_id=str(content["dataset_id"]),
            created=float(content["created"]),
            config=settings.from_dict(content["settings"]),
        )
    except UserError as error:
        return Run(folder.name, folder, damage=f"Its settings are not those of this version: {error.reason}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Run(folder.name, folder, damage=f"Its config.json cannot be read ({type(error).__name__}).")


def _ended(run: Run) -> RunState | None:
    events = _edge_events(run)
    last = _last_turn(events)
    if last is None or last["type"] not in FINAL:
        return None
    return RunState(
        last["type"], last.get("reason", ""), last.get("remedy", ""), _started(events), last["time"]
    )


def _unattended(run: Run) -> RunState:
    """The state of a run without an end on which no process works: it waits, or its process was lost."""
    # All of them: what it did last may stand anywhere before its many steps.
    events = read_events(run.folder / "events.jsonl")
    started = _started(events)
    last = _last_turn(events)
    if last is None or last["type"] == "queued" or last.get("resumes"):
        return RunState("queued")
    if last["type"] == "interrupted":
        return RunState("interrupted", last["reason"], last["remedy"], started, last["time"])
    reason = "The training process ended without a word."
    return RunState("interrupted", reason, RESUME, started, events[-1]["time"])


def _last_turn(events: list[Event]) -> Event | None:
    return next((event for event in reversed(events) if event["type"] in TURNS), None)


def _started(events: list[Event]) -> float | None:
    return next((event["time"] for event in events if event["type"] == "started"), None)


def _edge_events(run: Run) -> list[Event]:
    """The events at both ends of the file: enough for the state, however long the run."""
    path = run.folder / "events.jsonl"
    try:
        found = path.stat()
        return _edges(path, found.st_size, found.st_mtime_ns)
    except FileNotFoundError:
        return []


@lru_cache(maxsize=1024)
def _edges(path: Path, size: int, changed: int) -> list[Event]:
    """Every look of every page asks this of every run: a file that has not changed is not read again."""
    if size <= 4 * _EDGE_BYTES:
        return read_events(path)
    with path.open("rb") as file:
        head = file.read(_EDGE_BYTES)
        file.seek(-_EDGE_BYTES, os.SEEK_END)
        tail = file.read()
    return parse_events(head) + parse_events(tail)
