"""Choosing and loading a network, and what a model folder must not be able to do."""

import json
import pickle
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import BartConfig, BartModel

from core.base.errors import UserError
from core.learning import pretrained
from core.learning.hardware import Hardware
from core.learning.models import gpu_bert, interface, transformers_model
from core.learning.models.bert_family.architectures import read_architecture
from core.learning.models.cpu_bert.classifier import BertNetwork
from core.learning.models.gpu_bert import classifier as gpu_classifier
from core.learning.models.gpu_bert import obstacles
from core.learning.models.interface import load_finetuned, load_for_training
from core.learning.models.transformers_model import HubNetwork
from core.learning.training import checkpoints

CPU = Hardware("cpu", "fp32", "test")
LABELS = {"bad": 0, "good": 1}


@pytest.fixture(params=[BertNetwork, HubNetwork])
def kind(request, monkeypatch):
    """Each kind of network in turn, for the same folder."""
    if request.param is HubNetwork:
        monkeypatch.setattr(interface, "read_architecture", lambda _: None)
    return request.param


@pytest.fixture
def folder(tiny, kind, tmp_path):
    """A fine-tuned classifier that this test may spoil."""
    network = load_for_training(pretrained.resolve(tiny), LABELS, CPU, seed=1)
    assert isinstance(network, kind)
    (tmp_path / "model").mkdir()
    network.save(tmp_path / "model")
    return tmp_path / "model"


def load_either_way(folder):
    """What a training and what the Predict page do."""
    yield lambda: load_for_training(folder, LABELS, CPU, seed=1)
    yield lambda: load_finetuned(folder, CPU)


def test_a_folder_of_either_kind_is_read_by_both(folder):
    config = json.loads((folder / "config.json").read_text())
    of_hub = HubNetwork(folder, CPU, None)
    written_out = BertNetwork(folder, config, read_architecture(config), CPU, None, seed=0)
    assert of_hub.names == written_out.names == list(LABELS)
    theirs, ours = of_hub._model.state_dict(), written_out._weights()
    assert ours.keys() == theirs.keys()
    assert all((theirs[name] == value).all() for name, value in ours.items())


def test_a_classifier_without_its_head_answers_nothing(folder):
    with safe_open(folder / "model.safetensors", "pt") as weights:
        kept = {name: weights.get_tensor(name) for name in weights.keys() if "classifier" not in name}  # noqa: SIM118
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="classifier"):
        load_finetuned(folder, CPU)


GPU = Hardware("cuda", "bf16", "test")


@pytest.fixture
def card(monkeypatch):
    """A GPU on which Triton works, as far as loading a model sees one."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(obstacles, "_obstacle_of_triton", lambda: None)


@pytest.mark.parametrize(
    ("precision", "triton", "why"),
    [
        ("bf16", None, None),
        ("fp32", None, None),
        ("fp16", None, "fp16 needs its loss scaler"),
        ("bf16", "the package triton is not installed", "the package triton is not installed"),
    ],
)
def test_on_a_gpu_the_model_is_the_packed_one_or_says_why_not(
    tiny, card, monkeypatch, precision, triton, why
):
    asked = []
    monkeypatch.setattr(transformers_model, "HubNetwork", lambda *given: asked.append(given))
    monkeypatch.setattr(gpu_classifier, "PackedBertNetwork", lambda *given: asked.append(None))
    monkeypatch.setattr(obstacles, "_obstacle_of_triton", lambda: triton)
    gpu = Hardware("cuda", precision, "test")
    load_for_training(pretrained.resolve(tiny), LABELS, gpu, seed=1)
    assert asked == [(pretrained.resolve(tiny), gpu, LABELS, why) if why else None]


def test_what_stands_in_the_way_of_the_packed_encoder(card, monkeypatch):
    sizes = {"vocab_size": 9, "num_hidden_layers": 1, "intermediate_size": 64, "max_position_embeddings": 9}
    wide = {"model_type": "bert", "hidden_size": 96, "num_attention_heads": 2, **sizes}
    assert "BERT family" in obstacles.find_obstacle(read_architecture({"model_type": "gpt2"}), GPU)
    assert "48 wide" in obstacles.find_obstacle(read_architecture(wide), GPU)
    right = read_architecture(wide | {"num_attention_heads": 3})
    assert obstacles.find_obstacle(right, GPU) is None
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 1))
    assert "older" in obstacles.find_obstacle(right, GPU)


def test_triton_that_does_not_work_is_an_obstacle_with_its_own_words(monkeypatch):
    operations = SimpleNamespace(gelu=broken)
    monkeypatch.setitem(sys.modules, "core.learning.models.gpu_bert.triton_operations", operations)
    monkeypatch.setattr(gpu_bert, "triton_operations", operations, raising=False)
    monkeypatch.setattr(obstacles.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: None)
    said = obstacles._obstacle_of_triton.__wrapped__()
    assert said == "Triton does not work here (RuntimeError: Failed to find C compiler)"


def broken(x):
    raise RuntimeError("Failed to find C compiler")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors"])
def test_a_pickle_in_place_of_safetensors_is_not_opened(folder, tmp_path, file):
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            return (marker.touch, ())

    (folder / "model.safetensors").unlink()
    (folder / file).write_bytes(pickle.dumps(Attack()))
    for load in load_either_way(folder):
        with pytest.raises((OSError, SafetensorError)):
            load()
    assert not marker.exists()
    # The trap would have worked.
    pickle.loads((folder / file).read_bytes())
    assert marker.exists()


CODE = """
open({marker!r}, "w")
from transformers import BertConfig, BertForSequenceClassification
class Config(BertConfig): pass
class Model(BertForSequenceClassification): pass
"""
AUTO_MAP = {
    "AutoConfig": "evil.Config",
    "AutoModel": "evil.Model",
    "AutoModelForSequenceClassification": "evil.Model",
}


@pytest.fixture
def evil(folder, tmp_path):
    """The folder with code beside it, and the file that appears when that runs."""
    marker = tmp_path / "ran"
    (folder / "evil.py").write_text(CODE.format(marker=str(marker)))
    return folder, marker


def set_config(folder, **settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


def test_code_beside_a_known_architecture_does_not_run(evil):
    folder, marker = evil
    set_config(folder, auto_map=AUTO_MAP)
    for load in load_either_way(folder):
        assert load().names == list(LABELS)
    assert not marker.exists()


def test_code_of_an_unknown_architecture_does_not_run(evil):
    folder, marker = evil
    set_config(folder, model_type="evil", auto_map=AUTO_MAP)
    for load in load_either_way(folder):
        with pytest.raises(ValueError, match=r"trust_remote_code|evil"):
            load()
    assert not marker.exists()


def test_nothing_is_fetched_for_a_folder_that_lacks_its_weights(folder, monkeypatch):
    import socket

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked"))
    (folder / "model.safetensors").unlink()
    for load in load_either_way(folder):
        with pytest.raises(OSError, match=r"safetensors|No such file"):
            load()


def test_a_folder_is_only_read(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "before")
    for load in load_either_way(folder):
        load()
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "before").iterdir()
    }


def test_the_state_of_a_network_with_tied_weights_is_kept_in_a_snapshot(tmp_path):
    torch.manual_seed(0)
    sizes = {"d_model": 8, "vocab_size": 20, "max_position_embeddings": 16, "pad_token_id": 1}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    heads = {"decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    BartModel(BartConfig(**sizes, **layers, **heads)).save_pretrained(tmp_path / "bart")
    trained, fresh = (HubNetwork(tmp_path / "bart", CPU, LABELS) for _ in range(2))
    with torch.no_grad():
        for weight in trained._model.parameters():
            weight.normal_()
    checkpoints.write(tmp_path / "snapshots", checkpoints.TrainingCheckpoint(1, trained._state(), {}))
    found, _ = checkpoints.newest(tmp_path / "snapshots")
    fresh._load_state(found.tensors)
    theirs, ours = trained._model.state_dict(), fresh._model.state_dict()
    assert len(found.tensors) < len(theirs)
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
