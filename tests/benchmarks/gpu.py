"""Everything that is measured on a GPU, in one go: python -m tests.benchmarks.gpu --out FILE

    python -m tests.benchmarks.gpu --out FILE [--only SECTION…] [--model FOLDER] [--data FOLDER]
    python -m tests.benchmarks.gpu --out FILE --device cpu --quick      # to try it out without a card
    python -m tests.benchmarks.gpu --report FILE                        # as Markdown tables

Each result is printed and added to the file as a line of JSON as soon as it is there. Every section is a
process of its own with a time limit; when that is over, or the section fails, the file says so and the next
one begins. What a section leaves running is ended. `correctness`, `accuracy` and `commands`, which time
nothing, run side by side where they follow each other.
"""

import argparse
import importlib
import json
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.benchmarks.gpu_setup import QUICK_FACTOR, Results, Settings, prepare, to_json
from tests.benchmarks.workload import PROJECT

MARK = "TEXTUNER_BENCHMARK"
"""An environment variable that all processes of a section have, by which they are found."""


@dataclass(frozen=True)
class Section:
    """A part of the measurements: `measure(settings, report)` of a module."""

    module: str
    limit: float
    """Seconds."""
    timed: bool = True
    """Whether it needs the machine for itself."""


SECTIONS = {
    "facts": Section("gpu_facts", 40),
    "correctness": Section("gpu_correctness", 130, timed=False),
    "speed": Section("gpu_speed", 210),
    "profile": Section("gpu_profile", 80),
    "prediction": Section("gpu_prediction", 100),
    "first_step": Section("gpu_first_step", 60),
    "accuracy": Section("gpu_accuracy", 110, timed=False),
    "commands": Section("gpu_commands", 110, timed=False),
}


@dataclass
class Running:
    """A section's process."""

    name: str
    process: subprocess.Popen[bytes]
    mark: str
    limit: float
    """Seconds."""
    began: float = field(default_factory=time.monotonic)


def main() -> None:
    """Measure what the command line asks for, or show what was measured."""
    options = _parser().parse_args()
    if options.report:
        from tests.benchmarks.gpu_report import tables
        from tests.benchmarks.gpu_setup import read_results

        print(tables(read_results(options.report)))
        return
    if options.section:
        _run_here(options.section, Settings(**json.loads(options.settings)), options.model)
        return
    out = options.out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="textuner-gpu-") as scratch:
        settings = Settings(
            device=options.device,
            quick=options.quick,
            data=str((options.data or PROJECT.parent / "shared" / "data").resolve()),
            out=str(out),
            scratch=scratch,
            seconds=options.seconds,
            rounds=options.rounds,
            at_once=options.at_once,
        )
        _run_all(list(options.only or SECTIONS), settings, options.model)


def _run_all(names: list[str], settings: Settings, model: Path | None) -> None:
    preparation = _start("prepare", settings, model, 90)
    for together in _groups(names):
        if together != ["facts"] and preparation:
            _finish([preparation], settings)
            preparation = None
        factor = QUICK_FACTOR if settings.quick else 1
        _finish([_start(name, settings, model, factor * SECTIONS[name].limit) for name in together], settings)
    if preparation:
        _finish([preparation], settings)


def _groups(names: list[str]) -> list[list[str]]:
    """The sections in their order; neighbours that time nothing stand together."""
    groups: list[list[str]] = []
    for name in names:
        if groups and not SECTIONS[name].timed and not SECTIONS[groups[-1][-1]].timed:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _start(name: str, settings: Settings, model: Path | None, limit: float) -> Running:
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--section", name]
    command += ["--settings", to_json(settings)]
    if model:
        command += ["--model", str(model.resolve())]
    environment = settings.environment(**{MARK: mark})
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, start_new_session=True)
    return Running(name, process, mark, limit)


def _finish(running: list[Running], settings: Settings) -> None:
    """Wait until the sections have ended, or their time is over; end whatever they leave."""
    for section in running:
        results = Results(Path(settings.out), section.name)
        try:
            left = section.limit - (time.monotonic() - section.began)
            code = section.process.wait(timeout=max(0.1, left))
            if code:
                results.report({"error": f"the section's process ended with {code}"})
        except subprocess.TimeoutExpired:
            results.report({"error": f"not done after {section.limit:.0f} seconds"})
        finally:
            _end_all(section.mark)
            section.process.wait()
        results.report({"section_seconds": round(time.monotonic() - section.began, 1)})


def _end_all(mark: str) -> None:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                process.send_signal(signal.SIGKILL)


def _run_here(name: str, settings: Settings, model: Path | None) -> None:
    results = Results(Path(settings.out), name)
    try:
        if name == "prepare":
            prepare(settings, model or _bundled())
        else:
            module = importlib.import_module(f"tests.benchmarks.{SECTIONS[name].module}")
            module.measure(settings, results.report)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the next section should have its turn
        last = "".join(traceback.format_exception(error)).splitlines()[-12:]
        results.report({"error": f"{type(error).__name__}: {error}"[:2000], "traceback": "\n".join(last)})


def _bundled() -> Path:
    from core.learning import pretrained

    return pretrained.resolve("bundled")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"), help="results, one JSON object a line")
    names = ", ".join(SECTIONS)
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), metavar="SECTION", help=names)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny models and few rows, to try it out")
    parser.add_argument("--model", type=Path, help="folder of MiniLM-L6 (default: the embedded one)")
    parser.add_argument("--data", type=Path, help="folder of sst2/ and trec6/")
    parser.add_argument("--seconds", type=float, default=1.3, help="least length of a block (default: 1.3)")
    parser.add_argument("--rounds", type=int, default=3, help="blocks of each stack (default: 3)")
    parser.add_argument("--at-once", type=int, default=12, help="of `accuracy`: trainings side by side")
    parser.add_argument("--report", type=Path, metavar="FILE", help="print a file's results as tables")
    parser.add_argument("--section", help=argparse.SUPPRESS)
    parser.add_argument("--settings", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
