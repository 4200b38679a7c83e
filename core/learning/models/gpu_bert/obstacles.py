"""Why the packed encoder cannot compute a model on this machine, if it cannot."""

import importlib.util
from functools import cache

import torch

from core.learning.hardware import Hardware
from core.learning.models.bert_family.architectures import Architecture

WIDTHS = (16, 32, 64, 128)
"""Of an attention head: what a tile of the kernels may be wide."""


def find_obstacle(architecture: Architecture | None, hardware: Hardware) -> str | None:
    """The reason, as a clause; None when it can.

    Args:
        architecture: of a model of the BERT family; None for another one.
    """
    if architecture is None:
        return "it is not one of the BERT family's encoders"
    if hardware.precision == "fp16":
        return "fp16 needs its loss scaler"
    width = architecture.hidden // architecture.heads
    if width not in WIDTHS:
        return f"its attention heads are {width} wide, not {', '.join(map(str, WIDTHS))}"
    if torch.cuda.get_device_capability() < (7, 0):
        return "the GPU is older than Triton supports"
    return _obstacle_of_triton()


@cache
def _obstacle_of_triton() -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    try:
        # It needs a C compiler and Python's headers, and says so only when a kernel is first started.
        from core.learning.models.gpu_bert import triton_operations

        triton_operations.gelu(torch.zeros(16, device="cuda"))
        torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001 - whatever it is, transformers' model does without
        return f"Triton does not work here ({type(error).__name__}: {str(error)[:200]})"
    return None
