"""python -m core.runs.jobs.entry MODULE FOLDER: does the work of one job. See `process`."""

import importlib
import logging
import sys
from pathlib import Path

from core.runs.jobs import process
from core.runs.jobs.job import Job

TASKS = ("core.runs.tasks.data_check_work", "core.runs.tasks.labelling_work", "core.runs.tasks.forecast_work")
"""Modules with a task's part in its process: `TASK` (see `job.Task`) and `work` (see `process.Work`)."""


def main(module: str, folder: Path) -> int:
    """Do it. Returns the exit code: 0 when it ended as it should, or somebody else is at it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    if module not in TASKS:
        raise SystemExit(f"one of {', '.join(TASKS)} was expected, not {module}")
    task = importlib.import_module(module)
    return process.do(Job(task.TASK, folder), task.work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
