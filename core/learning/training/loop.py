"""The training loop."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from core.base.errors import UserError
from core.base.memory import MicroBatch
from core.learning.batching import EncodedDataset, collate, padding_share, training_batches
from core.learning.config import TrainingConfig
from core.learning.evaluation.inference import predict_probabilities, texts_at_once
from core.learning.evaluation.metrics import EvaluationReport, collapsed, evaluate
from core.learning.models.interface import Network
from core.learning.models.optimizer import Optimizer
from core.learning.training.best_weights import Kept
from core.learning.training.checkpoints import Snapshots, State

REPORT_SECONDS = 0.5
"""Shortest time between two step events."""

Event = dict[str, Any]


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
    train: EncodedDataset,
    validation: EncodedDataset | None,
    config: TrainingConfig,
    report: Callable[[Event], None],
    should_stop: Callable[[], bool],
    keep: Callable[[Network, Kept], None],
    snapshots: Snapshots,
    resume: State | None = None,
    kept: Kept | None = None,
) -> FitResult:
    """Train the network in place and keep its best weights.

    Args:
        validation: scored during the epochs to find the best weights; None keeps the last weights.
        report: receives one event at a time (`step`, `evaluated`, `note`).
        should_stop: asked before every step; True ends the training and keeps the best weights so far.
            Asked between two batches of an evaluation, too, which it does not end.
        keep: stores the network's weights as the best so far, of which it is told step and scores.
        snapshots: takes the training's whole state now and then.
        resume: goes on from this state of a training with the same data and settings; the network is
            freshly loaded. On the CPU the end is the same, to the bit, as without the interruption.
        kept: what was stored last, perhaps after a later step than that state: it makes way for what is at
            least as good, and else stays the best.

    Raises:
        UserError: the loss is no longer finite, or one text alone does not fit into memory.
    """
    torch.manual_seed(config.seed)
    steps_per_epoch = math.ceil(len(train) / config.batch_size)
    evaluation_steps = _evaluation_steps(steps_per_epoch, config.evaluations_per_epoch)
    stepper = Stepper(network, train, config, steps_per_epoch * config.epochs)
    meter = _Meter(steps_per_epoch * config.epochs, len(evaluation_steps) * config.epochs)
    best = _Best(network, validation, config, stepper.optimizer, report, should_stop, keep, kept)
    parts: dict[str, Any] = {"stepper": stepper, "meter": meter, "best": best}
    if resume:
        _restore(resume, network, parts)
    stopped, converged = False, best.exhausted

    for epoch in range(stepper.steps // steps_per_epoch, config.epochs):
        batches = training_batches(train.lengths, config.batch_size, config.seed, epoch)
        done = stepper.steps - epoch * steps_per_epoch
        for i, rows in enumerate(batches[done:], done + 1):
            stopped = should_stop()
            if stopped or converged:
                break
            position = epoch + i / steps_per_epoch
            evaluation_due = i in evaluation_steps
            learning_rate = stepper.learning_rate

            started = time.perf_counter()
            made_smaller = stepper.step(rows)
            report_due = meter.report_due() or evaluation_due
            loss, correct = stepper.read_and_reset() if report_due else (0.0, 0.0)
            meter.count(time.perf_counter() - started, len(rows), int(train.lengths[rows].sum()))

            if made_smaller:
                report(_smaller_parts(stepper.micro.size, config.batch_size))
            if report_due:
                report(meter.step_event(position, loss, correct, learning_rate))
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
        best=best.kept.scores if best.kept else None,
        best_step=best.kept.step if best.kept else 0,
        train_seconds=meter.train_seconds,
        seconds_before=meter.seconds_before,
        samples_per_second=meter.samples / meter.train_seconds if meter.steps else 0.0,
        tokens_per_second=meter.tokens / meter.train_seconds if meter.steps else 0.0,
    )


def _state(network: Network, parts: dict[str, Any]) -> State:
    stepper = parts["stepper"]
    tensors = {f"network.{name}": value for name, value in network.state().items()}
    tensors |= {f"optimizer.{name}": value for name, value in stepper.optimizer.state().items()}
    return State(stepper.steps, tensors, {name: part.values() for name, part in parts.items()})


def _restore(state: State, network: Network, parts: dict[str, Any]) -> None:
    def of(owner: str) -> dict[str, torch.Tensor]:
        prefix = f"{owner}."
        return {n.removeprefix(prefix): value for n, value in state.tensors.items() if n.startswith(prefix)}

    parts["stepper"].optimizer.load_state(of("optimizer"))
    network.load_state(of("network"))
    for name, part in parts.items():
        part.load_values(state.values[name])


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
        self.optimizer = network.optimizer(config, total_steps)
        self.class_weights = _class_weights(train.labels, len(network.names), config)
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
        self.optimizer.step(self.learning_rate)
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
            raise _diverged(f"a training loss of {loss}", self.config)
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

        def loss_of(logits: torch.Tensor) -> torch.Tensor:
            weights = self.class_weights.to(logits.device)
            # Divided by the weight of the whole batch, so that the parts' gradients add up to its mean's.
            loss = functional.cross_entropy(logits, labels, weight=weights, reduction="sum") / batch_weight
            self._batch_loss += loss.detach()
            return self.optimizer.scale(loss)

        self.optimizer.settle(batch.ids)
        logits = self.network.learn(batch, loss_of)
        self._batch_correct += (logits.argmax(dim=-1) == labels).sum()

    def _begin(self) -> None:
        self.network.begin(self.steps)
        self._batch_loss = torch.zeros((), device=self.network.device)
        self._batch_correct = torch.zeros((), device=self.network.device)


class _Best:
    """Scores the network on the validation texts and keeps the best weights so far.

    `scores` and `step` are the best of the course of this training, `kept` tells of the weights that are
    stored. They differ when an interruption undid the steps that led to these, until they are done again.
    """

    def __init__(
        self,
        network: Network,
        validation: EncodedDataset | None,
        config: TrainingConfig,
        optimizer: Optimizer,
        report: Callable[[Event], None],
        should_stop: Callable[[], bool],
        keep: Callable[[Network, Kept], None],
        kept: Kept | None,
    ) -> None:
        self.network = network
        self.validation = validation
        self.config = config
        self.optimizer = optimizer
        self.report = report
        self.should_stop = should_stop
        self.keep = keep
        self.kept = kept
        self.scores: EvaluationReport | None = None
        self.step = 0
        self.without_gain = 0

    @property
    def exhausted(self) -> bool:
        """Whether early stopping is on and its patience is at an end."""
        return 0 < self.config.early_stopping <= self.without_gain

    def values(self) -> dict[str, Any]:
        """What a snapshot keeps."""
        scores = asdict(self.scores) if self.scores else None
        return {"scores": scores, "step": self.step, "without_gain": self.without_gain}

    def load_values(self, values: dict[str, Any]) -> None:
        """Go on from what `values` gave."""
        self.scores = EvaluationReport(**values["scores"]) if values["scores"] else None
        self.step = values["step"]
        self.without_gain = values["without_gain"]
        if self.kept is None and self.step:
            self.kept = Kept(self.step, self.scores)

    def update(self, step: int, epoch: float) -> None:
        """Score the present weights and keep them when they are the best so far."""
        self.optimizer.settle()
        if self.validation is None:
            self.step = step
            self._keep_unless_worse(Kept(step, None))
            return
        scores = self._score(self.validation)
        better = self.scores is None or scores.rank > self.scores.rank
        self.without_gain = 0 if better else self.without_gain + 1
        if better:
            self.scores, self.step = scores, step
            self._keep_unless_worse(Kept(step, scores))
        collapse = collapsed(scores.confusion)
        self.report(
            {
                "type": "evaluated",
                "step": step,
                "epoch": epoch,
                "loss": scores.loss,
                "accuracy": scores.accuracy,
                "macro_f1": scores.macro_f1,
                "best": better,
                **({"collapsed": self.network.names[collapse.number]} if collapse else {}),
            }
        )

    def _keep_unless_worse(self, new: Kept) -> None:
        if self.kept is None or new.rank >= self.kept.rank:
            self.keep(self.network, new)
            self.kept = new

    def _score(self, validation: EncodedDataset) -> EvaluationReport:
        probabilities = predict_probabilities(self.network, validation, between=self.should_stop)
        if not np.isfinite(probabilities).all():
            raise _diverged("class probabilities that are no numbers", self.config)
        return evaluate(probabilities, validation.labels, self.network.names)


class _Meter:
    """Counts steps, texts and tokens, and tells the speed and the time left."""

    _COUNTS = ("steps", "samples", "tokens", "evaluations", "train_seconds", "evaluation_seconds")

    def __init__(self, total_steps: int, total_evaluations: int) -> None:
        self.total_steps = total_steps
        self.total_evaluations = total_evaluations
        self.steps = self.samples = self.tokens = self.evaluations = 0
        self.train_seconds = self.evaluation_seconds = self.seconds_before = 0.0
        self._began = time.perf_counter()
        self._reported_at = -math.inf
        self._reported = (0, 0, 0, 0.0)

    def values(self) -> dict[str, Any]:
        """What a snapshot keeps."""
        seconds = self.seconds_before + time.perf_counter() - self._began
        counts = {name: getattr(self, name) for name in self._COUNTS}
        return counts | {"seconds": seconds, "reported": self._reported}

    def load_values(self, values: dict[str, Any]) -> None:
        """Go on from what `values` gave."""
        for name in self._COUNTS:
            setattr(self, name, values[name])
        # Snapshots of earlier versions do not have it.
        self.seconds_before = values.get("seconds", self.train_seconds + self.evaluation_seconds)
        self._reported = tuple(values["reported"])

    def report_due(self) -> bool:
        return time.perf_counter() - self._reported_at >= REPORT_SECONDS

    def count(self, seconds: float, samples: int, tokens: int) -> None:
        self.steps += 1
        self.samples += samples
        self.tokens += tokens
        self.train_seconds += seconds

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.evaluations += 1
        self.evaluation_seconds += time.perf_counter() - started

    def step_event(self, epoch: float, loss_sum: float, correct: float, learning_rate: float) -> Event:
        """The means since the last event of this kind."""
        now = (self.steps, self.samples, self.tokens, self.train_seconds)
        steps, samples, tokens, seconds = (a - b for a, b in zip(now, self._reported, strict=True))
        self._reported, self._reported_at = now, time.perf_counter()
        return {
            "type": "step",
            "step": self.steps,
            "epoch": epoch,
            "loss": loss_sum / steps,
            "accuracy": correct / samples,
            "learning_rate": learning_rate,
            "samples_per_second": samples / seconds,
            "tokens_per_second": tokens / seconds,
            "seconds_left": self._seconds_left(),
        }

    def _seconds_left(self) -> float:
        left = (self.total_steps - self.steps) * self.train_seconds / self.steps
        if self.evaluations:
            left += (self.total_evaluations - self.evaluations) * self.evaluation_seconds / self.evaluations
        return left


def _evaluation_steps(steps_per_epoch: int, evaluations: int) -> set[int]:
    return {math.ceil(steps_per_epoch * k / evaluations) for k in range(1, evaluations + 1)}


def _class_weights(labels: np.ndarray, classes: int, config: TrainingConfig) -> torch.Tensor:
    if not config.class_weights:
        return torch.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    # A class without training texts is never drawn, so its weight does not matter.
    weights = len(labels) / (classes * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32)


def _smaller_parts(size: int, batch_size: int) -> Event:
    return {
        "type": "note",
        "message": f"Memory ran out: each batch of {batch_size} texts is now computed in parts of {size}. "
        "The result is the same, the training is slower.",
    }


def _diverged(found: str, config: TrainingConfig) -> UserError:
    return UserError(
        "a loss that is a finite number",
        f"{found} (learning rate {config.learning_rate:g}, precision {config.precision})",
        "Choose a lower learning rate, or the precision fp32, and start again.",
    )
