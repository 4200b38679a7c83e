"""Making room: what runs take on disk, which ones are old, and deleting those."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from filelock import Timeout

from core.base import folders
from core.base.errors import UserError
from core.runs.training import states, store
from core.runs.training.run import Gone, Run, hold, is_alive

log = logging.getLogger(__name__)

DAY_SECONDS = 24 * 3600

_HALF_WRITTEN = (".saving-*", ".*.new")
"""Files of a run that were being written when its process was lost."""


@dataclass
class Cleaning:
    """What became of an attempt to delete."""

    deleted: int = 0
    """Runs that are gone."""
    freed: int = 0
    """Bytes."""
    refused: list[tuple[Run, UserError]] = field(default_factory=list)
    """Runs that are still there, and why."""


def bytes_of(run: Run) -> int:
    """What deleting the run would free."""
    return folders.bytes_on_disk(run.folder)


def bytes_of_all() -> int:
    """What all runs take on disk, with what crashes left of some."""
    return folders.bytes_on_disk(store.runs_root())


def older_than(days: float) -> list[Run]:
    """Runs that ended more than `days` ago, the oldest first.

    Never one that waits or is being trained, or is about to go on by itself. A damaged run counts from the
    last change in its folder, if it does not say when it ended.
    """
    before = time.time() - days * DAY_SECONDS
    ended = [(ended_at(run), run) for run in store.list_runs() if _has_ended(run)]
    return [run for at, run in sorted(ended, key=lambda pair: pair[0]) if at < before]


def ended_at(run: Run) -> float:
    """When the run ended, in seconds since 1970; for a damaged one when its folder was last changed."""
    state = states.state(run)
    if state.ended is not None:
        return state.ended
    with suppress(OSError):
        return run.folder.lstat().st_mtime
    return time.time()


def delete(runs: Iterable[Run]) -> Cleaning:
    """Delete runs one by one; one that cannot be deleted does not keep the others."""
    done = Cleaning()
    for run in runs:
        try:
            done.freed += store.delete_run(run.id, spare_waiting=True)
            done.deleted += 1
        except Gone:
            log.info("run %s was deleted by somebody else", run.id)
        except UserError as error:
            done.refused.append((run, error))
    return done


def sweep() -> int:
    """Delete what crashes left: runs half submitted or half deleted, and half-written files of runs.

    Returns:
        Bytes freed.
    """
    freed = folders.sweep(store.runs_root())
    for run in store.list_runs():
        if not run.damage:
            # Somebody at work on the run may be writing just these.
            with suppress(Timeout, Gone, OSError), hold(run, timeout=0):
                freed += folders.sweep(run.folder, *_HALF_WRITTEN)
    return freed


def _has_ended(run: Run) -> bool:
    try:
        return not (states.state(run).live or is_alive(run) or states.is_lost(run))
    except OSError:
        return True  # Its lock is none, so nobody holds it.
