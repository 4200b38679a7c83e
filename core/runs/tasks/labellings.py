"""Labellings: a file that a process of its own labels, whatever becomes of the tab and the server.

<home>/labellings/<id>/  a job's files (see `core.runs.jobs.job`), and
                         parts/  see `core.serving.file_labelling.labelling`
                         out/    the labelled file, in every form that somebody asked for

Pages use this module: no torch in it.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base import folders, locks
from core.base.disk import full_is_said
from core.base.errors import UserError
from core.base.formatting import count, duration, escape_markdown
from core.base.home import home
from core.base.ids import is_id, new_id
from core.base.json_files import NO_JSON_OF_OURS, read_object, write_json
from core.data.storage.uploads import KEPT_SECONDS
from core.runs.jobs import job
from core.runs.jobs.job import Job, Task
from core.serving.file_labelling.parts import parts_of
from core.serving.file_labelling.plan import Plan
from core.serving.file_labelling.writing import write_out

log = logging.getLogger(__name__)

TASK = Task("core.runs.tasks.labelling_work", "this labelling", "Resume it")

NAME_CHARACTERS = 200


@dataclass(frozen=True)
class Labelling:
    """One labelling on disk."""

    name: str
    """What the file is called: for showing, never for a path."""
    plan: Plan
    job: Job

    @property
    def id(self) -> str:
        """Under which it is found again, as in a link."""
        return self.job.folder.name

    @property
    def parts(self) -> Path:
        """Where its rows are."""
        return self.job.folder / "parts"


@dataclass(frozen=True)
class LabellingState:
    """What a labelling does at the moment of asking."""

    status: str
    """See `job.JobState`; never none."""
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
    found = Labelling(name[-NAME_CHARACTERS:], plan, Job(TASK, root / new_id()))
    try:
        with full_is_said("this labelling", job.SMALL_FILES, root):
            found.job.folder.mkdir(parents=True)
            job.start(found.job, {"name": found.name, "plan": plan.facts()})
    except BaseException:
        shutil.rmtree(found.job.folder, ignore_errors=True)
        raise
    return found


def _may_be_at_work(folder: Path) -> bool:
    try:
        return locks.is_held(Job(TASK, folder).lock)
    except OSError:
        return True


def find(id: str) -> Labelling:
    """The labelling with this id.

    Raises:
        UserError: the id is malformed, or nothing whole is kept under it (any more).
    """
    try:
        if not is_id(id):
            raise ValueError("not the form of an id")
        return labelling_of(Job(TASK, home() / "labellings" / id))
    except NO_JSON_OF_OURS as error:
        raise UserError(
            "a labelling", "none that is kept under this link", "Label the file again."
        ) from error


def labelling_of(found: Job) -> Labelling:
    """What the job's request asks for.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    facts = found.request()
    name, plan = str(facts["name"]), Plan.from_facts(facts["plan"])
    name.encode()  # Half a character, which no page can show, is a ValueError.
    return Labelling(name, plan, found)


def resume(found: Labelling) -> None:
    """Let it go on after its last whole part.

    Raises:
        UserError: the file or the model is gone.
        NoSpace: the disk is full.
    """
    now = job.state(found.job)
    if now.live:
        return
    found.plan.check()
    with full_is_said("this labelling", job.SMALL_FILES, found.job.folder):
        job.start(found.job, progress={**now.progress, "rate": 0.0})


def stop(found: Labelling) -> None:
    """Ask it to stop before its next part; what it has labelled stays."""
    job.ask_to_stop(found.job)


def delete(found: Labelling) -> None:
    """Ask it to stop, and remove it; one that is gone already is fine."""
    stop(found)
    if not found.job.folder.exists():
        return
    try:
        # Moved first: its process may be at work still, and must find nothing to write into.
        folders.clear(folders.move_to_trash(found.job.folder))
    except UserError as error:
        log.warning("%s", error)  # Swept after a day.


def state(found: Labelling) -> LabellingState:
    """Whether it is at work and how far it is, or how it ended."""
    now = job.state(found.job)
    if now.status == "finished":
        return _finished(found, now.result)
    rows = _count(now.progress.get("rows"))
    return LabellingState(
        status=now.status,
        done=min(_count(now.progress.get("done")), rows),
        rows=rows,
        rate=max(0.0, job.number(now.progress.get("rate"))),
        reason=now.reason,
        remedy=now.remedy,
        resumable=now.resumable,
    )


def _finished(found: Labelling, result: dict[str, Any]) -> LabellingState:
    try:
        sound = result["rows"] > 0 and set(result["columns"]) == {"label", "confidence", "unsure", "classes"}
    except NO_JSON_OF_OURS:
        sound = False
    if sound and parts_of(found.parts):
        return LabellingState("finished", result["rows"], result["rows"], result=result)
    broken = job.damaged(found.job)
    return LabellingState(broken.status, reason=broken.reason, remedy=broken.remedy, resumable=True)


def _count(value: object) -> int:
    return max(0, int(job.number(value)))


def progress_in_words(now: LabellingState) -> str:
    """How far a labelling at work is."""
    if not now.rows:
        return "Reading the file and loading the model"
    words = f"{now.done:,} of {count(now.rows, 'row')}"
    if now.status == "stopping":
        return f"{words}; stopping when the rows at hand are done"
    if now.seconds_left is None:
        return words
    return f"{words}, {now.rate:,.0f} per second, about {duration(now.seconds_left)} left"


def end_in_words(now: LabellingState) -> str:
    """How a labelling ended that is not finished, as safe Markdown."""
    words = {
        "stopped": "It was stopped. ",
        "interrupted": "It was interrupted: its process ended without a word. ",
        "failed": f"{escape_markdown(now.reason)} {escape_markdown(now.remedy)} ",
    }[now.status]
    done = f"{now.done:,} of {count(now.rows, 'row')} are labelled and kept. "
    return words + (done if now.rows and now.resumable else "")


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
    path = found.job.folder / "out" / f"{'safe' if safe else 'plain'}.{form}"
    note = path.with_name(f"{path.name}.json")
    kept = (read_object(note) or {}).get("changed")
    if type(kept) is int and path.is_file():
        return Output(path, kept)
    path.parent.mkdir(exist_ok=True)
    changed = write_out(parts_of(found.parts), path, form, safe, mark=safe)
    with full_is_said("the labelled file", job.SMALL_FILES, found.job.folder):
        write_json(note, {"changed": changed})
    return Output(path, changed)
