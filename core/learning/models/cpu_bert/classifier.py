"""A classifier of the BERT family on the CPU: the written-out encoder and a head."""

import json
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.learning.batching import Batch
from core.learning.config import TrainingConfig
from core.learning.hardware import Hardware
from core.learning.models.bert_family.architectures import Architecture
from core.learning.models.bert_family.weight_files import class_names, configure_classes, read_weights
from core.learning.models.cpu_bert.dropout import DropoutMasks, Masks
from core.learning.models.cpu_bert.encoder import BertEncoder, Tape
from core.learning.models.optimizer import EncoderAdamW
from core.learning.models.trainable import Trainable

_ACTIVATIONS = {"tanh": nn.Tanh, "gelu": nn.GELU, "relu": nn.ReLU}


@dataclass(frozen=True)
class _Pending:
    """A forward pass whose backward pass is to come."""

    first: Tensor
    """The first tokens' states, which get the head's gradients."""
    tape: Tape


class BertNetwork(Trainable):
    """See `interface.Network`.

    Args:
        folder: config.json and model.safetensors, of a bare encoder or of a classifier.
        config: what config.json holds.
        label2id: classes of a new head; None takes head and classes from the folder.
        seed: of the dropout masks.

    Raises:
        UserError: a weight is missing or has another shape than the configuration says.
    """

    _optimizer: EncoderAdamW | None = None
    part_tokens: int | None = 4096
    device = "cpu"
    computed_by = ""

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
        self._config = config
        self._architecture = architecture
        self.precision = hardware.precision
        working = torch.bfloat16 if hardware.precision == "bf16" else torch.float32
        self._encoder = BertEncoder(architecture, working)
        self._head = _head(architecture, len(self.names))
        read_weights(
            folder / "model.safetensors", self._weights(), architecture, new_head=label2id is not None
        )
        self._encoder.refresh()
        hidden = _masks(architecture.dropout, working, seed)
        same = architecture.attention_dropout == architecture.dropout
        self._masks = Masks(
            hidden, hidden if same else _masks(architecture.attention_dropout, working, seed + 1)
        )
        self._pending: _Pending | None = None

    @property
    def nbytes(self) -> int:
        return sum(weight.nbytes for weight in self._views().values())

    @property
    def hidden(self) -> int:
        """Width of a token's state."""
        return self._architecture.hidden

    def begin(self, step: int) -> None:
        self._encoder.clear_gradients()
        self._head.zero_grad(set_to_none=True)
        self._pending = None
        for masks in {m for m in self._masks if m is not None}:
            masks.begin(step)

    def _settle(self, words: Tensor | None = None) -> None:
        """Carry out what the optimizer put off; before weights are read, or those of these words."""
        if self._optimizer is not None:
            # What is written in inference mode would be no weight to train any more.
            with torch.inference_mode(False):
                self._optimizer.settle(words)

    def forward(self, batch: Batch) -> Tensor:
        self._settle(batch.ids)
        with torch.no_grad():
            first, tape = self._encoder.forward(batch.ids, batch.padding, self._masks, tape=True)
        self._pending = _Pending(first.requires_grad_(), tape)
        self._head.train()
        return self._head(first)

    def backward(self, loss: Tensor) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            raise RuntimeError("there was no forward pass before this backward pass")
        loss.backward()
        with torch.no_grad():
            # The head's backward pass has just set it: it is not None.
            self._encoder.backward(pending.tape, pending.first.grad)  # type: ignore[arg-type]

    @torch.inference_mode()
    def logits(self, batch: Batch) -> Tensor:
        self._settle()
        self._head.eval()
        first, _ = self._encoder.forward(batch.ids, batch.padding, None, tape=False)
        return self._head(first)

    def exact(self) -> "BertNetwork":
        if self.precision == "fp32":
            return self
        twin = copy(self)
        twin.precision, twin._encoder = "fp32", self._encoder.exact()
        return twin

    @torch.inference_mode()
    def mean_states(self, batch: Batch, layers: int) -> Tensor:
        self._settle()
        states = torch.stack(self._encoder.states(batch.ids, batch.padding, layers), dim=1).float()
        if batch.padding is None:
            return states.mean(dim=2)
        tokens = (~batch.padding)[:, None, :, None]
        return (states * tokens).sum(dim=2) / tokens.sum(dim=2)

    def record_steps(self, class_weights: torch.Tensor, config: TrainingConfig) -> None:
        return None

    def prepare_training(self, config: TrainingConfig, total_steps: int) -> None:
        self._encoder.allocate_gradients()
        self._optimizer = EncoderAdamW(self._encoder, self._head, config.weight_decay, total_steps)

    def _state(self) -> dict[str, Tensor]:
        # The optimizer has the words: it knows which of them have changed.
        return {
            "matrices": self._encoder.matrices.values,
            "vectors": self._encoder.vectors.values,
            "random": torch.get_rng_state(),
            **{f"head.{name}": value for name, value in self._head.state_dict().items()},
        }

    @torch.no_grad()
    def _load_state(self, state: dict[str, Tensor]) -> None:
        self._encoder.matrices.values.copy_(state["matrices"])
        self._encoder.vectors.values.copy_(state["vectors"])
        self._encoder.refresh()
        self._head.load_state_dict({name: state[f"head.{name}"] for name in self._head.state_dict()})
        torch.set_rng_state(state["random"])

    def save(self, folder: Path) -> None:
        text = json.dumps(self._config, indent=2, ensure_ascii=False)
        (folder / "config.json").write_text(text, encoding="utf-8")
        weights = {name: weight.detach().clone() for name, weight in self._weights().items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    def _weights(self) -> dict[str, Tensor]:
        """Name → weight, as a Hugging Face state dict has them: views, not copies."""
        self._settle()
        return self._views()

    def _views(self) -> dict[str, Tensor]:
        dense, classes = self._architecture.family.head
        layers = [layer for layer in self._head if isinstance(layer, nn.Linear)]
        head = {
            f"{name}.{part}": getattr(layer, part)
            for name, layer in zip((dense, classes), layers, strict=True)
            for part in ("weight", "bias")
        }
        return self._encoder.parameters() | head


def _head(architecture: Architecture, classes: int) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Linear(architecture.hidden, architecture.hidden),
        _ACTIVATIONS[architecture.family.head_activation](),
        nn.Dropout(architecture.head_dropout),
        nn.Linear(architecture.hidden, classes),
    ]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=architecture.deviation)
            nn.init.zeros_(layer.bias)
    if architecture.family.dropout_before_head:
        layers.insert(0, nn.Dropout(architecture.head_dropout))
    return nn.Sequential(*layers)


def _masks(rate: float, working: torch.dtype, seed: int) -> DropoutMasks | None:
    return DropoutMasks(rate, working, seed) if rate else None
