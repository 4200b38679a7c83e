"""One optimizer step: forward, loss, backward, clip, update, in parts when memory is short."""

import logging
import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from core.base.errors import UserError
from core.base.memory import MicroBatch, means_out_of_memory
from core.learning.batching import EncodedDataset, collate, take_texts
from core.learning.config import TrainingConfig
from core.learning.evaluation.inference import texts_at_once
from core.learning.models.interface import Network, RecordedSteps
from core.learning.models.recording import NotRecorded

log = logging.getLogger(__name__)


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
        self.recorded = network.record_steps(self.class_weights, config)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self.config.learning_rate * learning_rate_factor(self.steps, self.total_steps, self.config)

    def step(self, rows: np.ndarray) -> str | None:
        """Train on the given texts as one batch. Returns what a person should know about how, if anything."""
        weight = self.class_weights[self.train.labels[rows]].sum().item()
        note = None
        if self.recorded is not None:
            note = self._run_recorded(self.recorded, rows, weight)
        if self.recorded is None:
            note = self._run_in_parts(rows, weight) or note
        self.steps += 1
        return note

    def _run_recorded(self, recorded: RecordedSteps, rows: np.ndarray, weight: float) -> str | None:
        try:
            recorded.run(take_texts(self.train, rows), self.steps, weight, self.learning_rate)
        except (MemoryError, RuntimeError) as error:
            short = means_out_of_memory(error)
            if not short and not isinstance(error, NotRecorded):
                raise
            # What it counted so far, and the memory that it took, are needed now.
            self.loss_sum += recorded.totals[0]
            self.correct += recorded.totals[1]
            self.recorded = None
            log.warning("steps are no longer recorded: %s", error)
            return None if short else _NOT_RECORDED
        return None

    def _run_in_parts(self, rows: np.ndarray, weight: float) -> str | None:
        self._begin()
        smaller = self.micro.run(
            rows,
            lambda part: self._learn(part, weight),
            at_most=texts_at_once(self.network, self.train, rows),
        )
        self.network.clip_gradients(self.config.gradient_clipping)
        self.network.update_weights(self.learning_rate)
        self.loss_sum += self._batch_loss
        self.correct += self._batch_correct
        return _smaller_parts(self.micro.size, self.config.batch_size) if smaller else None

    def read_and_reset(self) -> tuple[float, float]:
        """Sum of the batches' losses and number of right answers since the last call; waits for the device.

        Raises:
            UserError: the loss is not finite.
        """
        loss, correct = self._totals()
        self.loss_sum.zero_()
        self.correct.zero_()
        if self.recorded is not None:
            self.recorded.totals.zero_()
        if not math.isfinite(loss):
            raise explain_divergence(f"a training loss of {loss}", self.config)
        return loss, correct

    def values(self) -> dict[str, Any]:
        """What a snapshot keeps beside the tensors."""
        loss, correct = self._totals()
        return {"steps": self.steps, "part_size": self.micro.size, "loss_sum": loss, "correct": correct}

    def load_values(self, values: dict[str, Any]) -> None:
        """Go on from what `values` gave."""
        self.steps = values["steps"]
        self.micro.size = values["part_size"]
        self.loss_sum.fill_(values["loss_sum"])
        self.correct.fill_(values["correct"])

    def _totals(self) -> tuple[float, float]:
        loss, correct = self.recorded.totals.tolist() if self.recorded is not None else (0.0, 0.0)
        return self.loss_sum.item() + loss, self.correct.item() + correct

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


_NOT_RECORDED = (
    "The steps of this model cannot be recorded for the GPU to replay, so that each waits for the processor. "
    "The result is the same, the training is slower."
)


def _smaller_parts(size: int, batch_size: int) -> str:
    return (
        f"Memory ran out: each batch of {batch_size} texts is now computed in parts of {size}. "
        "The result is the same, the training is slower."
    )


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
