"""Compiles the GPU's kernels for a card that need not be there: python -m tests.kernel_compilation [SM]

Prints a line for each kernel of a training step of a BERT of the base size: its registers, the bytes that it
keeps on the stack because registers were short, and the seconds it took. SM is 80 (A100), 89, 90 (H100)…
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Before torch, as in the app: OpenMP reads its settings when torch loads it.
import core.learning  # noqa: F401

SHAPE = {
    "model_type": "bert",
    "vocab_size": 300,
    "hidden_size": 768,
    "num_hidden_layers": 2,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}


@dataclass(frozen=True)
class Compiled:
    """What became of one kernel."""

    name: str
    warps: int
    registers: int
    """Of a thread."""
    stack: int
    """Bytes of a thread."""
    seconds: float


def main() -> None:
    """Compile for the card that the command line names."""
    for kernel in compile_step(int(sys.argv[1]) if sys.argv[1:] else 90):
        print(
            f"{kernel.name:30} {kernel.warps} warps, {kernel.registers:3} registers, "
            f"{kernel.stack:3} bytes on the stack, {kernel.seconds:.1f} s",
            flush=True,
        )


def compile_step(capability: int) -> Iterator[Compiled]:
    """Each kernel once that a step calls for, with texts of every class of lengths."""
    seen = set()
    for kernel, tensors, settings in _calls():
        source, key = _source(kernel, tensors, settings)
        warps = settings.get("num_warps", 4)
        if (key, warps) not in seen:
            seen.add((key, warps))
            yield _compile(kernel.fn.__name__, source, warps, capability)


def _calls() -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    """Kernel, tensors and settings of all launches of a step."""
    import torch

    from core.learning.batching import Texts
    from core.learning.models.bert_family.architectures import read_architecture
    from core.learning.models.gpu_bert import triton_operations
    from core.learning.models.gpu_bert.encoder import PackedBertEncoder
    from core.learning.models.gpu_bert.head import Head
    from core.learning.models.gpu_bert.optimizer import PackedAdamW
    from core.learning.models.gpu_bert.packing import HostBlock, PackedShape, pack

    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    triton_operations._launch = lambda kernel, grid, *tensors, **settings: calls.append(
        (kernel, tensors, settings)
    )
    architecture = read_architecture(SHAPE)
    encoder = PackedBertEncoder(architecture, torch.bfloat16, triton_operations, "cpu")
    head = Head(architecture, 3, triton_operations, "cpu")
    encoder.allocate_gradients()
    head.block.allocate_gradients(torch.float32)
    optimizer = PackedAdamW(encoder, head, 0.01, 10)
    for longest in (32, 64, 128):
        host = HostBlock(PackedShape(1, 64, longest), pinned=False)
        pack(Texts(np.zeros(2, np.int32), np.array([2]), np.zeros(1, np.int64)), 0, host)
        batch = host.on("cpu")
        triton_operations.settle_words(batch, optimizer.words)
        first, tape = encoder.forward(batch, training=True)
        logits, head_tape = head.forward(first, batch, training=True)
        dlogits = triton_operations.cross_entropy(logits, batch, torch.ones(3), torch.zeros(2))
        rows = encoder.backward(tape, head.backward(head_tape, dlogits, batch))
        gradients = (encoder.matrices.gradients, encoder.vectors.gradients, head.block.gradients)
        optimizer.step(batch, gradients, rows, 1.0)
    return calls


def _source(kernel: Any, tensors: tuple[Any, ...], settings: dict[str, Any]) -> tuple[Any, Any]:
    """What the compiler takes, and what tells it from others."""
    import torch
    from triton.compiler import ASTSource

    types = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int32: "*i32"}
    given = {**dict(zip(kernel.arg_names, tensors, strict=False)), **settings}
    signature: dict[str, str] = {}
    constants: dict[tuple[int], Any] = {}
    aligned: dict[tuple[int], Any] = {}
    for i, name in enumerate(kernel.arg_names):
        value = given[name]
        if kernel.params[i].is_constexpr:
            signature[name] = "constexpr"
            constants[i,] = value
        elif isinstance(value, torch.Tensor):
            signature[name] = types[value.dtype]
            aligned[i,] = [["tt.divisibility", 16]]
        else:
            signature[name] = "fp32" if isinstance(value, float) else "i32"
    key = (kernel.fn.__name__, *signature.items(), *constants.items())
    return ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned), key


def _compile(name: str, source: Any, warps: int, capability: int) -> Compiled:
    import triton
    from triton.backends.compiler import GPUTarget

    began = time.perf_counter()
    done = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
    seconds = time.perf_counter() - began
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(done.asm["cubin"])
        file.flush()
        command = [str(tool), "--dump-resource-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", said)
    assert found, said
    return Compiled(name, warps, int(found[1]), int(found[2]), seconds)


if __name__ == "__main__":
    main()
