"""The app as a person meets it: a real server in a process of its own, and a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NO_BROWSER = f"a browser is needed for this test, one of {', '.join(BROWSERS)}"
IN_CI = os.environ.get("CI") == "true"


@dataclass
class App:
    """A server with a home of its own, which a test may kill and start again at the same address."""

    port: int
    home: Path
    log_file: Path
    server: subprocess.Popen | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless", "true"]
        command += ["--server.address", "127.0.0.1", "--server.port", str(self.port)]
        command += ["--browser.gatherUsageStats", "false"]
        with self.log_file.open("ab") as log:
            self.server = subprocess.Popen(
                command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: healthy(self), 90, f"an answer from {self.address}")

    def kill(self) -> None:
        """End the server as a crash does; what it started is not touched."""
        self.server.kill()
        self.server.wait()

    def log(self) -> str:
        """What the server has printed so far."""
        return self.log_file.read_text(errors="replace")

    def processes(self, word: str = "") -> list[int]:
        """Ids of the live processes of this app (server, worker, trainer) whose command has this word."""
        return [pid for pid in processes_with(f"TEXTUNER_HOME={self.home}") if word in command_of(pid)]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """The system's own browser. Where there is none, a person's tests are skipped and CI's fail."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if IN_CI:
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    return browser_type_launch_args | {"executable_path": found, "args": FLAGS}


@pytest.fixture
def app(browser, tmp_path, monkeypatch) -> Iterator[App]:
    """A server that nobody has opened yet, with an empty home; core in this process sees the same home.

    Ask for it before `page`, so that the tabs are closed first.
    When the test ends, its trainings are stopped, and no process of it may be left.
    """
    home = tmp_path / "app home"
    monkeypatch.setenv("TEXTUNER_HOME", str(home))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = App(port, home, tmp_path / "server.log")
    try:
        app.start()
        yield app
    finally:
        print(app.log()[-5000:])  # Shown by pytest when the test fails.
        try:
            stop_trainings(app)
            app.server.terminate()
            app.server.wait(60)
        finally:
            end_leftovers(app)
            app.server.wait()


def healthy(app: App) -> bool:
    assert app.server.poll() is None, f"the server ended by itself:\n{app.log()}"
    try:
        with urllib.request.urlopen(f"{app.address}/_stcore/health", timeout=5) as answer:
            return answer.read() == b"ok"
    except OSError:
        return False


def stop_trainings(app: App) -> None:
    from core.runs.training import queue, states, store

    for pid in app.processes():
        os.kill(pid, signal.SIGCONT)  # A test that broke off may have left one paused.
    for run in store.list_runs():
        if states.state(run).live:
            queue.cancel(run)


def end_leftovers(app: App) -> None:
    """Wait for worker and trainer, which outlive the server; what does not end is killed and an error."""
    try:
        wait_until(lambda: not app.processes(), 120, "the end of the server, the worker and the trainer")
    finally:
        for pid in app.processes():
            os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


def processes_with(setting: str) -> list[int]:
    """Ids of the live processes that have this environment variable; a zombie has none any more."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:  # Ended meanwhile, or somebody else's.
                continue
            if setting.encode() in environment.split(b"\0"):
                found.append(int(folder.name))
    return found


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
