"""python -m core.runs.training.trainer FOLDER [CARD]: trains one run, from its folder and into it.

Everything it prints goes to the run's log; everything that happens becomes an event; whatever goes wrong
becomes a reason for people and a full trace in the log.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from core.base.disk import NoSpace, full_is_said, whole_file
from core.base.errors import UserError
from core.base.json_files import write_json
from core.base.memory import OutOfMemory, shortage_is_said
from core.learning.evaluation.calibration import write_calibration
from core.runs.jobs import failures
from core.runs.training import disk_space, processes, states, stop_requests, store
from core.runs.training.events import Event, EventLog, Reserve
from core.runs.training.run import Run, hold, snapshots_folder

if TYPE_CHECKING:
    from core.learning.training.train import TrainingOutcome

log = logging.getLogger("textuner")

RETRY_SECONDS = 5.0
"""Time between two tries to write the last event to a full disk."""

RESUME = "Make room, then resume: it goes on from its last snapshot, and is judged again."


def main(folder: Path, card: int = 0) -> int:
    """Train the run in this folder. Returns the exit code: 0 when it ended as it should.

    Args:
        card: the GPU that it is the only training on, from 0; CUDA_VISIBLE_DEVICES names it.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    run = store.find_run(folder.name)
    # One training at a time on the device; one writer of this run's events.
    with FileLock(processes.device_lock(card)), hold(run):
        if not states.waits(run):
            log.info("nothing to do: the run does not wait any more")
            return 0
        with suppress(OSError):  # On a full disk; the run can do without.
            processes.write_pid(run)
        with EventLog(run.folder / "events.jsonl") as events:
            ending = _train(run, events)
            _say(run, events, ending)
        processes.forget_pid(run)
        return 0 if ending["type"] != "failed" else 1


def _train(run: Run, events: EventLog) -> Event:
    """Train, and say in one event how it ended."""
    try:
        warning = disk_space.check_start(run)
        if warning:
            events.append({"type": "note", "message": warning})
        closing = disk_space.hold_closing(run)
        try:
            return _train_and_keep(run, events, closing)
        finally:
            closing.give_up()
    except UserError as error:
        log.info("%s", error)
        return _failed(run, error)
    except Exception as error:
        log.exception("the training broke off")
        return _failed(run, error)


def _failed(run: Run, error: Exception) -> Event:
    meant = failures.translate(
        error, "the training", run.folder, disk_space.SMALL_FILES, disk_space.RESUME, run.config.batch_size
    )
    details = "The run's log has the details. Start it again, or with other settings."
    reason, remedy = failures.reason_and_remedy(meant, "the training", details)
    ending: Event = {"type": "failed", "reason": reason, "remedy": remedy}
    if isinstance(meant, NoSpace):
        ending["resumable"] = True
    if isinstance(meant, OutOfMemory):
        # Once other programs are closed it may go on; with smaller batches it is another training.
        ending["resumable"] = any(path.name.isdecimal() for path in snapshots_folder(run).glob("*"))
        if meant.smaller_batch:
            ending["smaller_batch"] = meant.smaller_batch
    return ending


def _say(run: Run, events: EventLog, ending: Event) -> None:
    """Put the last event on the disk, whatever has to make way, and give back what nobody needs after it."""
    events.append(ending)
    failed = ending["type"] == "failed"
    while not events.flush():
        if not (_give_up_older(run) if failed else disk_space.give_back(run)):
            # Nothing is left to give up. Without this event nobody would know how the run ended.
            time.sleep(RETRY_SECONDS)
    if not failed:
        # What has ended needs no state to go on from; until it has, a kill must not cost all of it.
        disk_space.give_back(run)


def _give_up_older(run: Run) -> bool:
    from core.learning.training.checkpoints import give_up_older

    return give_up_older(snapshots_folder(run))


def _train_and_keep(run: Run, events: EventLog, closing: Reserve) -> Event:
    # Imported late: torch takes seconds, and the locks should be held before them.
    from core.data.storage.datasets import load_splits
    from core.learning.training.hooks import Hooks
    from core.learning.training.train import train_classifier

    def report(event: dict[str, object]) -> None:
        events.append(event)
        log.info("%s", _in_words(event))

    heard = False

    def should_stop() -> bool:
        nonlocal heard
        asked = stop_requests.stop_asked(run)
        if asked and not heard:
            # Whoever asked knows now that the best weights are being kept, and is patient.
            report({"type": "stopping"})
            heard = True
        return asked

    with shortage_is_said("reading the data set", run.config.batch_size, at_steps=False):
        splits = load_splits(run.folder / "dataset")
    outcome = train_classifier(
        splits,
        run.config,
        run.folder / "model",
        Hooks(report, should_stop),
        snapshots_folder(run),
    )
    if outcome is None:
        return {"type": "stopped", "reason": "Stopped before the first step, so there are no weights."}
    closing.give_up()
    try:
        _close(run, outcome)
    except NoSpace:
        if not _give_up_older(run):
            raise
        _close(run, outcome)
    if outcome.stopped:
        return {"type": "stopped", "reason": "Stopped on request; the best weights so far are kept."}
    return {"type": "finished"}


def _close(run: Run, outcome: TrainingOutcome) -> None:
    """Write what the run's pages show of its end, and what makes its model's confidence honest.

    Raises:
        NoSpace: the disk is full.
    """
    with full_is_said("the report of the run", disk_space.closing_bytes(run), run.folder, RESUME):
        write_calibration(run.folder / "model", outcome.calibration)
        with whole_file(run.folder / "predictions.parquet") as draft:
            outcome.predictions.to_parquet(draft, index=False)
        write_json(run.folder / "report.json", outcome.report)


def _in_words(event: dict[str, object]) -> str:
    values = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in event.items()
        if name != "type"
    )
    return f"{event['type']}: {values}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
