"""A classifier of the BERT family on a GPU: the packed encoder, a head, and steps that are recorded once."""

import json
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.learning.batching import Batch, Texts
from core.learning.config import TrainingConfig
from core.learning.hardware import Hardware
from core.learning.models.bert_family.architectures import Architecture
from core.learning.models.bert_family.weight_files import class_names, configure_classes, read_weights
from core.learning.models.gpu_bert.encoder import PackedBertEncoder, Tape
from core.learning.models.gpu_bert.head import Head, HeadTape
from core.learning.models.gpu_bert.operations import Operations
from core.learning.models.gpu_bert.optimizer import PackedAdamW
from core.learning.models.gpu_bert.packing import (
    SHORTEST,
    HostBlock,
    PackedBatch,
    PackedShape,
    Rates,
    mix_bits,
    pack,
    pack_tokens,
    shape_of,
    unpad,
    write_counts,
)
from core.learning.models.gpu_bert.recorded_steps import RecordedSteps

_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class _Pending:
    """A forward pass whose backward pass is to come."""

    logits: Tensor
    batch: PackedBatch
    head: HeadTape
    tape: Tape


class PackedBertNetwork:
    """See `interface.Network`.

    Args:
        folder: config.json and model.safetensors, of a bare encoder or of a classifier.
        config: what config.json holds.
        label2id: classes of a new head; None takes head and classes from the folder.
        seed: of dropout.

    Raises:
        UserError: a weight is missing or has another shape than the configuration says.
    """

    part_tokens: int | None = None
    computed_by = "by this project's packed encoder"

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        architecture: Architecture,
        hardware: Hardware,
        label2id: dict[str, int] | None,
        seed: int,
    ) -> None:
        config = configure_classes(config, architecture, label2id)
        self.names = class_names(config)
        self.device = hardware.device
        self.precision = hardware.precision
        self._config = config
        self._architecture = architecture
        self._seed = seed
        operations = _operations(hardware.device)
        working = torch.bfloat16 if hardware.precision == "bf16" else torch.float32
        self._encoder = PackedBertEncoder(architecture, working, operations, hardware.device)
        self._head = Head(architecture, len(self.names), operations, hardware.device)
        read_weights(folder / _WEIGHTS, self._views(), architecture, new_head=label2id is not None)
        self._encoder.refresh()
        self._optimizer: PackedAdamW | None = None
        self._step = 0
        self._largest = 0.0
        self.begin(0)

    @property
    def nbytes(self) -> int:
        return sum(weight.nbytes for weight in self._views().values())

    @property
    def hidden(self) -> int:
        return self._architecture.hidden

    # One batch in parts, or one alone

    def begin(self, step: int) -> None:
        self._step = step
        self._pending: _Pending | None = None
        self._parts = 0
        self._earlier: list[Tensor] = []
        self._words: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def forward(self, batch: Batch) -> Tensor:
        texts = unpad(batch)
        host = self.host_block(shape_of(texts.lengths, exact=True))
        words = pack(texts, self.dropout_seed(self._step, self._parts), host)
        self.write_late(host, words)
        packed = host.on(self.device)
        self.settle(packed, words)
        first, tape = self._encoder.forward(packed, training=True)
        logits, head = self._head.forward(first, packed, training=True)
        assert tape is not None
        self._pending = _Pending(logits.requires_grad_(), packed, head, tape)
        return logits

    def backward(self, loss: Tensor) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            raise RuntimeError("there was no forward pass before this backward pass")
        loss.backward()
        with torch.no_grad():
            if self._parts:
                # A sum of many parts would lose too much in bfloat16.
                self._earlier = [gradient.clone().float() for gradient in self._summed_gradients()]
            # The backward pass of the loss has just set it: it is not None.
            rows = self._backward(pending, pending.logits.grad)  # type: ignore[arg-type]
            number = int(pending.batch.counts[1])
            self._words.append((pending.batch.words[:number].long(), rows[:number]))
        self._parts += 1

    def clip_gradients(self, largest: float) -> None:
        self._largest = largest

    @torch.no_grad()
    def update_weights(self, learning_rate: float) -> None:
        missed = self.optimizer.missed
        ids, places = torch.unique(torch.cat([part[0] for part in self._words]), return_inverse=True)
        given = torch.cat([part[1] for part in self._words])
        rows = given.new_zeros(len(ids), given.shape[1]).index_add_(0, places, given)
        words = ids.cpu().numpy()
        batch = self._words_alone(words, Rates(1.0, learning_rate, *missed.ahead(learning_rate)))
        matrices, vectors, head = self._summed_gradients()
        self.optimizer.step(batch, (matrices, vectors, head), rows, self._largest)
        missed.advance(learning_rate)
        missed.touch(words)

    def _summed_gradients(self) -> list[Tensor]:
        """Of the matrices, the vectors and the head, over all parts so far."""
        encoder = self._encoder
        last = [encoder.matrices.gradients, encoder.vectors.gradients, self._head.block.gradients]
        return [part + new for part, new in zip(self._earlier, last, strict=True)] if self._earlier else last

    def _backward(self, pending: _Pending, dlogits: Tensor) -> Tensor:
        """Fill the blocks of gradients; returns those of the rows of the batch's words."""
        gradient = self._head.backward(pending.head, dlogits, pending.batch)
        return self._encoder.backward(pending.tape, gradient)

    # A whole step

    def record_steps(self, class_weights: Tensor, config: TrainingConfig) -> RecordedSteps:
        return RecordedSteps(self, class_weights.to(self.device), config.gradient_clipping)

    def learn(self, batch: PackedBatch, class_weights: Tensor, totals: Tensor, largest: float) -> None:
        """One step of all weights, without the processor's help. See `Operations.cross_entropy`."""
        # First of all and without memory of its own: whatever fails later, it was done.
        self._encoder.operations.settle_words(batch, self.optimizer.words)
        first, tape = self._encoder.forward(batch, training=True)
        logits, head = self._head.forward(first, batch, training=True)
        assert tape is not None
        dlogits = self._encoder.operations.cross_entropy(logits, batch, class_weights, totals)
        rows = self._backward(_Pending(logits, batch, head, tape), dlogits)
        encoder = self._encoder
        gradients = (encoder.matrices.gradients, encoder.vectors.gradients, self._head.block.gradients)
        self.optimizer.step(batch, gradients, rows, largest)

    # Answers

    @torch.inference_mode()
    def logits(self, batch: Batch) -> Tensor:
        texts = unpad(batch)
        packed = self._upload_to_answer(texts)
        first, _ = self._encoder.forward(packed, training=False)
        return self._head.forward(first, packed, training=False)[0]

    def exact(self) -> "PackedBertNetwork":
        if self.precision == "fp32":
            return self
        twin = copy(self)
        twin.precision, twin._encoder = "fp32", self._encoder.exact()
        return twin

    @torch.inference_mode()
    def mean_states(self, batch: Batch, layers: int) -> Tensor:
        texts = unpad(batch)
        packed = self._upload_to_answer(texts)
        states = torch.stack(self._encoder.states(packed, layers), dim=1).float()
        lengths = torch.from_numpy(texts.lengths)
        text_of = torch.repeat_interleave(torch.arange(len(lengths)), lengths).to(self.device)
        sums = states.new_zeros(len(lengths), *states.shape[1:]).index_add_(0, text_of, states)
        return sums / lengths.to(self.device)[:, None, None]

    # State

    def prepare_training(self, config: TrainingConfig, total_steps: int) -> None:
        self._encoder.allocate_gradients()
        self._head.block.allocate_gradients(torch.float32)
        self._optimizer = PackedAdamW(self._encoder, self._head, config.weight_decay, total_steps)

    def training_state(self) -> dict[str, Tensor]:
        optimizer = {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        return optimizer | {f"network.{name}": block for name, block in self._blocks().items()}

    @torch.no_grad()
    def load_training_state(self, state: dict[str, Tensor]) -> None:
        for name, block in self._blocks().items():
            block.copy_(state[f"network.{name}"])
        self._encoder.refresh()
        self.optimizer.load_state(
            {n.removeprefix("optimizer."): v for n, v in state.items() if n.startswith("optimizer.")}
        )

    def save(self, folder: Path) -> None:
        self._settle_all()
        text = json.dumps(self._config, indent=2, ensure_ascii=False)
        (folder / "config.json").write_text(text, encoding="utf-8")
        weights = {name: weight.cpu().clone() for name, weight in self._views().items()}
        save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})

    def _blocks(self) -> dict[str, Tensor]:
        # The optimizer has the words: it knows which of them have changed.
        return {
            "matrices": self._encoder.matrices.values,
            "vectors": self._encoder.vectors.values,
            "head": self._head.block.values,
        }

    def _views(self) -> dict[str, Tensor]:
        """Name → weight, as a Hugging Face state dict has them: views, not copies."""
        return self._encoder.parameters() | self._head.parameters

    # Batches on their way to the device

    @property
    def optimizer(self) -> PackedAdamW:
        if self._optimizer is None:
            raise RuntimeError("the network is not prepared for training")
        return self._optimizer

    @property
    def operations(self) -> Operations:
        return self._encoder.operations

    def host_block(self, shape: PackedShape) -> HostBlock:
        """Room for a batch on the processor."""
        return HostBlock(shape, pinned=self.device == "cuda")

    def dropout_seed(self, step: int, part: int) -> int:
        """32 bits; the same for the same training, step and part of its batch."""
        return mix_bits(self._seed + mix_bits(step + mix_bits(part)))

    def _upload_to_answer(self, texts: Texts) -> PackedBatch:
        self._settle_all()
        host = self.host_block(shape_of(texts.lengths, exact=True))
        pack_tokens(texts, host)
        return host.on(self.device)

    def write_late(self, host: HostBlock, words: np.ndarray) -> None:
        """Write what each word's row makes up for before it is read."""
        if self._optimizer is not None:
            host.fill_floats("late", self._optimizer.missed.of(words))

    def settle(self, batch: PackedBatch, words: np.ndarray) -> None:
        """Let the rows of the batch's words make up for what they missed; before they are read."""
        if self._optimizer is not None:
            self._encoder.operations.settle_words(batch, self._optimizer.words)
            self._optimizer.missed.settle(words)

    def _settle_all(self) -> None:
        """Carry out what the optimizer put off; before weights are read."""
        if self._optimizer is None:
            return
        words = self._optimizer.missed.late()
        if len(words):
            # What is written in inference mode would be no weight to train any more.
            with torch.inference_mode(False), torch.no_grad():
                self.settle(self._words_alone(words), words)

    def _words_alone(self, words: np.ndarray, rates: Rates | None = None) -> PackedBatch:
        """A batch of no texts, for an operation on these words' rows."""
        host = self.host_block(PackedShape(1, len(words), SHORTEST))
        write_counts(host, 0, len(words), 0)
        host.fill("words", words)
        host.fill_floats("rates", np.array(rates or Rates()))
        self.write_late(host, words)
        return host.on(self.device)


def _operations(device: str) -> Operations:
    if device == "cuda":
        from core.learning.models.gpu_bert import triton_operations

        return triton_operations
    from core.learning.models.gpu_bert import plain_operations

    return plain_operations
