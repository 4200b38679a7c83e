"""python -m core.runs.trainer FOLDER: trains one run, from its folder and into it.

Everything it prints goes to the run's log; everything that happens becomes an event; whatever goes wrong
becomes a reason for people and a full trace in the log.
"""

import logging
import shutil
import sys
from pathlib import Path

from filelock import FileLock

from core.errors import UserError
from core.home import home
from core.runs import processes, store
from core.runs.events import EventLog
from core.runs.store import Run

log = logging.getLogger("textuner")


def main(folder: Path) -> int:
    """Train the run in this folder. Returns the exit code: 0 when it ended as it should."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    run = store.find_run(folder.name)
    # One training at a time on the device; one writer of this run's events.
    with FileLock(home() / "device.lock"), store.hold(run):
        if not store.waits(run):
            log.info("nothing to do: the run does not wait any more")
            return 0
        processes.write_pid(run)
        with EventLog(run.folder / "events.jsonl") as events:
            code = _train(run, events)
        processes.forget_pid(run)
        return code


def _train(run: Run, events: EventLog) -> int:
    try:
        ending = _train_and_keep(run, events)
    except UserError as error:
        log.info("%s", error)
        ending = {"type": "failed", "reason": error.reason, "remedy": error.remedy}
    except Exception as error:
        log.exception("the training broke off")
        ending = {
            "type": "failed",
            "reason": f"The training broke off: {type(error).__name__}: {str(error)[:300]}",
            "remedy": "The run's log has the details. Start it again, or with other settings.",
        }
    events.append(ending)
    if ending["type"] == "failed":
        return 1
    # What has ended needs no state to go on from; until it has, a kill must not cost all of it.
    shutil.rmtree(store.snapshots_folder(run), ignore_errors=True)
    return 0


def _train_and_keep(run: Run, events: EventLog) -> dict[str, str]:
    # Imported late: torch takes seconds, and the locks should be held before them.
    from core.data.datasets import load_splits
    from core.learning.train import train_classifier

    def report(event: dict[str, object]) -> None:
        events.append(event)
        log.info("%s", _in_words(event))

    def should_stop() -> bool:
        nonlocal heard
        asked = store.stop_asked(run)
        if asked and not heard:
            # Whoever asked knows now that the best weights are being kept, and is patient.
            report({"type": "stopping"})
            heard = True
        return asked

    heard = False
    outcome = train_classifier(
        load_splits(run.folder / "dataset"),
        run.config,
        run.folder / "model",
        report,
        should_stop=should_stop,
        snapshots_folder=store.snapshots_folder(run),
    )
    if outcome is None:
        return {"type": "stopped", "reason": "Stopped before the first step, so there are no weights."}
    outcome.predictions.to_parquet(run.folder / "predictions.parquet", index=False)
    store.write_json(run.folder / "report.json", outcome.report)
    if outcome.stopped:
        return {"type": "stopped", "reason": "Stopped on request; the best weights so far are kept."}
    return {"type": "finished"}


def _in_words(event: dict[str, object]) -> str:
    values = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in event.items()
        if name != "type"
    )
    return f"{event['type']}: {values}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
