"""The GPU's kernels are compiled for cards that are not here, each in a process that has no interpreter."""

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.benchmarks.workload import PROJECT

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize("capability", [80, 90], ids=["A100", "H100"])
def test_every_kernel_of_a_step_is_compiled_and_keeps_its_tiles_in_registers(tmp_path, capability):
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.kernel_compilation", str(capability)],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) > 25
    spilled = [line for line in lines if "  0 bytes on the stack" not in line]
    assert len(spilled) <= (4 if capability < 90 else 0), spilled
