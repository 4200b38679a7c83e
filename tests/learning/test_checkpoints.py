import json
import pickle
import shutil

import pytest
import torch

from core.errors import UserError
from core.learning import catalogue, checkpoints
from core.learning.checkpoints import choose_hardware, load_finetuned, load_for_training


@pytest.fixture
def on(monkeypatch):
    """Pretend a kind of hardware."""

    def pretend(cuda=False, gpu_bf16=False, mps=False, capabilities=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Test GPU")
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: gpu_bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities or {})

    return pretend


@pytest.mark.parametrize(
    ("machine", "device", "precision", "words"),
    [
        ({"cuda": True, "gpu_bf16": True}, "cuda", "bf16", "Test GPU"),
        ({"cuda": True}, "cuda", "fp16", "no bf16"),
        ({"mps": True}, "mps", "fp32", "Mac"),
        ({"capabilities": {"amx_bf16": True}}, "cpu", "bf16", "AMX"),
        ({"capabilities": {"avx512_bf16": True}}, "cpu", "bf16", "AVX512"),
        ({"capabilities": {"avx2": True}}, "cpu", "fp32", "no bf16"),
    ],
)
def test_best_device_and_precision_with_the_reason(on, machine, device, precision, words):
    on(**machine)
    hardware = choose_hardware()
    assert (hardware.device, hardware.precision) == (device, precision)
    assert words in hardware.reason


def test_a_precision_can_be_asked_for_but_fp16_needs_a_gpu(on):
    on()
    assert choose_hardware("fp32").precision == "fp32"
    assert "settings ask" in choose_hardware("bf16").reason
    with pytest.raises(UserError, match="GPU for the precision fp16"):
        choose_hardware("fp16")


def test_new_head_has_the_labels_and_follows_the_seed(tiny):
    folder, heads = catalogue.resolve(tiny), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = load_for_training(folder, {"x": 0, "y": 1, "z": 2})
        heads.append(model.classifier.weight)
    assert model.config.id2label == {0: "x", 1: "y", 2: "z"}
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_pickle_in_place_of_safetensors_is_not_opened(tiny, tmp_path):
    folder, marker = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(catalogue.resolve(tiny), folder)
    (folder / "model.safetensors").unlink()

    class Attack:
        def __reduce__(self):
            return (marker.touch, ())

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(OSError, match="safetensors"):
        load_finetuned(folder)
    assert not marker.exists()


def test_code_of_a_model_folder_does_not_run(tiny, tmp_path):
    folder, marker = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(catalogue.resolve(tiny), folder)
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(ValueError, match="trust_remote_code|evil"):
        checkpoints.load_for_training(folder, {"x": 0, "y": 1})
    assert not marker.exists()


@pytest.mark.parametrize(
    ("quota", "threads"), [("max 100000", 4), ("150000 100000", 2), ("1000 100000", 1), ("", 4)]
)
def test_threads_keep_to_the_quota_of_a_container(monkeypatch, tmp_path, quota, threads):
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(checkpoints, "CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(checkpoints.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    checkpoints.use_all_cores()
    assert asked == [threads]
