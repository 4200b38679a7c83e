"""Labellings: a file that a process of its own labels, whatever becomes of the tab and the server.

<home>/labellings/<id>/  request.json   what is labelled, how, and what the file is called
                         parts/         see `core.serving.file_labelling`
                         progress.json  how far it is
                         result.json    how it ended: what is to be said of it, or why it failed
                         out/           the labelled file, in every form that somebody asked for
                         lock           held by the process for as long as it lives
                         stop           somebody asked it to stop
                         log.txt        what it printed

Pages use this module: no torch in it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base import folders, locks
from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.home import home
from core.base.memory_kills import memory_kills, see_off
from core.data.storage.uploads import KEPT_SECONDS
from core.runs.training import engines
from core.serving import file_labelling
from core.serving.file_labelling import Plan

START_SECONDS = 30.0
"""Time from the start of a process until it must hold its lock."""

SMALL_FILES = 1_000_000
"""Bytes that a labelling takes besides its parts, by and large."""

NAME_CHARACTERS = 200
MEMORY_RAN_OUT = {
    "status": "failed",
    "reason": "The system ended the process (SIGKILL), most likely because memory ran out.",
    "remedy": "Close other programs, then resume it.",
}

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Labelling:
    """One labelling on disk."""

    id: str
    name: str
    """What the file is called: for showing, never for a path."""
    plan: Plan
    folder: Path

    @property
    def parts(self) -> Path:
        """Where its rows are."""
        return self.folder / "parts"

    @property
    def lock(self) -> Path:
        """Held by its process."""
        return self.folder / "lock"

    @property
    def stop_file(self) -> Path:
        """There once somebody asked it to stop."""
        return self.folder / "stop"


@dataclass(frozen=True)
class LabellingState:
    """What a labelling does at the moment of asking."""

    status: str
    """running, stopping, stopped, interrupted, failed or finished."""
    done: int = 0
    rows: int = 0
    """In all; 0 while that is not known."""
    rate: float = 0.0
    """Rows per second of this go; 0 while that is not known."""
    reason: str = ""
    remedy: str = ""
    resumable: bool = False
    """Whether it may come further when it goes on."""
    result: dict[str, Any] | None = None
    """Once it is finished: see `labelling.label_into`."""

    @property
    def live(self) -> bool:
        """Whether it may still change by itself."""
        return self.status in ("running", "stopping")

    @property
    def seconds_left(self) -> float | None:
        """Time until its end; None while that is not known."""
        return (self.rows - self.done) / self.rate if self.rate > 0 and self.rows else None


def start(name: str, plan: Plan) -> Labelling:
    """Write a labelling down and start its process; those that nobody looked after for a day are removed.

    Raises:
        UserError: the file or the model is gone.
        NoSpace: the disk is full; nothing of it is left.
    """
    plan.check()
    root = home() / "labellings"
    folders.sweep(root, "*", age=KEPT_SECONDS, spare=_may_be_at_work)
    folder = root / secrets.token_urlsafe(16)
    content = {"name": name[-NAME_CHARACTERS:], "plan": plan.facts()}
    try:
        with full_is_said("this labelling", SMALL_FILES, root):
            folder.mkdir(parents=True)
            _write(folder / "request.json", content)
            found = find(folder.name)
            _launch(found)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return found


def _may_be_at_work(folder: Path) -> bool:
    try:
        return locks.is_held(folder / "lock")
    except OSError:
        return True


def find(id: str) -> Labelling:
    """The labelling with this id.

    Raises:
        UserError: the id is malformed, or nothing whole is kept under it (any more).
    """
    folder = home() / "labellings" / id if _ID.fullmatch(id) else None
    try:
        if folder is None:
            raise ValueError("not the form of an id")
        facts = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        name, plan = str(facts["name"]), Plan.from_facts(facts["plan"])
        name.encode()  # Half a character, which no page can show, is a ValueError.
    except _DAMAGED as error:
        raise UserError(
            "a labelling", "none that is kept under this link", "Label the file again."
        ) from error
    return Labelling(id, name, plan, folder)


def resume(found: Labelling) -> None:
    """Let it go on after its last whole part.

    Raises:
        UserError: the file or the model is gone.
        NoSpace: the disk is full.
    """
    if state(found).live:
        return
    found.plan.check()
    with full_is_said("this labelling", SMALL_FILES, found.folder):
        found.stop_file.unlink(missing_ok=True)
        (found.folder / "result.json").unlink(missing_ok=True)
        _launch(found)


def stop(found: Labelling) -> None:
    """Ask it to stop before its next part; what it has labelled stays."""
    with suppress(OSError):
        found.stop_file.touch()


def delete(found: Labelling) -> None:
    """Ask it to stop, and remove it; one that is gone already is fine."""
    stop(found)
    shutil.rmtree(found.folder, ignore_errors=True)


@dataclass(frozen=True)
class Output:
    """The labelled file in one form."""

    path: Path
    changed: int
    """Cells and names that were changed for spreadsheets."""


def output(found: Labelling, form: str, safe: bool) -> Output:
    """The labelled file in this form; written at the first demand, a part at a time.

    Args:
        form: see `labelling.write_out`.
        safe: for CSV: safe for spreadsheets, and marked as UTF-8 for them.

    Raises:
        NoSpace: the disk is full.
    """
    path = found.folder / "out" / f"{'safe' if safe else 'plain'}.{form}"
    note = path.with_name(f"{path.name}.json")
    kept = _read(note).get("changed")
    if type(kept) is int and path.is_file():
        return Output(path, kept)
    path.parent.mkdir(exist_ok=True)
    changed = file_labelling.write_out(file_labelling.parts_of(found.parts), path, form, safe, mark=safe)
    with full_is_said("the labelled file", SMALL_FILES, found.folder):
        _write(note, {"changed": changed})
    return Output(path, changed)


def _launch(found: Labelling) -> None:
    # From now on it counts as at work: the process takes a moment to its lock.
    _write_progress(found, {**_read(found.folder / "progress.json"), "rate": 0.0, "asked": time.time()})
    kills = memory_kills()
    process = engines.start_labelling(found.folder)
    see_off(process, kills, lambda: end(found, MEMORY_RAN_OUT))


def state(found: Labelling) -> LabellingState:
    """Whether it is at work and how far it is, or how it ended."""
    progress = _read(found.folder / "progress.json")
    done, rows = (max(0, int(_number(progress.get(name)))) for name in ("done", "rows"))
    rate = max(0.0, _number(progress.get("rate")))
    done = min(done, rows)
    ended = _read(found.folder / "result.json")
    asked = found.stop_file.exists()
    with suppress(OSError):
        starting = not ended and 0 <= time.time() - _number(progress.get("asked")) < START_SECONDS
        if locks.is_held(found.lock) or (starting and not asked):
            return LabellingState("stopping" if asked else "running", done, rows, rate=rate)
    if ended.get("status") == "finished":
        return _finished(found, ended)
    if ended.get("status") == "failed":
        words = str(ended.get("reason")), str(ended.get("remedy"))
        resumable = ended.get("resumable") is not False
        return LabellingState("failed", done, rows, reason=words[0], remedy=words[1], resumable=resumable)
    status = "stopped" if asked else "interrupted"
    return LabellingState(status, done, rows, resumable=True)


def _finished(found: Labelling, ended: dict[str, Any]) -> LabellingState:
    result: Any = ended.get("result")
    try:
        sound = result["rows"] > 0 and set(result["columns"]) == {"label", "confidence", "unsure", "classes"}
    except _DAMAGED:
        sound = False
    if not sound or not file_labelling.parts_of(found.parts):
        return LabellingState("failed", reason="Its result is damaged.", remedy="Resume it.", resumable=True)
    return LabellingState("finished", result["rows"], result["rows"], result=result)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except _DAMAGED:
        return {}
    return content if isinstance(content, dict) else {}


def _number(value: object) -> float:
    return float(value) if (type(value) is int or type(value) is float) and abs(value) < 2**53 else 0.0


# Said by the process at work


def say(found: Labelling, done: int, rows: int, rate: float) -> None:
    """Write down how far it is."""
    _write_progress(found, {"done": done, "rows": rows, "rate": rate, "pid": os.getpid()})


def _write_progress(found: Labelling, content: dict[str, Any]) -> None:
    _write(found.folder / "progress.json", content)


def end(found: Labelling, content: dict[str, Any]) -> None:
    """Write down how it ended."""
    _write(found.folder / "result.json", content)


def _write(path: Path, content: dict[str, Any]) -> None:
    # ASCII only: a rejected row may hold half of a character.
    with whole_file(path) as draft:
        draft.write_text(json.dumps(content), encoding="ascii")
