"""Jobs whose processes are not started."""

import json
from pathlib import Path
from typing import NamedTuple

from core.runs.jobs import spawning


class Asked(NamedTuple):
    """A job whose process would have been started."""

    module: str
    folder: Path
    request: dict


class Asleep:
    """A process that has only just been started, and does nothing."""

    @staticmethod
    def wait() -> int:
        return 0


def start_none(monkeypatch) -> list[Asked]:
    """From now on no job's process is started. Returns the list of those that would have been."""
    asked = []

    def start_job(module: str, folder: Path, log: Path) -> type[Asleep]:
        request = json.loads((folder / "request.json").read_text())
        asked.append(Asked(module.rsplit(".", 1)[1], folder, request))
        return Asleep

    monkeypatch.setattr(spawning, "start_job", start_job)
    return asked
