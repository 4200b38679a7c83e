"""Eight people at their browsers while one training runs: python -m tests.benchmarks.neighbours [--json]

A real server with a home of its own, and real browser sessions: four follow the live run by its link, two
upload a table of 20 MB, two have a text labelled every three seconds. Measured are how long every page and
action takes to answer, how much of its speed the training keeps (alone and with the sessions in turn), who
used the processor, and the server's memory before, with and after the sessions.

The browsers share the processor with server and training here, which a person's own browser does not: their
part is reported by itself, and `--without-browsers` sends the server the same requests without them. Takes
about five minutes. Nothing else should be at work on the machine.
"""

import argparse
import asyncio
import csv
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
from playwright.async_api import async_playwright

from core.data.labels import ColumnMapping, label_texts
from core.data.reading.files import read_table
from core.data.splits import SplitPlan, split_by_percent
from core.data.storage.datasets import save_dataset
from core.data.storage.sample import SAMPLE
from core.learning.config import TrainingConfig
from core.runs.results import outputs
from core.runs.training import queue, run_events, states, store
from core.runs.training.run import Run
from tests.benchmarks import sessions, visitors
from tests.benchmarks.sessions import Scene, Times

PROJECT = Path(__file__).resolve().parents[2]
SST2 = PROJECT.parent / "shared" / "data" / "sst2" / "train.csv"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

WATCHING, UPLOADING, PREDICTING = 4, 2, 2
UPLOAD_BYTES = 20 * 2**20
ROUNDS = 2
ALONE_SECONDS, TOGETHER_SECONDS = 15.0, 40.0
SAMPLE_SECONDS = 0.5
# Streamlit keeps a closed tab's session for two minutes, in case the tab comes back.
FORGOTTEN_SECONDS = 130.0
MOST_SECONDS, LEAST_SPEED, MOST_MIB = 2.0, 0.75, 100.0


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEXTUNER_HOME"] = str(Path(folder) / "home")
        result = asyncio.run(measure(Path(folder), arguments))
    print(json.dumps(result) if arguments.json else table(result))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object instead of tables")
    parser.add_argument(
        "--without-browsers", action="store_true", help="the same requests, from clients that draw nothing"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of alone and together")
    parser.add_argument("--seconds", type=float, default=TOGETHER_SECONDS, help="of each time together")
    return parser.parse_args()


async def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, from an empty home to the figures."""
    source = SST2 if SST2.is_file() else SAMPLE
    table, rows = write_upload(folder / "upload.csv", source)
    finished = train_to_the_end(folder)
    with serve(folder / "server.log") as (server, address), train_on(source) as run:
        async with nothing() if arguments.without_browsers else browse() as browser:
            scene = Scene(browser, address, run.id, finished.id, table, rows, Times(), asyncio.Event())
            memory = {"cold": rss(server)}
            people = visitors if arguments.without_browsers else sessions
            await warm_up(scene, people)
            await asyncio.sleep(10)
            memory["warm"] = rss(server)
            scene.times.seconds.clear()
            meter = Meter(server)
            async with meter.running():
                phases = await take_turns(scene, meter, arguments, people)
            memory["together"] = max(sample.server_mib for sample in meter.samples)
        async with asyncio.timeout(FORGOTTEN_SECONDS + 60):
            memory |= await memory_afterwards(server, address)
    return summarise(scene.times, phases, memory)


async def warm_up(scene: Scene, people: ModuleType) -> None:
    """One session of each kind, which goes away again."""
    for kind in (people.watch, people.predict, people.upload):
        leave = asyncio.Event()
        leave_soon = asyncio.get_running_loop().call_later(5, leave.set)
        await kind(replace(scene, leave=leave))
        leave_soon.cancel()


async def take_turns(
    scene: Scene, meter: "Meter", arguments: argparse.Namespace, people: ModuleType
) -> dict[str, list[dict]]:
    """alone, together, alone, …, alone: what happened in each."""
    phases: dict[str, list[dict]] = {"alone": [], "together": []}
    for _ in range(arguments.rounds):
        phases["alone"].append(await meter.phase(scene, asyncio.sleep(ALONE_SECONDS)))
        phases["together"].append(await meter.phase(scene, everybody(scene, arguments.seconds, people)))
        await asyncio.sleep(2)
    phases["alone"].append(await meter.phase(scene, asyncio.sleep(ALONE_SECONDS)))
    return phases


async def everybody(scene: Scene, seconds: float, people: ModuleType) -> None:
    """All sessions at once."""
    now = replace(scene, leave=asyncio.Event())
    kinds = [people.watch] * WATCHING + [people.upload] * UPLOADING + [people.predict] * PREDICTING
    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            group.create_task(kind(now))
        await asyncio.sleep(seconds)
        now.leave.set()


async def memory_afterwards(server: psutil.Process, address: str) -> dict[str, float]:
    """MiB of the server, ten seconds after the last session closed, and when they are forgotten."""
    await asyncio.sleep(10)
    soon = rss(server)
    await asyncio.sleep(FORGOTTEN_SECONDS - 10)
    return {"after 10 s": soon, f"after {FORGOTTEN_SECONDS:.0f} s": rss(server)}


# Who is at work


@dataclass(frozen=True)
class Sample:
    """Processor seconds used so far, by whom; and the server's memory."""

    at: float
    cpu: dict[str, float]
    server_mib: float


@dataclass
class Meter:
    """Looks at all processes again and again: what a process used is known for as long as it lived."""

    server: psutil.Process
    samples: list[Sample] = field(default_factory=list)
    used: dict[tuple[int, float], tuple[str, float]] = field(default_factory=dict)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._sample())
        yield
        task.cancel()

    async def phase(self, scene: Scene, work: Any) -> dict[str, Any]:
        """Do the work; what the training did meanwhile, and who used the processor."""
        first, began = self._look(), time.time()
        await work
        last, ended = self._look(), time.time()
        seconds = last.at - first.at
        events = run_events.events_of(store.find_run(scene.live_run))
        speeds = [
            e["tokens_per_second"] for e in events if e["type"] == "step" and began < e["time"] <= ended
        ]
        cores = {who: (last.cpu[who] - first.cpu.get(who, 0.0)) / seconds for who in last.cpu}
        return {"seconds": seconds, "tokens_per_second": speeds, "cores": cores}

    async def _sample(self) -> None:
        while True:
            self.samples.append(self._look())
            await asyncio.sleep(SAMPLE_SECONDS)

    def _look(self) -> Sample:
        for process in psutil.Process().children(recursive=True):
            try:
                times = process.cpu_times()
                self.used[process.pid, process.create_time()] = (role(process), times.user + times.system)
            except psutil.Error:  # Ended meanwhile.
                continue
        cpu: dict[str, float] = {}
        for who, seconds in self.used.values():
            cpu[who] = cpu.get(who, 0.0) + seconds
        whole = psutil.cpu_times()
        cpu["whole machine"] = whole.user + whole.nice + whole.system
        return Sample(time.perf_counter(), cpu, rss(self.server))


def role(process: psutil.Process) -> str:
    words = process.cmdline()
    if "core.runs.training.trainer" in words:
        return "training"
    if "streamlit" in words or "core.runs.training.worker" in words:
        return "server"
    return "browsers"


def rss(process: psutil.Process) -> float:
    """Resident memory in MiB."""
    return process.memory_info().rss / 2**20


# The stage


@contextmanager
def serve(log_file: Path) -> Iterator[tuple[psutil.Process, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    command += ["--server.enableXsrfProtection", "false"]  # The visitors carry no cookies.
    with log_file.open("wb") as log:
        server = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}")
        yield psutil.Process(server.pid), f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        print(log_file.read_text(errors="replace")[-2000:], file=sys.stderr)


def wait_for(address: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise TimeoutError(f"no answer from {address} within {seconds:g} s")


@asynccontextmanager
async def browse() -> AsyncIterator[Any]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit(f"A browser is needed, one of {', '.join(BROWSERS)}.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield None


def train_to_the_end(folder: Path) -> Run:
    """A short training of the sample, so that there is a model to ask."""
    run = submit(SAMPLE, epochs=1)
    while states.state(run).live:
        time.sleep(0.5)
    if states.state(run).status != "finished":
        raise SystemExit(f"The first training did not end well:\n{outputs.log_of(run)}")
    return run


@contextmanager
def train_on(source: Path) -> Iterator[Run]:
    """A training that is at work, and longer than any measurement; it is stopped in the end."""
    run = submit(source, epochs=50)
    while not any(event["type"] == "step" for event in run_events.events_of(run)):
        time.sleep(0.2)
    try:
        yield run
    finally:
        queue.cancel(run)
        while states.state(run).live:
            time.sleep(0.2)


def submit(source: Path, epochs: int) -> Run:
    content = read_table(source)
    label = "label" if "label" in content.frame.columns else content.frame.columns[-1]
    labeled, rejected = label_texts(content, ColumnMapping(("text",), label))
    dataset = save_dataset(source.stem, split_by_percent(labeled, SplitPlan()), rejected, {})
    return queue.submit(replace(TrainingConfig(), epochs=epochs), dataset)


def write_upload(path: Path, source: Path) -> tuple[Path, int]:
    """A table of about 20 MB of made-up sentences in the words of the source; its path and rows."""
    words = sorted({word for text in read_table(source).frame["text"] for word in text.split()})
    numbers, rows = random.Random(4), 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        while file.tell() < UPLOAD_BYTES:
            text = " ".join(numbers.choices(words, k=numbers.randrange(5, 30)))
            writer.writerow([text, numbers.choice(["good", "bad"])])
            rows += 1
    return path, rows


# The figures


def summarise(times: Times, phases: dict[str, list[dict]], memory: dict[str, float]) -> dict[str, Any]:
    """Medians, shares and what of it meets the targets."""
    answers = {action: spread(seconds) for action, seconds in sorted(times.seconds.items())}
    alone, together = (
        statistics.median([statistics.median(phase["tokens_per_second"]) for phase in phases[name]])
        for name in ("alone", "together")
    )
    cores = {name: mean_cores(phases[name]) for name in phases}
    taken = cores["together"]["server"] - cores["alone"]["server"] + cores["together"].get("browsers", 0.0)
    by_browsers = cores["together"].get("browsers", 0.0) / taken
    return {
        "answers": answers,
        "tokens_per_second": {"alone": alone, "together": together},
        "lost": 1 - together / alone,
        "cores": cores,
        "browsers_share_of_what_the_sessions_used": by_browsers,
        "lost_without_browsers_estimate": (1 - together / alone) * (1 - by_browsers),
        "memory_mib": memory,
        "phases": phases,
    }


def spread(seconds: list[float]) -> dict[str, float]:
    return {
        "times": len(seconds),
        "median": statistics.median(seconds),
        "p95": float(np.percentile(seconds, 95)),
        "max": max(seconds),
    }


def mean_cores(phases: list[dict]) -> dict[str, float]:
    names = {name for phase in phases for name in phase["cores"]}
    return {
        name: statistics.mean(phase["cores"].get(name, 0.0) for phase in phases) for name in sorted(names)
    }


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    speed, cores, memory = result["tokens_per_second"], result["cores"], result["memory_mib"]
    columns = list(cores["together"])
    lines = [line(["action", "times", "median s", "95 % s", "max s"]), line(["---"] + ["---:"] * 4)]
    for action, found in result["answers"].items():
        numbers = [f"{found[name]:.2f}" for name in ("median", "p95", "max")]
        lines.append(line([action, str(found["times"]), *numbers]))
    lines += ["", line(["cores at work", *columns]), line(["---"] + ["---:"] * len(columns))]
    for name, used in cores.items():
        lines.append(line([name, *(f"{used.get(who, 0.0):.2f}" for who in columns)]))
    lines.append(
        f"\nTraining: {speed['alone']:,.0f} tokens/s alone, {speed['together']:,.0f} with the sessions: "
        f"{result['lost']:.0%} lost. Of the processor time that the sessions took, "
        f"{result['browsers_share_of_what_the_sessions_used']:.0%} was the browsers' own."
    )
    lines.append("\nServer memory (MiB): " + ", ".join(f"{when} {mib:.0f}" for when, mib in memory.items()))
    return "\n".join(lines)


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
