"""Fetching onnxruntime-web, from a stand-in of the public copy."""

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from core.base.errors import UserError
from core.serving.web_page import web_runtime

CONTENT = {"/script.mjs": b"script", "/binary.wasm": b"binary" * 1000}


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that goes away is what these tests are about."""


class StandIn(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []
    silent = False

    def do_GET(self):
        self.asked.append(self.path)
        if self.silent:
            time.sleep(0.5)
        if self.path not in CONTENT:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT[self.path])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """Its address is where the files come from."""
    with Server(("127.0.0.1", 0), StandIn) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(StandIn, "asked", [])
        monkeypatch.setattr(web_runtime, "ADDRESS", f"http://127.0.0.1:{server.server_port}/")
        sums = {name[1:]: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
        monkeypatch.setattr(web_runtime, "SHA256", sums)
        monkeypatch.delenv(web_runtime.FOLDER, raising=False)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server
        server.shutdown()


def test_fetched_once_and_again_when_damaged(server, textuner_home):
    assert web_runtime.runtime_files() == {name[1:]: content for name, content in CONTENT.items()}
    web_runtime.runtime_files()
    assert StandIn.asked == ["/script.mjs", "/binary.wasm"]
    (kept,) = textuner_home.glob("cache/*/script.mjs")
    kept.write_bytes(b"other")
    assert web_runtime.runtime_files()["script.mjs"] == b"script"
    assert StandIn.asked == ["/script.mjs", "/binary.wasm", "/script.mjs"]


@pytest.mark.parametrize("case", ["hash", "missing", "large", "silent", "slow", "gone"])
def test_what_goes_wrong_is_said_and_nothing_kept(server, case, monkeypatch, textuner_home):
    words = {"hash": "found sha256", "missing": "404", "large": "at most 3 bytes", "silent": "timed out"}
    words |= {"slow": "within 0 s", "gone": "no answer"}
    if case == "hash":
        monkeypatch.setattr(web_runtime, "SHA256", {"script.mjs": "0" * 64})
    if case == "missing":
        monkeypatch.setattr(web_runtime, "SHA256", {"other.mjs": "0" * 64})
    if case == "large":
        monkeypatch.setattr(web_runtime, "LARGEST", 3)
    if case == "silent":
        monkeypatch.setattr(StandIn, "silent", True)
        monkeypatch.setattr(web_runtime, "PATIENCE_SECONDS", 0.1)
    if case == "slow":
        monkeypatch.setattr(web_runtime, "LONGEST_SECONDS", 0)
    if case == "gone":
        monkeypatch.setattr(web_runtime, "ADDRESS", "http://127.0.0.1:9/")
    with pytest.raises(UserError, match=words[case]) as caught:
        web_runtime.runtime_files()
    assert "Everything else can still be exported" in caught.value.remedy
    assert not list(textuner_home.glob("cache/*/*"))


def test_a_folder_of_ones_own(server, tmp_path, monkeypatch):
    monkeypatch.setenv(web_runtime.FOLDER, str(tmp_path))
    with pytest.raises(UserError, match="no such file"):
        web_runtime.runtime_files()
    for name, content in CONTENT.items():
        (tmp_path / name[1:]).write_bytes(content)
    assert set(web_runtime.runtime_files()) == {"script.mjs", "binary.wasm"}
    (tmp_path / "script.mjs").write_bytes(b"other")
    with pytest.raises(UserError, match="script.mjs with sha256"):
        web_runtime.runtime_files()
    assert StandIn.asked == []
