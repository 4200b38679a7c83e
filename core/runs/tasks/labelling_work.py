"""The labelling of one file, in a process of its own. See `labellings` for what it leaves.

It works at low priority, and on one core while a training is at work: that keeps its speed.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.data.tables import Limits
from core.runs.jobs import job, process
from core.runs.jobs.job import Job
from core.runs.results.models import training_texts
from core.runs.tasks import labellings
from core.runs.tasks.labellings import TASK
from core.runs.training import processes
from core.serving.file_labelling.labelling import Listener, Progress, Stopped, label_into
from core.serving.file_labelling.writing import CSV

__all__ = ["TASK", "work"]


def work(found: Job) -> dict[str, Any]:
    """Label the file that the job's request names; parts that are there already are not done again."""
    process.lower_priority()
    from core.serving.classifier import Classifier

    labelling = labellings.labelling_of(found)
    plan, model = labelling.plan, Path(labelling.plan.model)
    classifier = Classifier.load(model)

    def should_stop() -> bool:
        processes.leave_cores_to_training()
        return found.stop_file.exists() or not found.folder.exists()

    familiar = training_texts(model) if plan.label else frozenset()
    try:
        result = label_into(
            labelling.parts, plan, classifier, Limits(), Listener(_reporter(found), should_stop), familiar
        )
    except Stopped as error:
        raise process.Stopped from error
    # The form that most people take, ready when they come.
    labellings.output(labelling, CSV, safe=True)
    return result


def _reporter(found: Job) -> Callable[[Progress], None]:
    began = time.monotonic()

    def report(now: Progress) -> None:
        rate = now.fresh / max(time.monotonic() - began, 1e-3)
        job.say_progress(found, done=now.done, rows=now.rows, rate=rate)

    return report
