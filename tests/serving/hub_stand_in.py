"""A stand-in for the hub's API: what huggingface_hub asks for to create a repository and commit to it."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hub:
    """What it was asked, what arrived, and what it refuses."""

    address: str = ""
    refuse: dict[str, int] = field(default_factory=dict)
    """A part of a path, and the status that it is answered with."""
    says: str = "no"
    """With a refusal."""
    silent: str | None = None
    """A part of a path that is never answered."""
    existing: dict[str, Any] | None = None
    """What is known of the repository when its name is taken."""
    created: dict[str, Any] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    paths: list[str] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)
    """By sha256, as they were sent."""
    committed: dict[str, bytes] = field(default_factory=dict)
    """By path in the repository, once there is a commit."""
    over: threading.Event = field(default_factory=threading.Event)
    """Lets the silent threads go."""


@contextmanager
def hub_stand_in() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def do_PUT(self) -> None:
            self.answer()

        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.paths.append(f"{self.command} {self.path}")
            if hub.silent and hub.silent in self.path:
                hub.over.wait()
                return
            if token := self.headers.get("Authorization"):
                hub.tokens.add(token)
            refused = next((code for part, code in hub.refuse.items() if part in self.path), None)
            status, found = (
                (refused, {"error": f"{hub.says} {token}"}) if refused else _answer(hub, self.path, content)
            )
            sent = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        hub.over.set()
        server.shutdown()
        server.server_close()


def _answer(hub: Hub, path: str, content: bytes) -> tuple[int, dict[str, Any]]:
    if path == "/api/validate-yaml":
        return 200, {"warnings": [], "errors": []}
    if path == "/api/repos/create":
        hub.created = json.loads(content)
        name = f"{hub.created['organization']}/{hub.created['name']}"
        return (409 if hub.existing else 200), {"url": f"{hub.address}/{name}"}
    if "/preupload/" in path:
        files = json.loads(content)["files"]
        return 200, {"files": [_mode(file["path"]) for file in files]}
    if path.endswith("/info/lfs/objects/batch"):
        objects = json.loads(content)["objects"]
        return 200, {"objects": [_action(hub, wanted) for wanted in objects], "transfer": "basic"}
    if path.startswith("/lfs/"):
        hub.large[path.removeprefix("/lfs/")] = content
        return 200, {}
    if "/commit/" in path:
        _commit(hub, content)
        return 200, {"commitUrl": f"{hub.address}/owner/name/commit/{'0' * 40}", "commitOid": "0" * 40}
    if path.startswith("/api/models/") and hub.existing:
        return 200, hub.existing
    return 404, {"error": "not found"}


def _mode(path: str) -> dict[str, Any]:
    large = path.endswith((".safetensors", ".onnx"))
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}


def _action(hub: Hub, wanted: dict[str, Any]) -> dict[str, Any]:
    return wanted | {"actions": {"upload": {"href": f"{hub.address}/lfs/{wanted['oid']}", "header": {}}}}


def _commit(hub: Hub, content: bytes) -> None:
    for line in content.splitlines():
        entry = json.loads(line)
        value = entry["value"]
        if entry["key"] == "file":
            hub.committed[value["path"]] = base64.b64decode(value["content"])
        if entry["key"] == "lfsFile":
            hub.committed[value["path"]] = hub.large[value["oid"]]
