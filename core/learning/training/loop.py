"""The training loop."""

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from core.base.errors import UserError
from core.learning.batching import EncodedDataset, padding_share, training_batches
from core.learning.config import TrainingConfig
from core.learning.evaluation.metrics import EvaluationReport
from core.learning.models.interface import Network
from core.learning.training.best_weights import BestWeights, WeightsStore
from core.learning.training.checkpoints import TrainingCheckpoint, TrainingCheckpoints
from core.learning.training.hooks import Event, Hooks
from core.learning.training.meter import Meter
from core.learning.training.step import Stepper


@dataclass(frozen=True)
class TrainingData:
    """The texts of a training as token ids."""

    train: EncodedDataset
    validation: EncodedDataset | None
    """Scored during the epochs to find the best weights; None keeps the last weights."""


@dataclass
class FitResult:
    """How a training went."""

    steps: int
    stopped: bool
    """Ended early because a person asked for it."""
    converged: bool
    """Ended early because the validation score no longer rose."""
    best: EvaluationReport | None
    """Validation scores of the weights that were kept; None without validation texts."""
    best_step: int
    """Step after which the kept weights stood; 0 when none were kept."""
    train_seconds: float
    """Time of the training steps alone, without evaluations."""
    seconds_before: float
    """Time of all that this training goes on from; 0 when it was not interrupted."""
    samples_per_second: float
    tokens_per_second: float
    """Real tokens, no padding, over the time of the training steps alone."""


def fit(
    network: Network,
    data: TrainingData,
    config: TrainingConfig,
    hooks: Hooks,
    store: WeightsStore,
    snapshots: TrainingCheckpoints,
) -> FitResult:
    """Train the network in place and store its best weights.

    Args:
        network: freshly loaded.
        hooks: told of each `step`, `evaluated` and `note`; asked whether to stop.
        store: keeps the best weights so far. What was stored by an interrupted training, perhaps after a
            later step than the state that this one goes on from, makes way for what is at least as good.
        snapshots: takes the training's whole state now and then. With a state to go on from, of a training
            with the same data and settings, the end is the same on the CPU, to the bit, as without the
            interruption.

    Raises:
        UserError: the loss is no longer finite, one text alone does not fit into memory, or the state to go
            on from was taken on another kind of device.
    """
    torch.manual_seed(config.seed)
    train = data.train
    steps_per_epoch = math.ceil(len(train) / config.batch_size)
    evaluation_steps = _evaluation_steps(steps_per_epoch, config.evaluations_per_epoch)
    stepper = Stepper(network, train, config, steps_per_epoch * config.epochs)
    meter = Meter(steps_per_epoch * config.epochs, len(evaluation_steps) * config.epochs)
    best = BestWeights(network, data.validation, config, hooks, store)
    parts = {"stepper": stepper, "meter": meter, "best": best}
    if snapshots.resume:
        _restore(snapshots.resume, network, parts)
    stopped, converged = False, best.exhausted

    for epoch in range(stepper.steps // steps_per_epoch, config.epochs):
        batches = training_batches(train.lengths, config.batch_size, config.seed, epoch)
        done = stepper.steps - epoch * steps_per_epoch
        for i, rows in enumerate(batches[done:], done + 1):
            stopped = hooks.should_stop()
            if stopped or converged:
                break
            position = epoch + i / steps_per_epoch
            evaluation_due = i in evaluation_steps
            learning_rate = stepper.learning_rate

            started = time.perf_counter()
            note = stepper.step(rows)
            report_due = meter.report_due() or evaluation_due
            loss, correct = stepper.read_and_reset() if report_due else (0.0, 0.0)
            meter.count(time.perf_counter() - started, len(rows), int(train.lengths[rows].sum()))

            if note:
                hooks.report({"type": "note", "message": note})
            if report_due:
                hooks.report(meter.step_event(position, loss, correct, learning_rate))
            if evaluation_due:
                with meter.evaluation():
                    best.update(meter.steps, position)
                converged = best.exhausted
            if snapshots.due():
                snapshots.take(partial(_state, network, parts))
        if stopped or converged:
            break

    if stopped and best.step < meter.steps:
        # The weights since the last evaluation may be better still.
        best.update(meter.steps, meter.steps / steps_per_epoch)
    return FitResult(
        steps=meter.steps,
        stopped=stopped,
        converged=converged,
        best=best.stored.scores if best.stored else None,
        best_step=best.stored.step if best.stored else 0,
        train_seconds=meter.train_seconds,
        seconds_before=meter.seconds_before,
        samples_per_second=meter.samples / meter.train_seconds if meter.steps else 0.0,
        tokens_per_second=meter.tokens / meter.train_seconds if meter.steps else 0.0,
    )


def _state(network: Network, parts: dict[str, Any]) -> TrainingCheckpoint:
    values = {name: part.values() for name, part in parts.items()}
    return TrainingCheckpoint(parts["stepper"].steps, network.training_state(), values)


def _restore(state: TrainingCheckpoint, network: Network, parts: dict[str, Any]) -> None:
    try:
        network.load_training_state(state.tensors)
    except KeyError as missing:
        # Every kind of network keeps its weights in another order, and which one it is depends on the device.
        raise UserError(
            f"a snapshot that was taken on the device {network.device}",
            f"one without {missing}, as another device takes it",
            "Resume the run where it was begun, or start it again here.",
        ) from missing
    for name, part in parts.items():
        part.load_values(state.values[name])


def describe(train: EncodedDataset, config: TrainingConfig) -> Event:
    """What is known before the first step: steps, texts, how many are cut, and the share of padding."""
    batches = training_batches(train.lengths, config.batch_size, config.seed, epoch=0)
    return {
        "steps_per_epoch": len(batches),
        "total_steps": len(batches) * config.epochs,
        "epochs": config.epochs,
        "train_texts": len(train),
        "truncated": train.truncated,
        "padding": padding_share(train.lengths, batches),
        "padding_to_longest": padding_share(train.lengths, [np.arange(len(train))]),
    }


def _evaluation_steps(steps_per_epoch: int, evaluations: int) -> set[int]:
    return {math.ceil(steps_per_epoch * k / evaluations) for k in range(1, evaluations + 1)}
