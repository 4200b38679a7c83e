"""A fine-tuned model folder as an ONNX file, checked against torch on real texts.

The file holds operators of the ONNX standard alone, takes `input_ids` and `attention_mask` (int64 [texts,
tokens], both sizes free) and gives `logits` (float32 [texts, classes], before temperature and softmax).
`token_type_ids` are left out: a single text has one type, which is in the graph, and transformers.js gives
a graph only the inputs that it names. It looks for `onnx/model.onnx` (float32) and
`onnx/model_quantized.onnx` (int8) beside config.json, tokenizer.json and tokenizer_config.json: its version
4.3.1 answered with both from such a folder in Chromium.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.base.child_process import ask
from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.folders import bytes_on_disk
from core.base.home import PROJECT
from core.learning.pretrained import FILES, WEIGHTS

PRECISIONS = ("fp32", "int8")

FILE_NAMES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}
"""Where transformers.js and the bundle's script look for each precision, seen from config.json."""

LARGEST_WEIGHTS = 1_900_000_000
"""Bytes of float32 weights. One ONNX file ends at 2 GiB, graph included (protobuf's limit)."""


@dataclass(frozen=True)
class Parity:
    """How near an ONNX file's answers are to torch's in float32, on the texts that it was checked with."""

    texts: int
    labels_equal: int
    """Texts that got the same label from both."""
    largest_difference: float
    """Of any text's probability of any class, both without temperature."""
    accuracy_torch: float | None = None
    """0 to 1, on the real texts among them; None for fp32, which answers alike, or without labels."""
    accuracy_onnx: float | None = None


@dataclass(frozen=True)
class Sample:
    """Real texts to check an export on, best those of the test split.

    Of more than `onnx_process.MOST_TEXTS` (5,000; for fp32 500) a part is taken.
    """

    texts: Sequence[str]
    labels: Sequence[int] | None = None
    """Their classes by number, for the accuracy before and after int8."""


def export_onnx(
    folder: Path,
    out: Path,
    precision: str,
    sample: Sample,
    progress: Callable[[str], None] = lambda step: None,
    graph: Path | None = None,
) -> Parity:
    """Write a model folder as one ONNX file, and check it against torch on these texts.

    A process of its own does it: the exporter takes most of a gigabyte, and keeps it.

    Args:
        folder: a Hugging Face folder with safetensors weights. No code of the folder runs.
        out: the .onnx file.
        precision: fp32, or int8 (weights of matrix products and of the table of words in 8 bits).
        sample: the texts to check it on. Odd ones are checked besides: empty, and of any length.
        progress: told each step in words; what it raises ends the export.
        graph: the same folder's fp32 file, when there is one: int8 then takes a tenth of the time.

    Raises:
        UserError: the folder is not whole, the architecture cannot be exported, the model is too large, or
            float32 probabilities differ by more than 1e-4. No file is left then.
    """
    _check(folder, precision)
    request = {
        "folder": str(folder.resolve()),
        "precision": precision,
        "texts": list(sample.texts),
        "labels": None if sample.labels is None else [int(label) for label in sample.labels],
        "graph": str(graph.resolve()) if graph else None,
    }
    room = 2 * bytes_on_disk(folder)
    with (
        full_is_said("the ONNX file", room, out.parent),
        whole_file(out.resolve()) as draft,
        # Here and not in the process, so that it goes even when that is killed.
        tempfile.TemporaryDirectory(prefix=".onnx-", dir=draft.parent) as scratch,
    ):
        return _made(request | {"out": str(draft), "scratch": scratch, "room": room}, progress)


def _check(folder: Path, precision: str) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {PRECISIONS}, not {precision!r}")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"a model folder with {', '.join(FILES)}",
            f"no {', '.join(missing)}",
            "Choose a run that has weights.",
        )
    size = (folder / WEIGHTS).stat().st_size
    if size > LARGEST_WEIGHTS:
        raise UserError(
            f"a model of at most {LARGEST_WEIGHTS / 1e9:.1f} GB: one ONNX file holds no more",
            f"weights of {size / 1e9:.1f} GB",
            "Take the Hugging Face folder instead.",
        )


def _made(request: dict[str, Any], progress: Callable[[str], None]) -> Parity:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.serving.export.onnx_process"],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
        )
        try:
            answer = ask(process, request, progress)
            process.wait()
        finally:
            process.kill()
            process.wait()
        if answer is None or process.returncode != 0:
            raise _broken(process.returncode, log)
        return Parity(**answer["parity"])


def _broken(code: int, log: IO[str]) -> UserError:
    log.seek(0)
    said = log.read().strip().splitlines()[-1:] or ["it said nothing"]
    return UserError(
        "an export that comes to its end",
        f"one that ended with code {code} ({said[0][:300]})",
        "Close what else needs memory and try again; the other exports do not need this one.",
    )
