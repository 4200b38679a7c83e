"""`core push` in a terminal, against a stand-in for the hub."""

import os
import pty
import select
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.pages.seeding import make_dataset, make_run
from tests.serving.hub_stand_in import hub_stand_in

PROJECT = Path(__file__).resolve().parents[1]
TOKEN = "hf_thisTokenMustBeNowhereAfterwards"


@pytest.fixture
def run():
    with ExitStack() as held:
        yield make_run("finished", make_dataset(), held)


@pytest.fixture
def hub(monkeypatch):
    with hub_stand_in() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.mark.process
def test_a_typed_token_is_not_shown(run, hub):
    terminal, standard_input = pty.openpty()
    command = [sys.executable, "-m", "core", "push", run.id, "--to", "owner/name"]
    # In a session of its own: the terminal that the tests run in is not asked.
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        stdin=standard_input,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        asked = b""
        while not asked.endswith(b"(not shown): "):
            asked += process.stderr.read(1) or pytest.fail(asked.decode())
        os.write(terminal, f"{TOKEN}\n".encode())
        out, more = process.communicate(timeout=60)
    shown = os.read(terminal, 1000) if select.select([terminal], [], [], 0)[0] else b""
    os.close(terminal)
    os.close(standard_input)
    assert out.decode() == f"{hub.address}/owner/name\n"
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert TOKEN.encode() not in out + asked + more + shown
