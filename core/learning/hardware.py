"""Which device and which number format a training uses on this machine, and why."""

import ctypes
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from core.base.errors import UserError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Hardware:
    """Where a training runs and in which number format, each with the reason in words."""

    device: str
    """cuda, mps or cpu."""
    precision: str
    """bf16, fp16 or fp32: the format of the matrix products. Weights and sums stay float32."""
    reason: str


def choose_hardware(precision: str = "auto") -> Hardware:
    """The GPU when there is one, else Apple's MPS, else the CPU; and its fastest precision.

    Args:
        precision: auto, bf16, fp16 or fp32, as in the settings.

    Raises:
        UserError: when the asked precision does not work on the device.
    """
    device, device_reason = _device()
    best, precision_reason = _best_precision(device)
    if precision in ("auto", best):
        return Hardware(device, best, f"{device_reason}; {precision_reason}")
    if precision == "fp16" and device != "cuda":
        raise UserError(
            "a GPU for the precision fp16",
            f"the device {device}",
            f"Choose auto (here: {best}), bf16 or fp32.",
        )
    return Hardware(device, precision, f"{device_reason}; {precision} because the settings ask for it")


def processor() -> Hardware:
    """The processor in its fastest precision, whether there is a GPU or not."""
    precision, reason = _best_precision("cpu")
    return Hardware("cpu", precision, f"on the CPU; {reason}")


def use_all_cores() -> None:
    """Let torch use every core this process may run on, and no more than its container's quota grants."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Linux control groups, version 2: microseconds granted per period, or "max" where there is no limit.
    with suppress(OSError, ValueError):
        granted, period = CPU_QUOTA.read_text().split()
        cores = min(cores, max(1, round(int(granted) / int(period))))
    torch.set_num_threads(cores)


def use_one_core() -> None:
    """Let torch use one core: the others are somebody else's."""
    torch.set_num_threads(1)


def keep_freed_memory() -> None:
    """Let the C library keep what is freed instead of giving it back to the system page by page.

    Every training step frees and takes the same few hundred megabytes, and fresh pages cost up to a third
    of a step. For a process that trains and then ends; elsewhere than in glibc nothing happens.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        # The numbers of <malloc.h>: never map a block by itself, hardly ever shrink, grow in large pieces.
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def _device() -> tuple[str, str]:
    if torch.cuda.is_available():
        return "cuda", f"on the GPU {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return "mps", "on the GPU of this Mac (MPS)"
    return "cpu", f"on the CPU ({torch.get_num_threads()} threads) because no GPU was found"


def _best_precision(device: str) -> tuple[str, str]:
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "bf16 because this GPU has it in hardware"
        return "fp16", "fp16 with a loss scaler because this GPU has no bf16"
    if device == "mps":
        return "fp32", "fp32 because mixed precision is not reliable on MPS"
    capabilities = torch.cpu.get_capabilities()
    for name, words in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16"), ("bf16", "BF16 instructions")):
        if capabilities.get(name):
            return "bf16", f"bf16 because this processor has it in hardware ({words})"
    return "fp32", "fp32 because this processor has no bf16 in hardware"
