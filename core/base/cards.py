"""The GPUs of this machine, told without torch, which takes seconds to load."""

import os
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")
"""Where NVIDIA's driver on Linux has a folder for each of its GPUs."""


def visible_cards() -> list[str | None]:
    """What CUDA_VISIBLE_DEVICES is to be for each GPU; a single None, to leave it, without several."""
    found = len(list(DRIVER.iterdir())) if DRIVER.is_dir() else 0
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(found)] if given is None else [n for n in given.split(",") if n.strip()]
    return list(names) if found > 1 and len(names) > 1 else [None]
