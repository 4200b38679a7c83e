"""A few steps of the real training, on batches of the data's own lengths, with a network to throw away."""

from __future__ import annotations

import gc
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from core.base.memory import peak_bytes
from core.data.labels import LabeledTexts
from core.data.splits import Splits
from core.learning.batching import EncodedDataset, collate, ordered_batches, training_batches, width
from core.learning.config import TrainingConfig
from core.learning.evaluation.inference import SCORING_BATCH, texts_at_once
from core.learning.evaluation.metrics import evaluate
from core.learning.forecasting.estimate import Measurements
from core.learning.models.interface import Network, load_for_training
from core.learning.training.checkpoints import SHARE, TrainingCheckpoint, size, write
from core.learning.training.model_folder import save_model
from core.learning.training.step import Stepper
from core.learning.training.train import TrainingSetup, set_up

SAMPLE = 4096
"""Texts of a split whose lengths stand for all."""

SECONDS = 1.5
"""Time for the steps to measure; in less, chance would have too large a part."""

SCORING_SECONDS, SCORED = 0.6, 3
"""Time for the passes without gradients to measure, in each precision, and how many passes."""

BATCHES = 8
"""Batches measured at the most: the middles of as many equal parts of all batches, by size."""

EPOCHS = 3
"""In whose batches the shapes are counted that a training meets."""

PROBE_TOKENS = 512
"""Tokens, padding included, of the first step: few enough for any model."""

QUICK = 0.75
"""Seconds of a step above which the making of kernels is too small a part to measure it apart."""

TEXT_BYTES = 160
"""Of the objects that hold one text's token ids, beside these: an array, its place in a list, and numbers."""

HEAP_GROWTH = 1.3
"""How much further beyond the model's a process's memory grows in a whole training than in the few steps
measured here, since what is freed stays with it and batches of many sizes leave gaps: 1.29 to 1.38 times in
four trainings, of TREC-6 and of SST-2."""

WRITTEN_BYTES = 300_000_000
"""Of a training's state are written to see how fast the disk is; what is larger is reckoned from that."""


_Batch = TypeVar("_Batch")


class Disturbed(Exception):
    """Something else needs the machine: what would be measured now is not what a training takes."""


TINY_RATE = 1e-7
"""Learning rate of a network that is thrown away: it should not run into numbers that are none."""


def measure(
    splits: Splits, config: TrainingConfig, folder: Path, disturbed: Callable[[], bool]
) -> Measurements:
    """Time and memory of what a training with these texts and settings consists of.

    Args:
        folder: for what is written to see how fast the disk is, and deleted; on the disk of the runs.
        disturbed: asked between steps whether to give up.

    Raises:
        Disturbed: asked for by `disturbed`.
        UserError: settings out of range, no model in reach, or too little memory for even one text.
    """
    clock = _Clock(disturbed)
    with clock.part("loading"):
        setting = set_up(config)
        device = setting.hardware.device
        resting = peak_bytes(device)
        network = load_for_training(setting.source, splits.train.label2id, setting.hardware, config.seed)
    with clock.part("tokenising"):
        dataset, *scored = (setting.encode(texts) for texts in _samples(splits, config.seed))
    stepper = Stepper(network, dataset, replace(config, learning_rate=TINY_RATE), total_steps=10_000)
    with_model = peak_bytes(device)
    with clock.at_work():
        steps = _Steps(stepper, clock).measure()
    snapshot = _seconds_of_snapshot(stepper, folder)
    with clock.at_work():
        scoring = _measure_scoring(network, scored[:1], clock)
    _measure_keeping(stepper, scored[0], setting, folder, clock)
    del stepper, network
    exactly = _measure_exactly(setting, splits.train.label2id, scored, clock) or scoring
    missing = steps.missing_bytes + max(scoring.missing_bytes, exactly.missing_bytes)
    missing += _bytes_of_texts(len(splits.train) - len(dataset), dataset)
    return Measurements(
        model=config.model,
        max_length=config.max_length,
        batch_size=config.batch_size,
        precision=config.precision,
        device=device,
        loading=clock.seconds["loading"],
        libraries=clock.seconds["libraries"],
        tokenising=clock.seconds["tokenising"] / (len(dataset) + sum(map(len, scored))),
        step=steps.mean,
        step_fixed=steps.fixed,
        tokens=steps.tokens,
        new_width=steps.new_shape,
        widths=steps.shapes,
        scoring=scoring.per_text,
        evaluation=clock.seconds["evaluation"],
        exact_scoring=exactly.per_text,
        saving=clock.seconds["saving"],
        snapshot=snapshot,
        snapshot_every=snapshot / SHARE,
        resting_bytes=resting,
        model_bytes=with_model - resting,
        peak_bytes=with_model + _with_growth(peak_bytes(device) + missing - with_model, device),
        share_of_cores=clock.share_of_cores(),
        measured=time.time(),
    )


def _with_growth(number_of_bytes: int, device: str) -> int:
    """What so many bytes of use take from the system; on the CPU the heap grows beyond them."""
    return round((HEAP_GROWTH if device == "cpu" else 1.0) * number_of_bytes)


class _Clock:
    """What each part took, and how much of the time of all its cores this process got for it."""

    def __init__(self, disturbed: Callable[[], bool]) -> None:
        self.seconds: dict[str, float] = {}
        self._disturbed = disturbed
        self._wall = self._used = 0.0

    def check(self) -> None:
        if self._disturbed():
            raise Disturbed

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.check()
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around what keeps all cores busy."""
        wall, used = time.perf_counter(), time.process_time()
        yield
        self._wall += time.perf_counter() - wall
        self._used += time.process_time() - used

    def share_of_cores(self) -> float:
        return min(1.0, self._used / (self._wall * torch.get_num_threads()))


@dataclass(frozen=True)
class _StepCost:
    mean: float
    fixed: float
    tokens: float
    new_shape: float
    shapes: int
    missing_bytes: int
    """Of a whole batch, where only a part of one was measured."""


class _Steps:
    """Times single steps of a training, and what they add to the memory."""

    def __init__(self, stepper: Stepper, clock: _Clock) -> None:
        self.stepper = stepper
        self.clock = clock
        self.dataset = stepper.train
        config = stepper.config
        self.batches = [
            rows
            for epoch in range(EPOCHS)
            for rows in training_batches(self.dataset.lengths, config.batch_size, config.seed, epoch)
        ]
        self.by_size = sorted(self.batches, key=self.tokens)

    def tokens(self, rows: np.ndarray) -> int:
        """Of a batch, padding included."""
        return width(self.dataset.lengths[rows]) * len(rows)

    def seconds_of(self, rows: np.ndarray) -> float:
        """Time of one step."""
        self.clock.check()
        began = time.perf_counter()
        self.stepper.step(rows)
        # Waits for a GPU, too.
        self.stepper.read_and_reset()
        return time.perf_counter() - began

    def measure(self) -> _StepCost:
        fixed, per_token = self._probe()
        affordable = max(PROBE_TOKENS, round(SECONDS / per_token))
        largest, missing = self._take_memory(affordable)
        taken = self._peak()
        mean_tokens = sum(map(self.tokens, self.by_size)) / len(self.by_size)
        chosen = _middles(self.by_size, self._number(fixed + mean_tokens * per_token))
        few = [_few(rows, affordable // len(chosen), self.dataset) for rows in chosen]
        times, new_shape = self._time(few)
        whole = [
            fixed + max(0.0, seconds - fixed) * self.tokens(rows) / self.tokens(part)
            for rows, part, seconds in zip(chosen, few, times, strict=True)
        ]
        shapes, met = (
            _shapes((self.dataset, rows) for rows in each) for each in (self.batches, [largest, *few])
        )
        per_shape = (self._peak() - taken) / max(1, len(met) - 1)
        return _StepCost(
            mean=sum(whole) / len(whole),
            fixed=fixed,
            tokens=mean_tokens,
            new_shape=new_shape,
            shapes=len(shapes),
            missing_bytes=missing + round(per_shape * max(0, len(shapes) - len(met))),
        )

    def _probe(self) -> tuple[float, float]:
        """Seconds of a step whatever its texts, and per token: roughly, from steps that any model affords."""
        probe, shortest = _few(self.by_size[-1], PROBE_TOKENS, self.dataset), self.by_size[0][:1]
        for rows in (probe, shortest):
            self.seconds_of(rows)
        probed = min(self.seconds_of(probe) for _ in range(2))
        fixed = min(probed, *(self.seconds_of(shortest) for _ in range(3)))
        return fixed, max(1e-9, (probed - fixed) / self.tokens(probe))

    def _take_memory(self, affordable: int) -> tuple[np.ndarray, int]:
        """Train on the largest part of a batch that is computed at once, as far as affordable (tokens).

        Returns:
            Its texts, and the bytes that the whole of it would have taken besides.
        """
        longest = self.by_size[-1]
        at_once = longest[: texts_at_once(self.stepper.network, self.dataset, longest)]
        tried = _few(at_once, affordable, self.dataset)
        before = self._peak()
        self.seconds_of(tried)
        share = self.tokens(tried) / self.tokens(at_once)
        return tried, round((self._peak() - before) * (1 / share - 1))

    def _number(self, expected: float) -> int:
        """How many batches to measure, when one takes so many seconds; quick ones are measured thrice."""
        passes = 3 if expected < QUICK else 1
        return int(min(BATCHES, max(2, SECONDS / (passes * expected))))

    def _time(self, batches: list[np.ndarray]) -> tuple[list[float], float]:
        """Mean seconds of each batch, and what a new shape adds the first time."""
        first = [self.seconds_of(rows) for rows in batches]
        if sum(first) / len(first) >= QUICK:
            return first, 0.0
        again: list[list[float]] = [[] for _ in batches]
        until = time.perf_counter() + SECONDS - sum(first)
        while not again[-1] or time.perf_counter() < until:
            for rows, found in zip(batches, again, strict=True):
                found.append(self.seconds_of(rows))
        added = sum(once - min(found) for once, found in zip(first, again, strict=True)) / len(first)
        return [sum(found) / len(found) for found in again], max(0.0, added)

    def _peak(self) -> int:
        return peak_bytes(self.stepper.network.device)


def _shapes(batches: Iterable[tuple[EncodedDataset, np.ndarray]]) -> set[tuple[int, int]]:
    """Texts and padded length of each batch."""
    return {(len(rows), width(dataset.lengths[rows])) for dataset, rows in batches}


@dataclass(frozen=True)
class _ScoringCost:
    per_text: float
    missing_bytes: int
    """Of the shapes of batches that were not met."""


def _measure_scoring(network: Network, datasets: list[EncodedDataset], clock: _Clock) -> _ScoringCost:
    """Without gradients, on batches of all lengths, the longest first."""

    def seconds_of(dataset: EncodedDataset, rows: np.ndarray) -> float:
        clock.check()
        began = time.perf_counter()
        network.logits(collate(dataset, rows)).cpu()
        return time.perf_counter() - began

    parts = [
        (dataset, rows[: texts_at_once(network, dataset, rows)])
        for dataset in datasets
        for rows in ordered_batches(dataset.lengths, SCORING_BATCH)
    ]
    parts.sort(key=lambda part: -width(part[0].lengths[part[1]]))
    dataset, longest = parts[0]
    probe = _few(longest, PROBE_TOKENS, dataset)
    seconds_of(dataset, probe)
    per_text = seconds_of(dataset, probe) / len(probe)
    affordable = SCORING_SECONDS / per_text
    # As much memory as scoring takes.
    largest = longest[: max(1, round(2 * affordable))]
    seconds_of(dataset, largest)
    before = peak_bytes(network.device)
    most = max(1, round(affordable / SCORED))
    chosen = [(dataset, rows[:most]) for dataset, rows in _middles(parts, SCORED)]
    seconds = [seconds_of(*part) / len(part[1]) for part in chosen]
    shapes, met = _shapes(parts), _shapes([(dataset, largest), *chosen])
    per_shape = (peak_bytes(network.device) - before) / max(1, len(met) - 1)
    return _ScoringCost(sum(seconds) / len(seconds), round(per_shape * max(0, len(shapes) - len(met))))


def _measure_exactly(
    setting: TrainingSetup, label2id: dict[str, int], datasets: list[EncodedDataset], clock: _Clock
) -> _ScoringCost | None:
    """In float32, as at the end of a training; None where all of the training is in float32 anyway."""
    if setting.hardware.precision == "fp32":
        return None
    gc.collect()
    exact = replace(setting.hardware, precision="fp32")
    network = load_for_training(setting.source, label2id, exact, setting.config.seed)
    with clock.at_work():
        return _measure_scoring(network, datasets, clock)


def _measure_keeping(
    stepper: Stepper, scored: EncodedDataset, setting: TrainingSetup, folder: Path, clock: _Clock
) -> None:
    """What an evaluation takes besides the network's answers."""
    names = stepper.network.names
    with clock.part("libraries"):
        import pandas  # noqa: F401 - as at the end of a training
    with clock.part("evaluation"):
        evaluate(np.random.default_rng(0).dirichlet(np.ones(len(names)), len(scored)), scored.labels, names)
    with clock.part("saving"), tempfile.TemporaryDirectory(dir=folder) as temporary:
        save_model(stepper.network, setting.tokenizer, Path(temporary) / "model", lambda _: None)


def _seconds_of_snapshot(stepper: Stepper, folder: Path) -> float:
    """By writing it, or as much of it as shows how fast the disk is."""
    tensors = stepper.network.training_state()
    written: dict[str, torch.Tensor] = {}
    for name, value in sorted(tensors.items(), key=lambda item: item[1].nbytes):
        if not written or sum(tensor.nbytes for tensor in written.values()) + value.nbytes <= WRITTEN_BYTES:
            written[name] = value
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        began = time.perf_counter()
        write(Path(temporary) / "snapshots", TrainingCheckpoint(1, written, {}))
        seconds = time.perf_counter() - began
    return seconds * size(TrainingCheckpoint(1, tensors, {})) / size(TrainingCheckpoint(1, written, {}))


def _samples(splits: Splits, seed: int) -> list[LabeledTexts]:
    """Training texts, and behind them those to score; training texts again where none are held out."""
    held_out = [part for part in (splits.validation, splits.test) if len(part)] or [splits.train]
    return [_sample(part, seed) for part in (splits.train, *held_out)]


def _bytes_of_texts(number: int, like: EncodedDataset) -> int:
    """What the token ids of more texts take while they are gathered: each text's, and all in one block."""
    return round(number * (TEXT_BYTES + 2 * like.ids.itemsize * like.lengths.mean()))


def _sample(texts: LabeledTexts, seed: int) -> LabeledTexts:
    if len(texts) <= SAMPLE:
        return texts
    return texts.take(sorted(np.random.default_rng(seed).choice(len(texts), SAMPLE, replace=False)))


def _middles(batches: list[_Batch], most: int) -> list[_Batch]:
    """The middles of `most` equal parts of a sorted list; all, where there are no more."""
    number = min(most, len(batches))
    return [batches[math.floor((i + 0.5) * len(batches) / number)] for i in range(number)]


def _few(rows: np.ndarray, tokens: int, dataset: EncodedDataset) -> np.ndarray:
    """As many of a batch's texts as together, padded like all of them, have so many tokens; at least one."""
    longest_first = rows[np.argsort(-dataset.lengths[rows], kind="stable")]
    return longest_first[: max(1, tokens // width(dataset.lengths[rows]))]
