"""A task that counts until its folder has a file "end", started as `core.runs.jobs.entry` is."""

import logging
import sys
import time
from pathlib import Path

from core.runs.jobs import job, process
from core.runs.jobs.job import Job, Task

TASK = Task("tests.runs.waiting_task", "this task", "Start it again")


def work(found: Job) -> dict:
    process.lower_priority()
    count = int(job.state(found).progress.get("count", 0))
    while not (found.folder / "end").exists():
        if found.stop_file.exists():
            raise process.Stopped
        count += 1
        job.say_progress(found, count=count)
        time.sleep(0.01)
    return {"asked": found.request()}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sys.exit(process.do(Job(TASK, Path(sys.argv[2])), work))
