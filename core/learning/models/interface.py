"""A model folder becomes a network that learns and answers, safely.

Three kinds of network share one interface: encoders of the BERT family are computed by this project's own
code, on the CPU (`cpu_bert`) and on a CUDA GPU (`gpu_bert`), which is several times faster; every other
architecture and device by transformers' models. Whoever trains or asks a network does not know which.
"""

import json
from pathlib import Path
from typing import Protocol

import torch

from core.learning.batching import Batch, Texts
from core.learning.config import TrainingConfig
from core.learning.hardware import Hardware
from core.learning.models.bert_family.architectures import read_architecture


class Network(Protocol):
    """A text classifier's weights, and what can be done with them."""

    names: list[str]
    """Class names in the order of their numbers."""
    device: str
    computed_by: str
    """What computes it on a GPU, and why, as a clause; empty on other devices."""
    part_tokens: int | None
    """Tokens, padding included, up to which it computes fastest at once; None when more is always better."""

    @property
    def precision(self) -> str:
        """bf16, fp16 or fp32: the format of its matrix products."""

    @property
    def hidden(self) -> int:
        """Width of a token's state."""

    @property
    def nbytes(self) -> int:
        """Bytes of the weights, as they are saved."""

    def begin(self, step: int) -> None:
        """Forget all gradients and make ready for the training step with this number, from 0."""

    def forward(self, batch: Batch) -> torch.Tensor:
        """float32 [texts, classes] with dropout, to make a loss of. Its `backward` follows, or a `begin`."""

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a scalar made of what `forward` has just given."""

    def clip_gradients(self, largest: float) -> None:
        """Scale all gradients so that their common norm is at most `largest`; 0 leaves them as they are."""

    def update_weights(self, learning_rate: float) -> None:
        """Change the weights by their gradients."""

    def logits(self, batch: Batch) -> torch.Tensor:
        """float32 [texts, classes], on the device, without dropout or gradients."""

    def exact(self) -> "Network":
        """The same weights, not copied, computed in float32; itself when it does so. For answering alone."""

    def mean_states(self, batch: Batch, layers: int) -> torch.Tensor:
        """The mean over each text's tokens of the states in the last layers: float32 [texts, layers, hidden].

        It is what sentence embeddings are made of (Reimers and Gurevych 2019, arXiv:1908.10084).
        """

    def prepare_training(self, config: TrainingConfig, total_steps: int) -> None:
        """Make the optimizer, for at most so many steps."""

    def record_steps(self, class_weights: torch.Tensor, config: TrainingConfig) -> "RecordedSteps | None":
        """Whole steps that the device does without the processor's help; None where it has no such way."""

    def training_state(self) -> dict[str, torch.Tensor]:
        """Weights, moments and random states: what the next training step depends on."""

    def load_training_state(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from what `training_state` gave, in a network freshly loaded from the same folder."""

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors as transformers reads them."""


class RecordedSteps(Protocol):
    """Steps of a network that is prepared for training: forward, loss, backward, clip and update in one."""

    totals: torch.Tensor
    """float32 [2] on the device: sum of the batches' losses, number of right answers."""

    def run(self, texts: Texts, step: int, batch_weight: float, learning_rate: float) -> None:
        """Train on a batch, and add to `totals`.

        Args:
            step: its number, from 0.
            batch_weight: sum of the class weights of its texts.

        Raises:
            NotRecorded: this network's steps cannot be recorded; the weights are as they were.
            RuntimeError: memory ran out; the weights are as they were.
        """


def load_for_training(folder: Path, label2id: dict[str, int], hardware: Hardware, seed: int) -> Network:
    """A pre-trained encoder with a new, randomly initialised classification head; weights in float32.

    Args:
        folder: config.json and model.safetensors of the encoder.
        label2id: class name → number; stored in the network's configuration.
        seed: decides the new head.
    """
    torch.manual_seed(seed)
    return _load(folder, hardware, label2id, seed)


def load_finetuned(folder: Path, hardware: Hardware) -> Network:
    """A fine-tuned classifier as it was saved, ready to answer; weights in float32."""
    return _load(folder, hardware, None, 0)


def _load(folder: Path, hardware: Hardware, label2id: dict[str, int] | None, seed: int) -> Network:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = read_architecture(config) if hardware.device == "cpu" else None
    if architecture is not None:
        from core.learning.models.cpu_bert.classifier import BertNetwork

        return BertNetwork(folder, config, architecture, hardware, label2id, seed)
    obstacle = None
    if hardware.device == "cuda":
        from core.learning.models.gpu_bert.obstacles import find_obstacle

        packed = read_architecture(config)
        obstacle = find_obstacle(packed, hardware)
        if packed is not None and obstacle is None:
            from core.learning.models.gpu_bert.classifier import PackedBertNetwork

            return PackedBertNetwork(folder, config, packed, hardware, label2id, seed)

    from core.learning.models.transformers_model import HubNetwork

    return HubNetwork(folder, hardware, label2id, obstacle)
