"""The section `first_step`: seconds from submitting to the first step, without and with compiled kernels."""

import time
from pathlib import Path
from typing import Any

from tests.benchmarks.gpu_runs import Home, wait_until
from tests.benchmarks.gpu_setup import QUICK_FACTOR, Report, Settings

LIMIT = 30
"""Seconds for one start."""

PROCESSES = ("core", "core.runs.training.worker", "core.runs.training.trainer")


def measure(settings: Settings, report: Report) -> None:
    """Report a start without compiled kernels, and two with those of the first."""
    caches = Path(settings.scratch) / "kernels"
    environment = {
        "TRITON_CACHE_DIR": str(caches / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        "CUDA_CACHE_PATH": str(caches / "cuda"),
    }
    for number, kernels in enumerate(("cold", "warm", "warm")):
        report({"kernels": kernels, **_start(settings, f"first-step-{number}", environment)})


def _start(settings: Settings, name: str, environment: dict[str, str]) -> dict[str, Any]:
    home = Home(settings, name, **environment)
    began = time.time()
    process = home.start(*home.train_arguments())

    def first_step() -> dict[str, float] | None:
        times: dict[str, float] = {}
        for event in home.events():
            times.setdefault(event["type"], event["time"])
        if process.poll():
            raise RuntimeError(f"train ended with {process.returncode}: {process.stderr.read()[-1000:]}")
        return times if "step" in times else None

    try:
        times = wait_until(first_step, LIMIT * (QUICK_FACTOR if settings.quick else 1), "the first step")
    finally:
        # The worker first: it would start the lost training again.
        for module in PROCESSES:
            home.kill(module)
    return {
        f"{moment}_after_seconds": round(times[moment] - began, 2)
        for moment in ("queued", "started", "step")
        if moment in times
    }
