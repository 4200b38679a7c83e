"""Pushing to a stand-in for the hub: what arrives, what is refused, and where the token is afterwards."""

import socket
import subprocess
import sys

import pytest

from core.base.errors import UserError
from core.serving.export.hub import Repository, push
from tests.serving.hub_stand_in import hub_stand_in

TOKEN = "hf_thisTokenMustBeNowhereAfterwards"
CARD = "---\ntags:\n- text-classification\n---\n\n# A model\n"


@pytest.fixture
def folder(tmp_path):
    """As large as it needs to be: nothing here reads the weights."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text('{"id2label": {"0": "bad"}}')
    (made / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (made / "tokenizer.json").write_text('{"é": 1}', encoding="utf-8")
    return made


@pytest.fixture
def hub(monkeypatch):
    # Only the process that sends reads it: this one has asked already.
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with hub_stand_in() as hub:
        yield hub


def send(folder, hub, **others):
    where = {"id": "owner/name", "token": TOKEN, "private": True, "endpoint": hub.address}
    to = Repository(**{name: others.pop(name, value) for name, value in where.items()})
    return push(folder, to=to, **({"card": CARD} | others))


@pytest.mark.process
def test_every_byte_arrives_in_one_commit(folder, hub, tmp_path):
    (folder / "README.md").write_text("an older card")
    (folder / ".draft").write_text("half written")
    (folder / "link.json").symlink_to("/etc/hostname")
    onnx = tmp_path / "graph"
    onnx.write_bytes(b"graph")
    steps = []
    address = send(folder, hub, extra={"onnx/model.onnx": onnx}, progress=steps.append)
    assert address == f"{hub.address}/owner/name"
    names = ("config.json", "model.safetensors", "tokenizer.json")
    expected = {name: (folder / name).read_bytes() for name in names}
    assert hub.committed == expected | {"README.md": CARD.encode(), "onnx/model.onnx": b"graph"}
    assert hub.created["visibility"] == "private"
    assert sum("/commit/" in path for path in hub.paths) == 1
    assert steps[0] == "Creating owner/name"
    assert steps[-1] == "Publishing 5 files"


@pytest.mark.process
def test_a_public_repository_is_asked_for_as_one(folder, hub):
    send(folder, hub, private=False)
    assert hub.created.get("visibility", "public") == "public"


@pytest.mark.process
@pytest.mark.parametrize("ended", ["well", "refused"])
def test_the_token_is_nowhere_afterwards(folder, hub, tmp_path, monkeypatch, capfd, caplog, ended):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hugging-face"))
    monkeypatch.setenv("HF_TOKEN", "hf_somebodyElses")
    seen = []
    true_popen = subprocess.Popen

    def popen(arguments, **options):
        seen.append(f"{arguments} {options['env']}")
        return true_popen(arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    said = []
    if ended == "well":
        send(folder, hub, progress=said.append)
    else:
        # With an answer that holds it.
        hub.refuse["/commit/"] = 418
        with pytest.raises(UserError, match="Bearer …") as error:
            send(folder, hub, progress=said.append)
        said.append(str(error.value))
    assert hub.tokens == {f"Bearer {TOKEN}"}
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not any(TOKEN.encode() in content for content in kept)
    assert seen
    assert "somebodyElses" not in seen[0]
    assert TOKEN not in "".join([*seen, *said, *capfd.readouterr(), caplog.text])


@pytest.mark.process
@pytest.mark.parametrize(
    ("where", "status", "words"),
    [
        ("/api/repos/create", 401, "a token that the hub knows"),
        ("/api/repos/create", 403, "may write to owner/name"),
        ("/preupload/", 404, "may write to owner/name"),
        ("/lfs/objects/batch", 413, "small enough"),
        ("/lfs/", 413, "small enough"),
        ("/commit/", 401, "a token that the hub knows"),
        ("/commit/", 429, "too many for the hub"),
        ("/commit/", 418, "its answer 418"),
        ("/api/repos/create", 500, "its answer 500"),
        ("/api/validate-yaml", 400, "takes"),
    ],
)
def test_a_refusal_is_said_in_words(folder, hub, where, status, words):
    hub.refuse[where] = status
    with pytest.raises(UserError, match=words):
        send(folder, hub)
    assert hub.committed == {}


@pytest.mark.process
@pytest.mark.parametrize(
    ("private", "siblings"),
    [(True, [{"rfilename": "model.safetensors"}]), (False, [])],
    ids=["taken", "public"],
)
def test_a_taken_name_and_an_empty_public_repository_are_said_and_left_alone(folder, hub, private, siblings):
    hub.existing = {"id": "owner/name", "private": private, "siblings": siblings}
    with pytest.raises(UserError, match="called owner/name already"):
        send(folder, hub)
    assert hub.committed == {}


@pytest.mark.process
def test_what_a_broken_push_left_empty_is_gone_on_with(folder, hub):
    hub.existing = {"id": "owner/name", "private": True, "siblings": [{"rfilename": ".gitattributes"}]}
    assert send(folder, hub) == f"{hub.address}/owner/name"
    assert "model.safetensors" in hub.committed


@pytest.mark.process
def test_no_network_is_said(folder, hub):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match="a network that leads to the hub"):
        send(folder, hub, endpoint=f"http://127.0.0.1:{port}")


@pytest.mark.process
def test_a_silent_hub_is_given_up_on(folder, hub, monkeypatch):
    monkeypatch.setattr("core.serving.export.hub.PATIENCE_SECONDS", 0.5)
    hub.silent = "/api/repos/create"
    with pytest.raises(UserError, match="a network that leads to the hub"):
        send(folder, hub)
    assert hub.committed == {}


def test_a_machine_that_is_to_stay_offline_is_said(folder, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        send(folder, hub)
    assert hub.paths == []


@pytest.mark.process
def test_what_progress_raises_ends_the_push(folder, hub):
    def refuse(step: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(folder, hub, progress=refuse)
    assert hub.committed == {}


@pytest.mark.process
def test_a_sender_that_dies_is_said(folder, hub, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="broke off"):
        send(folder, hub)


@pytest.mark.parametrize(
    "name",
    ["", "name", "a/b/c", "../etc", "owner/..", "owner/a..b", "owner/a--b", "owner/a.git", "/name", "owner/",
     "owner/na me", "owner/name\n", "owner/näme", "owner/<b>", "-a/b", f"owner/{'a' * 91}", "https://a/b"],
)  # fmt: skip
def test_what_is_no_name_is_refused_before_anything_is_asked(folder, hub, name):
    with pytest.raises(UserError, match="a name like owner/name"):
        send(folder, hub, id=name)
    assert hub.paths == []


@pytest.mark.parametrize("token", ["", "short", "hf_with blank inside", "hf_line\r\nX-Evil: 1", "hf_é" * 4])
def test_what_is_no_token_is_refused_before_anything_is_asked(folder, hub, token):
    with pytest.raises(UserError, match="an access token") as error:
        send(folder, hub, token=token)
    assert not token or token not in str(error.value)
    assert hub.paths == []


def test_a_folder_without_weights_is_refused(folder, hub):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="a model folder with weights"):
        send(folder, hub)
    assert hub.paths == []
