"""Runs on disk. The folder of a run is the truth about it; everything here reads or writes such folders.

<home>/runs/<id>/  config.json  dataset/  events.jsonl  run.lock  trainer.pid  log.txt  stop  stop-now
                   snapshots/  model/  report.json  predictions.parquet
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from core.base import folders, locks
from core.base.errors import UserError
from core.base.home import home
from core.base.json_files import NO_JSON_OF_OURS, write_json
from core.base.json_forms import load
from core.data.storage.datasets import Dataset, copy_dataset, read_dataset
from core.learning import config as settings
from core.learning.config import TrainingConfig
from core.runs.results.report_json import sound_report
from core.runs.training.events import FINAL, TURNS, Event, EventLog, parse_events, read_events, without_undone

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

log = logging.getLogger(__name__)

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{22}")
WEIGHTS = "model.safetensors"
RESUME = "Resume it: it goes on from its last snapshot."
"""What to do about a run whose process was lost."""

REPAIR = "Delete it, or restore its folder from a copy."
"""What to do about a run whose folder is damaged."""

STOP, STOP_NOW = "stop", "stop-now"
"""Files that carry a person's word to the process at work; they outlive both."""

LOCK = "run.lock"
"""Held by whoever works on the run, for as long as they live."""

_EDGE_BYTES = 4096
_REMEMBERED = 4096
"""Runs whose files are not read again while they stay as they are."""
_PROBABILITIES = "probabilities"
_PREDICTIONS = ("split", "text", "label", "predicted", "confidence")
_LATEST = 9e9
"""Seconds since 1970: the year 2255, to which every library counts."""


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


class Gone(UserError):
    """There is no such run, or no longer."""

    def __init__(self) -> None:
        super().__init__(
            "the id of a run that is kept here", "no such run", "It may have been deleted; see the Runs page."
        )


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
    run_id = _new_id()
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


def _new_id() -> str:
    # On a command line what begins with a dash is an option.
    while (run_id := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return run_id


def find_run(run_id: str) -> Run:
    """The run with this id, as it stands in a link or a command.

    Raises:
        UserError: not the form of an id.
        Gone: no such run.
    """
    if not isinstance(run_id, str) or not ID_PATTERN.fullmatch(run_id):
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
    found = [path for path in root.iterdir() if ID_PATTERN.fullmatch(path.name)]
    return sorted(map(_read_run, found), key=lambda run: run.number, reverse=True)


def state(run: Run) -> RunState:
    """What the run does now, from the first and the last of its events and from its lock."""
    if run.damage:
        return RunState("damaged", run.damage, REPAIR)
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
    last = _story(run).last_turn
    # Asked again: it may have ended between the two looks.
    return last is not None and last["type"] == "started" and not has_ended(run)


def can_resume(run: Run) -> bool:
    """Whether a person may let the run go on: interrupted, or failed for a cause that can be removed."""
    if run.damage or run.unknown:
        return False
    last = _last_turn(_tail(run))
    if last and last["type"] == "failed":
        return bool(last.get("resumable"))
    return not has_ended(run) and _unattended(run).status == "interrupted"


def smaller_batch(run: Run) -> int | None:
    """The batch size (texts) proposed after memory ran out; None when it did not."""
    last = _last_turn(_tail(run))
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
    last = next((e for e in reversed(_tail(run)) if e["type"] in ("started", "stopping")), None)
    return last is not None and last["type"] == "stopping"


def snapshots_folder(run: Run) -> Path:
    """Where the state of the run's training is kept now and then."""
    return run.folder / "snapshots"


def model_folder(run: Run) -> Path | None:
    """The run's best weights so far, as a Hugging Face folder; None while there are none."""
    folder = run.folder / "model"
    return folder if not run.folder.is_symlink() and _is_file(folder / WEIGHTS) else None


def report_of(run: Run) -> dict[str, Any] | None:
    """The run's scores, speed and hardware, as far as they are sound; None when nothing is.

    See `reports.sound_report` for what may be missing.
    """
    try:
        return sound_report(load(run.folder / "report.json"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        log.warning("the report of run %s cannot be read", run.id)
        return None


def classes_of(run: Run) -> list[str]:
    """The run's classes in the order of their numbers, which is that of all probabilities.

    Raises:
        UserError: the run's own copy of its data set is damaged.
    """
    label2id = own_dataset(run).label2id
    return sorted(label2id, key=label2id.__getitem__)


def predictions_of(run: Run) -> pd.DataFrame | None:
    """split, text, label, predicted and confidence of each held-out text; and its probabilities, where they
    are known: an array of float32 per text, in the order of `classes_of`, uncalibrated.

    None while there are none, or when the file is damaged. Earlier versions wrote no probabilities.
    """
    # Imported late: worker and trainer begin twice as fast without it.
    import pandas as pd
    import pyarrow as pa

    try:
        table = pd.read_parquet(run.folder / "predictions.parquet", columns=list(_PREDICTIONS))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, pa.ArrowException):
        log.warning("the predictions of run %s cannot be read", run.id)
        return None
    if not _are_answers(table):
        log.warning("the predictions of run %s are none", run.id)
        return None
    probabilities = _probabilities(run, len(table))
    return table if probabilities is None else table.assign(probabilities=list(probabilities))


def _are_answers(table: pd.DataFrame) -> bool:
    """Whether every cell holds what it should: words, and confidences between 0 and 1."""
    import pandas as pd

    texts = [name for name in _PREDICTIONS if name != "confidence"]
    words = all(map(pd.api.types.is_string_dtype, (table[name] for name in texts)))
    if not words or not pd.api.types.is_numeric_dtype(table["confidence"]) or table.isna().any(axis=None):
        return False
    return bool(table["confidence"].between(0, 1.001).all())


def _probabilities(run: Run, texts: int) -> np.ndarray | None:
    """float32 [texts, classes]; None when there are none, or they are damaged."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    file = run.folder / "predictions.parquet"
    try:
        if _PROBABILITIES not in parquet.read_schema(file).names:
            return None
        column = parquet.read_table(file, columns=[_PROBABILITIES])[_PROBABILITIES].combine_chunks()
        classes = len(classes_of(run))
        numbers = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        whole = column.null_count == 0 and set(np.diff(column.offsets.to_numpy()).tolist()) <= {classes}
        if not whole or not (np.isfinite(numbers) & (numbers >= 0) & (numbers <= 1.001)).all():
            raise ValueError("they are no probabilities of its classes")
        return numbers.reshape(texts, classes)
    except (OSError, ValueError, TypeError, AttributeError, pa.ArrowException, UserError) as error:
        log.warning("the probabilities of run %s are passed over: %s", run.id, error)
        return None


def log_of(run: Run, characters: int = 20_000) -> str:
    """The end of what the training process printed."""
    try:
        content = (run.folder / "log.txt").read_bytes()
    except OSError:
        return ""
    return content.decode("utf-8", errors="replace")[-characters:]


def own_dataset(run: Run) -> Dataset:
    """The run's own copy of its data, which stays when the saved data set is deleted."""
    return read_dataset(run.folder / "dataset")


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
        run = _parse_run(folder, *_marks(found))
    except UserError as error:
        return Run(folder.name, folder, damage=f"Its settings are not those of this version: {error.reason}")
    except FileNotFoundError:
        return Run(folder.name, folder, damage="Its config.json is missing.")
    except NO_JSON_OF_OURS as error:
        return Run(folder.name, folder, damage=f"Its config.json cannot be read ({type(error).__name__}).")
    return replace(run, damage=_damage(run))


@lru_cache(maxsize=_REMEMBERED)
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
    return None if _edge_events(run) else "Its events.jsonl is missing, empty or cannot be read."


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _ended(run: Run) -> RunState | None:
    # A last word is the last event: one further up was followed by another try.
    last = _last_turn(_tail(run))
    if last is None or last["type"] not in FINAL:
        return None
    started = _started(_edge_events(run))
    return RunState(last["type"], last.get("reason", ""), last.get("remedy", ""), started, last["time"])


def _unattended(run: Run) -> RunState:
    """The state of a run without an end on which no process works: it waits, or its process was lost."""
    story = _story(run)
    started, last = story.started, story.last_turn
    if last is None:
        return RunState("damaged", "Its events are gone.", REPAIR)
    if run.unknown:
        names = ", ".join(run.unknown)
        reason = f"It was made by another version, with settings that this one lacks: {names}."
        return RunState("damaged", reason, "Go on with it in the version that made it, or delete it.")
    if last["type"] == "queued" or last.get("resumes"):
        return RunState("queued")
    if last["type"] == "interrupted":
        return RunState("interrupted", last["reason"], last["remedy"], started, last["time"])
    reason = "The training process ended without a word."
    return RunState("interrupted", reason, RESUME, started, story.last_time)


@dataclass(frozen=True)
class _Story:
    """What all events of a run together say of what it does."""

    last_turn: Event | None
    started: float | None
    last_time: float | None


def _story(run: Run) -> _Story:
    """Of all events: what a run did last may stand anywhere before its many steps."""
    path = run.folder / "events.jsonl"
    try:
        found = path.stat()
    except OSError:
        return _Story(None, None, None)
    return _read_story(path, *_marks(found))


@lru_cache(maxsize=_REMEMBERED)
def _read_story(path: Path, *marks: int) -> _Story:
    events = read_events(path)
    return _Story(_last_turn(events), _started(events), events[-1]["time"] if events else None)


def _last_turn(events: list[Event]) -> Event | None:
    return next((event for event in reversed(events) if event["type"] in TURNS), None)


def _started(events: list[Event]) -> float | None:
    return next((event["time"] for event in events if event["type"] == "started"), None)


def _edge_events(run: Run) -> list[Event]:
    """The events at both ends of the file, of which those in between are mostly steps."""
    head, tail = _ends(run)
    return head + tail


def _tail(run: Run) -> list[Event]:
    """The newest events: the last one is among them, however long the run."""
    return _ends(run)[1]


def _ends(run: Run) -> tuple[list[Event], list[Event]]:
    path = run.folder / "events.jsonl"
    try:
        found = path.stat()
        return _read_ends(path, *_marks(found))
    except OSError:
        return [], []


def marks_of(run: Run, *names: str) -> tuple[tuple[int, int, int] | None, ...]:
    """Of each of these files of the run: what changes with its content; None where it cannot be looked at."""
    return tuple(map(_marks_or_none, (run.folder / name for name in names)))


def _marks_or_none(path: Path) -> tuple[int, int, int] | None:
    try:
        return _marks(path.stat())
    except OSError:
        return None


def _marks(found: os.stat_result) -> tuple[int, int, int]:
    """What changes with the content of a file, and (the last one) with who may read it."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=_REMEMBERED)
def _read_ends(path: Path, size: int, *marks: int) -> tuple[list[Event], list[Event]]:
    """Every look of every page asks this of every run: a file that has not changed is not read again."""
    if size <= 4 * _EDGE_BYTES:
        return [], read_events(path)
    with path.open("rb") as file:
        head = file.read(_EDGE_BYTES)
        file.seek(-_EDGE_BYTES, os.SEEK_END)
        tail = file.read()
    return parse_events(head), parse_events(tail)
