"""python -m core.runs.tasks.labeller FOLDER: labels the file of this labelling, and ends. See `labellings`.

It works at low priority, and on one core while a training is at work: that keeps its speed.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from filelock import Timeout

from core.base import locks
from core.base.disk import NoSpace, means_full
from core.base.errors import UserError
from core.base.memory import OutOfMemory, means_out_of_memory
from core.data.tables import Limits
from core.runs.results.models import training_texts
from core.runs.tasks import labellings
from core.runs.tasks.labellings import Labelling
from core.runs.training import processes
from core.serving.file_labelling import CSV, Progress, Stopped, label_into

log = logging.getLogger("textuner")

NICE = 10
"""Steps of priority below that of other processes."""

LOOK_SECONDS = 1.0
"""Time to wait for the lock: whoever only looks whether it is held, holds it for a moment."""


def main(folder: Path) -> int:
    """Do it. Returns the exit code: 0 when it ended as it should, or somebody else is at it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        found = labellings.find(folder.name)
        with locks.hold(found.lock, timeout=LOOK_SECONDS):
            return _label(found)
    except Timeout:
        log.info("nothing to do: another process is at work on it")
    except (locks.LockGone, UserError) as error:
        log.info("nothing to do: it is gone (%s)", error)
    return 0


def _label(found: Labelling) -> int:
    try:
        result = _work(found)
    except Stopped:
        log.info("stopped on request")
        return 0
    except Exception as error:
        log.exception("the labelling broke off")
        return _fail(found, error)
    labellings.end(found, {"status": "finished", "result": result})
    return 0


def _work(found: Labelling) -> dict:
    if hasattr(os, "nice"):
        os.nice(NICE)
    from core.serving.classifier import Classifier

    classifier = Classifier.load(Path(found.plan.model))

    def should_stop() -> bool:
        processes.leave_cores_to_training()
        return found.stop_file.exists() or not found.folder.exists()

    familiar = training_texts(Path(found.plan.model)) if found.plan.label else frozenset()
    result = label_into(
        found.parts, found.plan, classifier, Limits(), _reporter(found), should_stop, familiar
    )
    # The form that most people take, ready when they come.
    labellings.output(found, CSV, safe=True)
    return result


def _reporter(found: Labelling) -> Callable[[Progress], None]:
    began = time.monotonic()

    def report(now: Progress) -> None:
        labellings.say(found, now.done, now.rows, now.fresh / max(time.monotonic() - began, 1e-3))

    return report


def _fail(found: Labelling, error: Exception) -> int:
    if not isinstance(error, UserError) and means_out_of_memory(error):
        error = OutOfMemory("this labelling", expected="enough memory for this labelling")
    if not isinstance(error, UserError) and means_full(error):
        error = NoSpace("the labelled file", labellings.SMALL_FILES, found.folder, cause=error)
    if isinstance(error, UserError):
        reason, remedy = error.reason, error.remedy
    else:
        reason = f"It broke off: {type(error).__name__}: {str(error)[:300]}"
        remedy = "Resume it; log.txt in its folder has the details."
    # Another go meets the same file and the same model: it helps only where the machine was at fault.
    resumable = not isinstance(error, UserError) or isinstance(error, NoSpace | OutOfMemory)
    labellings.end(found, {"status": "failed", "reason": reason, "remedy": remedy, "resumable": resumable})
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
