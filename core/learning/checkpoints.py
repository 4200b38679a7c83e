"""A model folder becomes a model and a tokenizer on this machine's best device, safely."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from core.errors import UserError

# It reports each load of an encoder as if the new classification head were a fault.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


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


def autocast(hardware: Hardware) -> torch.autocast:
    """The context in which matrix products run in the chosen precision."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}[hardware.precision]
    return torch.autocast(hardware.device, dtype=dtype, enabled=dtype is not None)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder. No code of the folder runs."""
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def load_for_training(folder: Path, label2id: dict[str, int]) -> PreTrainedModel:
    """A pre-trained encoder with a new, randomly initialised classification head, in float32 on the CPU.

    Args:
        folder: config.json and model.safetensors of the encoder.
        label2id: class name → number; stored in the model's configuration.
    """
    config = AutoConfig.from_pretrained(
        folder,
        label2id=label2id,
        id2label={number: label for label, number in label2id.items()},
        trust_remote_code=False,
        local_files_only=True,
    )
    # Several labels per text is another problem type; one label per text is the only one here.
    config.problem_type = "single_label_classification"
    return _load(folder, config)


def load_finetuned(folder: Path) -> PreTrainedModel:
    """A fine-tuned classifier as it was saved, in float32 on the CPU, ready to predict."""
    return _load(folder, None).eval()


def _load(folder: Path, config: AutoConfig | None) -> PreTrainedModel:
    return AutoModelForSequenceClassification.from_pretrained(
        folder,
        config=config,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        dtype=torch.float32,
    )


def use_all_cores() -> None:
    """Let torch use every core this process may run on, and no more than its container's quota grants."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Linux control groups, version 2: microseconds granted per period, or "max" where there is no limit.
    with suppress(OSError, ValueError):
        granted, period = CPU_QUOTA.read_text().split()
        cores = min(cores, max(1, round(int(granted) / int(period))))
    torch.set_num_threads(cores)


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
