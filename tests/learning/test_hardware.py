import platform
import subprocess
import sys

import pytest
import torch

from core.base.errors import UserError
from core.learning import hardware as hardware_module
from core.learning.hardware import choose_hardware


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


@pytest.mark.parametrize(
    ("quota", "threads"), [("max 100000", 4), ("150000 100000", 2), ("1000 100000", 1), ("", 4)]
)
def test_threads_keep_to_the_quota_of_a_container(monkeypatch, tmp_path, quota, threads):
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(hardware_module, "CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(hardware_module.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    hardware_module.use_all_cores()
    assert asked == [threads]


@pytest.mark.process
def test_memory_stays_with_a_training_process():
    # In a process of its own: the setting holds until the end.
    program = (
        "import torch\n"
        "from core.learning.hardware import keep_freed_memory\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "keep_freed_memory()\n"
        "block = torch.ones(64 << 20); held = resident(); del block\n"
        "print(held - resident() < 16 << 20)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    assert done.stdout.strip() == "True"
