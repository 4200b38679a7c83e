"""Runs of the command line, each in a home of its own, watched through their events; for `gpu`'s sections."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.gpu_setup import Settings
from tests.benchmarks.workload import PROJECT

MODEL = "local/minilm"
"""As the command line names models/minilm of the scratch folder."""

Event = dict[str, Any]


class Home:
    """One TEXTUNER_HOME, in which one run is trained."""

    def __init__(self, settings: Settings, name: str, **environment: str) -> None:
        self.folder = Path(settings.scratch) / "homes" / name
        self.folder.mkdir(parents=True)
        self._settings = settings
        self._environment = settings.environment(TEXTUNER_HOME=str(self.folder), **environment)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """`python -m core` with these arguments."""
        return subprocess.Popen(
            [sys.executable, "-m", "core", *map(str, arguments)],
            cwd=PROJECT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, limit: float = 60) -> str:
        """What the command prints.

        Raises:
            RuntimeError: it fails, or is not done after so many seconds; with the end of its errors.
        """
        process = self.start(*arguments)
        try:
            out, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise RuntimeError(f"core {arguments[0]}: not done after {limit:.0f} seconds") from error
        if process.returncode:
            last = "\n".join([*errors.splitlines()[-8:], *self.log().splitlines()[-8:]])
            raise RuntimeError(f"core {arguments[0]} ended with {process.returncode}:\n{last}")
        return out

    def train_arguments(self, data_set: str = "trec6") -> list[object]:
        """The command that trains with the settings which it suggests."""
        train, test = (self._settings.rows(data_set, part) for part in ("train", "test"))
        columns = ["--text", "text", "--label", "label"]
        return ["train", train, "--test", test, *columns, "--model", MODEL, "--json"]

    def events(self) -> list[Event]:
        """Of the run, as far as they are written."""
        found = []
        for file in self.folder.glob("runs/*/events.jsonl"):
            for line in file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):
                    found.append(json.loads(line))
        return found

    def model(self) -> Path:
        """Where the run's weights are."""
        return next(self.folder.glob("runs/*/model"))

    def log(self) -> str:
        """What the run's processes wrote."""
        return "\n".join(
            file.read_text(encoding="utf-8", errors="replace") for file in self.folder.glob("runs/*/log.txt")
        )

    def processes(self, *modules: str) -> list[psutil.Process]:
        """This home's processes that run one of these modules."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                mine = process.environ().get("TEXTUNER_HOME") == str(self.folder)
                if mine and set(modules) & set(process.cmdline()):
                    found.append(process)
        return found

    def kill(self, *modules: str) -> int:
        """SIGKILL the processes of these modules, and wait until they are gone. Returns their number."""
        victims = self.processes(*modules)
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(victims, timeout=10)
        return len(victims)


def wait_until(condition: Callable[[], Any], limit: float, what: str) -> Any:
    """What the condition answers, as soon as that is true.

    Raises:
        RuntimeError: it was not, for so many seconds.
    """
    end = time.monotonic() + limit
    while not (answer := condition()):
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not after {limit:.0f} seconds")
        time.sleep(0.02)
    return answer
