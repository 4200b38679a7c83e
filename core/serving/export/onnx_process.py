"""`python -m core.serving.export.onnx_process` writes an ONNX file and checks it; see `onnx_export`.

Reads one JSON request from standard input. Answers in JSON lines: {"step": words} as it goes on, and at last
{"parity": …} or {"error": [expected, found, remedy]}.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from core.base.disk import full_is_said
from core.base.errors import UserError
from core.learning.batching import encode
from core.learning.evaluation.inference import predict_probabilities
from core.learning.hardware import Hardware, use_all_cores
from core.learning.models.interface import load_finetuned
from core.learning.tokenizer import TextTokenizer
from core.serving.export.onnx_export import Parity

OPSET = 18
"""Of the ONNX standard; onnxruntime and onnxruntime-web have run it since 1.14."""

TOLERANCE = 1e-4
"""Largest difference of a probability in float32."""

MOST_TEXTS = 5_000
"""Texts to check with; of more, evenly many are taken from short to long."""

FEWER_TEXTS = 500
"""The same for float32, which has either no fault or one that any text shows."""

BATCH = 32
INPUTS = ("input_ids", "attention_mask")


def make(request: dict[str, Any], step: Callable[[str], None]) -> Parity:
    """Write the file that the request asks for, and check it.

    Raises:
        UserError: the answers differ, the folder cannot be exported, or the disk is full.
    """
    use_all_cores()
    folder, out, precision = Path(request["folder"]), Path(request["out"]), request["precision"]
    with full_is_said("the ONNX file", request["room"], out.parent):
        graph = Path(request["graph"] or Path(request["scratch"]) / "model.onnx")
        if not request["graph"]:
            step("Following the model's computation")
            write_graph(folder, graph)
        if precision == "int8":
            step("Writing the weights in 8 bits")
            quantize(graph, out)
        else:
            graph.replace(out)
    step("Checking its answers against torch's")
    return compare(folder, out, precision, request["texts"], request["labels"])


class _Logits(torch.nn.Module):
    """A transformers classifier as a function of two arrays."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def write_graph(folder: Path, out: Path) -> None:
    """Write the folder's classifier as a float32 graph.

    Raises:
        UserError: the exporter does not know what this architecture does.
    """
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        # The plainest form of attention: other programs optimise what they recognise.
        attn_implementation="eager",
    ).eval()
    ids = torch.full((2, 8), model.config.vocab_size - 1, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    free = {0: "texts", 1: "tokens"}
    try:
        # The older exporter (dynamo=False) takes the mask of the sample for a constant: wrong answers.
        program = torch.onnx.export(
            _Logits(model).eval(),
            (ids, mask),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(INPUTS, free),
        )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(
            "an architecture that can be written as ONNX",
            f"{model.config.model_type}, which torch's exporter does not follow ({_first_line(error)})",
            "Take the Hugging Face folder instead.",
        ) from error
    # torch's annotation allows None, which only the older exporter returns.
    _save(cast("torch.onnx.ONNXProgram", program).model_proto, out, _metadata(folder, model.config))


def quantize(graph: Path, out: Path) -> None:
    """Write a graph again with weights in 8 bits; activations are quantised as they come (dynamically).

    On the test texts of SST-2, with MiniLM-L6 after one epoch on 2,000 texts (84.35 % in float32): one scale
    per column loses 0.22 points and one scale per matrix 0.55, at the same size and speed. Unsigned weights,
    since signed ones saturate on processors with AVX2 and no VNNI; halving their range against that
    (reduce_range) loses 0.60. The head stays in float32.
    """
    quantize_dynamic(graph, out, weight_type=QuantType.QUInt8, per_channel=True)
    model = onnx.load(out)
    _save(model, out, {prop.key: prop.value for prop in model.metadata_props} | {"precision": "int8"})


def compare(
    folder: Path, file: Path, precision: str, texts: Sequence[str], labels: Sequence[int] | None
) -> Parity:
    """Answers of the file beside those of torch in float32.

    Raises:
        UserError: a float32 probability differs by more than `TOLERANCE`.
    """
    tokenizer = TextTokenizer(folder)
    rows = _sample(texts, MOST_TEXTS if precision == "int8" else FEWER_TEXTS)
    real = [texts[i] for i in rows]
    odd = odd_texts(real, tokenizer.max_length)
    ours = _torch_answers(folder, real + odd, tokenizer)
    # Apart: in 8 bits a text's answer depends on what is in the batch with it.
    theirs = np.concatenate([_onnx_answers(file, part, tokenizer) for part in (real, odd) if part])
    largest = float(np.abs(ours - theirs).max())
    # A label may differ only where two classes are as good as equal: that follows from the probabilities.
    if precision == "fp32" and not largest <= TOLERANCE:
        raise UserError(
            f"probabilities within {TOLERANCE:g} of torch's",
            f"a difference of {largest:.2g}",
            "Take the Hugging Face folder instead, and report this model's architecture.",
        )
    equal = int((ours.argmax(1) == theirs.argmax(1)).sum())
    if labels is None or not real or precision == "fp32":
        return Parity(len(ours), equal, largest)
    right = np.asarray(labels)[rows]
    return Parity(len(ours), equal, largest, *(_accuracy(answers, right) for answers in (ours, theirs)))


def odd_texts(texts: Sequence[str], max_length: int) -> list[str]:
    """Texts that a test split may lack: empty, blank, other scripts, and lengths of 1 to over the longest."""
    words = " ".join(texts).split() or ["word"]
    while len(words) <= 2 * max_length:
        words += words
    lengths = [2**power for power in range(20) if 2**power < 2 * max_length] + [2 * max_length]
    return ["", " \t", "😀", "文字", "שלום", *(" ".join(words[:length]) for length in lengths)]


def _accuracy(answers: np.ndarray, right: np.ndarray) -> float:
    return float((answers[: len(right)].argmax(1) == right).mean())


def _torch_answers(folder: Path, texts: Sequence[str], tokenizer: TextTokenizer) -> np.ndarray:
    network = load_finetuned(folder, Hardware("cpu", "fp32", "the reference of an export"))
    return predict_probabilities(network, encode(texts, [0] * len(texts), tokenizer))


def _onnx_answers(file: Path, texts: Sequence[str], tokenizer: TextTokenizer) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    tokens, _ = tokenizer.encode(texts)
    order = np.argsort([-len(row) for row in tokens], kind="stable")
    logits: dict[int, np.ndarray] = {}
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        ids, mask = _padded([tokens[i] for i in rows], tokenizer.padding_id)
        logits.update(
            zip(rows, session.run(None, dict(zip(INPUTS, (ids, mask), strict=True)))[0], strict=True)
        )
    ordered = np.array([logits[i] for i in range(len(texts))], dtype=np.float64)
    powers = np.exp(ordered - ordered.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _padded(rows: list[list[int]], padding_id: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.full((len(rows), max(map(len, rows))), padding_id, dtype=np.int64)
    for place, row in zip(ids, rows, strict=True):
        place[: len(row)] = row
    mask = np.arange(ids.shape[1]) < np.array([len(row) for row in rows])[:, None]
    return ids, mask.astype(np.int64)


def _sample(texts: Sequence[str], most: int) -> list[int]:
    if len(texts) <= most:
        return list(range(len(texts)))
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    return [by_length[round(i)] for i in np.linspace(0, len(texts) - 1, most)]


def _metadata(folder: Path, config: Any) -> dict[str, str]:  # noqa: ANN401 - each architecture has a class
    tokenizer = TextTokenizer(folder)
    return {
        "labels": json.dumps([config.id2label[i] for i in range(config.num_labels)], ensure_ascii=False),
        "max_length": str(tokenizer.max_length),
        "padding_id": str(tokenizer.padding_id),
        "precision": "fp32",
        "architecture": config.model_type,
    }


def _save(model: onnx.ModelProto, out: Path, metadata: dict[str, str]) -> None:
    # The exporter leaves its stack in every node, with the paths of this machine.
    model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    parts = [*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
    model.producer_name, model.producer_version = "Textuner", ""
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, out)


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:200]


def main() -> int:
    # Libraries print, too: the answers get the real standard output, everything else goes to the log.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    logging.basicConfig(level=logging.ERROR)

    def answer(event: dict[str, Any]) -> None:
        answers.write(json.dumps(event) + "\n")
        answers.flush()

    try:
        answer({"parity": asdict(make(json.load(sys.stdin), lambda words: answer({"step": words})))})
    except UserError as error:
        answer({"error": [error.expected, error.found, error.remedy]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
