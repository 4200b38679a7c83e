"""Processes of ours: each in a session of its own, so that it outlives the tab and the server."""

import os
import subprocess
import sys
from pathlib import Path

from core.base.home import PROJECT

ENTRY = "core.runs.jobs.entry"

# No process of ours tells anybody what it does, and none asks a hub unless a person chose a model from it.
_ENVIRONMENT = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "true"}


def start_process(module: str, *arguments: str, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start `python -m module arguments`; what it prints goes to the end of the log.

    Args:
        environment: what it finds in its environment besides what this process does.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=PROJECT,
            env={**os.environ, **_ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def start_job(module: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the process that does the work of a task in a job's folder."""
    return start_process(ENTRY, module, str(folder), log=log)


def works_on(command: list[str], module: str, folder: Path) -> bool:
    """Whether a process with this command was started by `start_job` for this folder."""
    return command[-3:] == [ENTRY, module, str(folder)]
