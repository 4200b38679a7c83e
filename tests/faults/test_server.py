"""The real server, killed again and again: trainings and their line go on, and the next server shows them."""

import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from core.base.home import PROJECT, home
from core.runs.training import states, store
from tests.faults.looks import count, see_that_nothing_is_left, status, steps_of
from tests.pages.seeding import make_dataset, make_run
from tests.processes import is_at_work, processes_of, trainer_of, wait_for, worker_process

ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL)


class Server:
    """A Streamlit server of this project, as a person starts it."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless", "true"]
        command += ["--server.address", "127.0.0.1", "--server.port", str(self.port)]
        command += ["--server.fileWatcherType", "none", "--browser.gatherUsageStats", "false"]
        self.log = (folder / f"server-{self.port}.log").open("wb")
        self.process = subprocess.Popen(command, cwd=PROJECT, stdout=self.log, stderr=subprocess.STDOUT)
        wait_for(self.is_well, seconds=60)

    def is_well(self):
        """Whether it answers its health check."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/_stcore/health", timeout=2) as answer:
                return answer.read() == b"ok"
        except (URLError, OSError):
            return False

    def connect(self):
        """The line that a browser's tab talks to it by."""
        return connect(f"ws://127.0.0.1:{self.port}/_stcore/stream", max_size=None)

    def show(self, run):
        """Open the page of a run as a browser does. Returns the words on it; an error on it is one here."""
        with self.connect() as browser:
            wanted = f"run={run.id}"
            browser.send(BackMsg(rerun_script={"query_string": wanted}).SerializeToString())
            words = []
            while True:
                message = ForwardMsg.FromString(browser.recv(timeout=60))
                kind = message.WhichOneof("type")
                if kind == "script_finished" and message.script_finished == FINISHED:
                    return " ".join(words)
                if kind == "delta":
                    element = message.delta.new_element
                    assert element.WhichOneof("type") != "exception", element.exception
                    words.append(str(element))

    def end(self, by):
        """End it by a signal, and wait until it is gone."""
        self.process.send_signal(by)
        self.process.wait(timeout=20)
        self.log.close()


class Tab:
    """What a browser's tab says to a server and hears of it, message by message."""

    def __init__(self, connection, query):
        self.connection = connection
        self.page, self.query, self.buttons, self.timers = "", query, {}, []

    def ask(self, **asked):
        """Ask for a run of the page that is shown, or of one of its fragments."""
        message = {"query_string": self.query, "page_script_hash": self.page, **asked}
        self.connection.send(BackMsg(rerun_script=message).SerializeToString())

    def hear(self, seconds=60):
        """Take in the next message. Returns its kind; None when none came in time."""
        try:
            message = ForwardMsg.FromString(self.connection.recv(timeout=seconds))
        except TimeoutError:
            return None
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self.page = message.new_session.page_script_hash
        elif kind == "auto_rerun":
            self.timers.append(message.auto_rerun.fragment_id)
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            assert element.WhichOneof("type") != "exception", element.exception
            if element.WhichOneof("type") == "button":
                self.buttons[element.button.label] = element.button.id, message.delta.fragment_id
        return kind

    def hear_until(self, holds):
        deadline = time.monotonic() + 60
        while not holds():
            assert self.hear(), "the server fell silent"
            assert time.monotonic() < deadline


FINISHED = ForwardMsg.ScriptFinishedStatus.FINISHED_SUCCESSFULLY


@pytest.fixture
def start(tmp_path):
    servers = []

    def start():
        servers.append(Server(tmp_path))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


def test_trainings_and_their_line_outlive_every_server(config, dataset, start):
    chance = random.Random(8)
    # Nobody has started a worker: the first server does, as a person opens a page.
    first, *others = (store.create_run(replace(config, seed=seed, epochs=60), dataset) for seed in range(3))
    server = start()
    server.show(first)
    found = wait_for(worker_process)
    assert found.ppid() == server.process.pid
    for by in ENDS:
        time.sleep(chance.uniform(0, 1))
        shown = next((run for run in (first, *others) if not states.has_ended(run)), others[-1])
        at_work, done = trainer_of(shown), steps_of(shown)
        server.end(by)
        assert not server.is_well()
        assert at_work is None or is_at_work(at_work) or states.has_ended(shown)
        # It goes on while there is no server at all.
        wait_for(lambda shown=shown, done=done: steps_of(shown) > done or states.has_ended(shown))
        server = start()
        assert shown.name in server.show(shown)
    wait_for(lambda: {status(run) for run in (first, *others)} == {"finished"})
    for run in (first, *others):
        # No process was lost with a server, and none was started twice.
        assert (count(run, "started"), count(run, "interrupted")) == (1, 0)
        assert run.name in server.show(run)
    server.end(signal.SIGTERM)
    wait_for(lambda: not processes_of(home()), seconds=20)
    see_that_nothing_is_left()


def test_a_timer_of_the_page_that_was_left_does_not_blank_the_next_one(start):
    run = make_run("finished", make_dataset(), ExitStack())
    with start().connect() as connection:
        tab = Tab(connection, f"run={run.id}")
        tab.ask()
        tab.hear_until(lambda: "Judge it" in tab.buttons and tab.timers)
        train, (button, fragment), timers = tab.page, tab.buttons["Judge it"], list(tab.timers)
        tab.ask(fragment_id=fragment, widget_states={"widgets": [{"id": button, "trigger_value": True}]})
        # The timers of a busy browser fire until it has read that there is another page.
        tab.hear_until(lambda: tab.page != train)
        runs = tab.page
        for timer in timers:
            tab.ask(fragment_id=timer, page_script_hash=train, is_auto_rerun=True)
        while tab.hear(seconds=5):
            assert tab.page == runs
