"""One optimizer step: forward, loss, backward, clip, update, in parts when memory is short."""

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from core.base.errors import UserError
from core.base.memory import MicroBatch
from core.learning.batching import EncodedDataset, collate
from core.learning.config import TrainingConfig
from core.learning.evaluation.inference import texts_at_once
from core.learning.models.interface import Network


def learning_rate_factor(step: int, total_steps: int, config: TrainingConfig) -> float:
    """The learning rate of a step (from 0) as a share of its peak: rise, then the schedule's course."""
    warmup_steps = round(total_steps * config.warmup)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    if config.schedule == "linear":
        return max(0.0, 1.0 - progress)
    if config.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return 1.0


class Stepper:
    """One optimizer step at a time: forward, backward, clip, update, in parts when memory is short."""

    def __init__(
        self, network: Network, train: EncodedDataset, config: TrainingConfig, total_steps: int
    ) -> None:
        self.network = network
        self.train = train
        self.config = config
        self.total_steps = total_steps
        self.steps = 0
        network.prepare_training(config, total_steps)
        self.class_weights = class_weights(train.labels, len(network.names), config)
        self.micro = MicroBatch(config.batch_size, undo=self._begin)
        self.loss_sum = torch.zeros((), device=network.device)
        self.correct = torch.zeros((), device=network.device)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self.config.learning_rate * learning_rate_factor(self.steps, self.total_steps, self.config)

    def step(self, rows: np.ndarray) -> bool:
        """Train on the given texts as one batch. Returns whether it had to be cut into smaller parts."""
        weight = self.class_weights[self.train.labels[rows]].sum().item()
        self._begin()
        smaller = self.micro.run(
            rows,
            lambda part: self._learn(part, weight),
            at_most=texts_at_once(self.network, self.train, rows),
        )
        self.network.clip_gradients(self.config.gradient_clipping)
        self.network.update_weights(self.learning_rate)
        self.steps += 1
        self.loss_sum += self._batch_loss
        self.correct += self._batch_correct
        return smaller

    def read_and_reset(self) -> tuple[float, float]:
        """Sum of the batches' losses and number of right answers since the last call; waits for the device.

        Raises:
            UserError: the loss is not finite.
        """
        loss, correct = self.loss_sum.item(), self.correct.item()
        self.loss_sum.zero_()
        self.correct.zero_()
        if not math.isfinite(loss):
            raise explain_divergence(f"a training loss of {loss}", self.config)
        return loss, correct

    def values(self) -> dict[str, Any]:
        """What a snapshot keeps beside the tensors."""
        return {
            "steps": self.steps,
            "part_size": self.micro.size,
            "loss_sum": self.loss_sum.item(),
            "correct": self.correct.item(),
        }

    def load_values(self, values: dict[str, Any]) -> None:
        """Go on from what `values` gave."""
        self.steps = values["steps"]
        self.micro.size = values["part_size"]
        self.loss_sum.fill_(values["loss_sum"])
        self.correct.fill_(values["correct"])

    def _learn(self, rows: np.ndarray, batch_weight: float) -> None:
        batch = collate(self.train, rows)
        labels = batch.labels.to(self.network.device)
        weights = self.class_weights.to(self.network.device)

        logits = self.network.forward(batch)
        # Divided by the weight of the whole batch, so that the parts' gradients add up to its mean's.
        loss = functional.cross_entropy(logits, labels, weight=weights, reduction="sum") / batch_weight
        self.network.backward(loss)

        self._batch_loss += loss.detach()
        self._batch_correct += (logits.detach().argmax(dim=-1) == labels).sum()

    def _begin(self) -> None:
        self.network.begin(self.steps)
        self._batch_loss = torch.zeros((), device=self.network.device)
        self._batch_correct = torch.zeros((), device=self.network.device)


def class_weights(labels: np.ndarray, classes: int, config: TrainingConfig) -> torch.Tensor:
    """One weight per class, float32 [classes]: all 1, or the rarer the class the larger."""
    if not config.class_weights:
        return torch.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    # A class without training texts is never drawn, so its weight does not matter.
    weights = len(labels) / (classes * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32)


def explain_divergence(found: str, config: TrainingConfig) -> UserError:
    """The error of a training whose numbers are no longer finite."""
    return UserError(
        "a loss that is a finite number",
        f"{found} (learning rate {config.learning_rate:g}, precision {config.precision})",
        "Choose a lower learning rate, or the precision fp32, and start again.",
    )
