"""Whether the engine on a GPU computes what it should: `tests.benchmarks.gpu --only correctness`.

On the CPU the same checks run with plain torch in place of the kernels, and the recordings' stand-in.
"""

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Before torch, as in the app: OpenMP reads its settings when torch loads it.
import core.learning  # noqa: F401
from tests.benchmarks.workload import PROJECT

STEPS = 50
BATCH = 16
TEXTS = 480

Report = Callable[[dict[str, Any]], None]


def check(device: str, model_folder: Path, data_folder: Path, report: Report) -> None:
    """Report one result for each check, with the largest differences found."""
    checks = Checks(device, model_folder, data_folder)
    for work in (checks.logits, checks.gradients, checks.curves, checks.resume, kernels):
        began = time.perf_counter()
        try:
            found = work(device) if work is kernels else work()
        except Exception as error:  # noqa: BLE001 - the next check may tell more
            found = {"error": f"{type(error).__name__}: {error}"[:1500]}
        report({"check": work.__name__, **found, "seconds": round(time.perf_counter() - began, 2)})


def kernels(device: str) -> dict[str, Any]:
    """Every kernel against plain torch."""
    if device == "cpu":
        return {"left out": "tests/learning/test_gpu_operations.py runs them in Triton's interpreter"}
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "--tb=line"]
    command += ["-o", "addopts=", "tests/learning/test_gpu_operations.py"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=150, check=False)
    return {"rc": done.returncode, "said": done.stdout[-1500:] + done.stderr[-300:]}


class Checks:
    """The checks that need a model and texts."""

    def __init__(self, device: str, model: Path, data: Path) -> None:
        from core.learning.batching import encode
        from core.learning.tokenizer import TextTokenizer

        self.device = device
        self.model = model
        with (data / "sst2" / "train.csv").open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))[:TEXTS]
        names = sorted({row["label"] for row in rows})
        self.label2id = {name: i for i, name in enumerate(names)}
        labels = [self.label2id[row["label"]] for row in rows]
        self.dataset = encode([row["text"] for row in rows], labels, TextTokenizer(model, 128))

    def network(self, precision: str, dropout: bool = True) -> Any:
        import json

        import torch

        from core.learning.hardware import Hardware
        from core.learning.models.bert_family.architectures import read_architecture
        from core.learning.models.gpu_bert.classifier import PackedBertNetwork

        torch.manual_seed(1)
        config = json.loads((self.model / "config.json").read_text(encoding="utf-8"))
        hardware = Hardware(self.device, precision, "a check")
        network = PackedBertNetwork(self.model, config, read_architecture(config), hardware, self.label2id, 1)
        if not dropout:
            network._encoder._dropout = network._encoder._attention_dropout = 0.0
        return network

    def of_transformers(self) -> Any:
        """transformers' model of the same weights, in float32, on the device."""
        import tempfile

        from transformers import AutoModelForSequenceClassification

        with tempfile.TemporaryDirectory() as folder:
            self.network("fp32").save(Path(folder))
            model = AutoModelForSequenceClassification.from_pretrained(folder)
        return model.float().to(self.device).eval()

    def logits(self) -> dict[str, Any]:
        """Against transformers in float32."""
        import torch

        from core.learning.batching import collate

        model = self.of_transformers()
        found: dict[str, Any] = {}
        rows = np.arange(64)
        batch = collate(self.dataset, rows)
        with torch.no_grad():
            expected = _answer(model, batch, self.device)
        for precision in ("fp32", "bf16"):
            given = self.network(precision).logits(batch)
            found[precision] = {
                "largest difference": float((given - expected).abs().max()),
                "other labels": int((given.argmax(1) != expected.argmax(1)).sum()),
            }
        return {**found, "spread of the logits": float(expected.std())}

    def gradients(self) -> dict[str, Any]:
        """Against transformers in float32, relative to each weight's largest gradient."""
        import torch
        from torch.nn import functional

        from core.learning.batching import collate
        from core.learning.config import TrainingConfig

        model = self.of_transformers()
        batch = collate(self.dataset, np.arange(32))
        labels = batch.labels.to(self.device)
        functional.cross_entropy(_answer(model, batch, self.device), labels).backward()
        expected = {name: parameter.grad for name, parameter in model.named_parameters()}
        found: dict[str, Any] = {}
        for precision in ("fp32", "bf16"):
            network = self.network(precision, dropout=False)
            network._head._dropouts = lambda training: _nothing()
            network.prepare_training(TrainingConfig(), 10)
            network.begin(0)
            network.backward(functional.cross_entropy(network.forward(batch), labels))
            differences = {}
            for name, value in gradients(network).items():
                right = expected[name]
                if name.endswith("key.bias"):
                    # Zero but for rounding: a key's bias adds the same to all scores of a query.
                    continue
                differences[name] = float(
                    torch.linalg.norm(value.float() - right) / torch.linalg.norm(right).clamp_min(1e-12)
                )
            worst = max(differences, key=differences.__getitem__)
            found[precision] = {"largest relative difference": differences[worst], "of": worst}
        return found

    def curves(self) -> dict[str, Any]:
        """The losses of 50 steps, recorded and step by step, with dropout."""
        curves = {way: self._train(way)[0] for way in (True, False)}
        differences = np.abs(np.array(curves[True]) - np.array(curves[False]))
        return {
            "first and last loss": [curves[True][0], curves[True][-1]],
            "largest difference of 50 losses": float(differences.max()),
        }

    def resume(self) -> dict[str, Any]:
        """50 steps at once against 25, a snapshot, and 25 in a new network: the weights."""
        import torch

        _, whole = self._train(True)
        _, half = self._train(True, until=STEPS // 2)
        tensors = {name: value.cpu().clone() for name, value in half.network.training_state().items()}
        _, resumed = self._train(True, tensors=tensors, values=half.values())
        expected = {name: value.cpu() for name, value in _weights(whole.network).items()}
        found = {name: value.cpu() for name, value in _weights(resumed.network).items()}
        unequal = [name for name, value in found.items() if not torch.equal(value, expected[name])]
        largest = max(float((value - expected[name]).abs().max()) for name, value in found.items())
        return {"weights that differ": len(unequal), "of": len(found), "largest difference": largest}

    def _train(
        self, recorded: bool, until: int = STEPS, tensors: Any = None, values: Any = None
    ) -> tuple[list[float], Any]:
        from core.learning.batching import training_batches
        from core.learning.config import TrainingConfig
        from core.learning.training.step import Stepper

        config = TrainingConfig(batch_size=BATCH, learning_rate=1e-4, precision="bf16")
        stepper = Stepper(self.network("bf16"), self.dataset, config, STEPS)
        if not recorded:
            stepper.recorded = None
        if tensors is not None:
            stepper.network.load_training_state(tensors)
            stepper.load_values(values)
        batches = [
            rows for epoch in (0, 1) for rows in training_batches(self.dataset.lengths, BATCH, 1, epoch)
        ]
        losses = []
        for rows in batches[stepper.steps : until]:
            stepper.step(rows)
            losses.append(stepper.read_and_reset()[0])
        return losses, stepper


def _answer(model: Any, batch: Any, device: str) -> Any:
    import torch

    padding = torch.zeros_like(batch.ids, dtype=torch.bool) if batch.padding is None else batch.padding
    return model(input_ids=batch.ids.to(device), attention_mask=(~padding).long().to(device)).logits


def _nothing() -> Any:
    from core.learning.models.gpu_bert.encoder import NO_DROPOUT

    return NO_DROPOUT, NO_DROPOUT


def gradients(network: Any) -> dict[str, Any]:
    """Name → gradient, of everything that the last batch gave a packed network."""
    import torch

    encoder, head = network._encoder, network._head.block
    matrices, vectors, of_head = network._summed_gradients()
    found = {name: encoder.matrices.view(matrices, name) for name in encoder.matrices.shapes}
    found |= {name: encoder.vectors.view(vectors, name) for name in encoder.vectors.shapes}
    found |= {name: head.view(of_head, name) for name in head.shapes}
    words = torch.zeros_like(encoder.words)
    for ids, rows in network._words:
        words.index_add_(0, ids, rows)
    return found | {f"{encoder.architecture.embeddings}.word_embeddings.weight": words}


def _weights(network: Any) -> dict[str, Any]:
    network._settle_all()
    return network._views()
