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

from core.data.labels import LabeledTexts
from core.data.splits import Splits
from core.learning.batching import EncodedDataset, collate, ordered_batches, training_batches, width
from core.learning.config import TrainingConfig
from core.learning.evaluation import SCORING_BATCH, evaluate, texts_at_once
from core.learning.fit import Stepper
from core.learning.forecast import Measurements
from core.learning.memory import peak_bytes
from core.learning.networks import Network, load_for_training
from core.learning.snapshots import SHARE, State, size, write
from core.learning.train import save_model, set_up

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

HEAP_GROWTH = 1.3
"""How much further beyond the model's a process's memory grows in a whole training than in the few steps
measured here, since what is freed stays with it and batches of many sizes leave gaps: 1.29 to 1.38 times in
four trainings, of TREC-6 and of SST-2."""

WRITTEN_BYTES = 300_000_000
"""Of a training's state are written to see how fast the disk is; what is larger is reckoned from that."""


_Batch = TypeVar("_Batch")


class Disturbed(Exception):
    """Something else needs the machine: what would be measured now is not what a training takes."""


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
    held_out = [part for part in (splits.validation, splits.test) if len(part)] or [splits.train]
    texts, *judged = (_sample(part, config.seed) for part in (splits.train, *held_out))
    with clock.part("tokenising"):
        dataset, *scored = map(setting.encode, (texts, *judged))
    # A network that is thrown away should not run into numbers that are none.
    stepper = Stepper(network, dataset, replace(config, learning_rate=1e-7), total_steps=10_000)
    with_model = peak_bytes(device)
    with clock.at_work():
        steps = _measure_steps(stepper, clock)
    writing, state_bytes = _measure_writing(stepper, folder)
    with clock.at_work():
        stepper.optimizer.settle()
        scoring = _measure_scoring(network, scored[:1], clock)
    with clock.part("libraries"):
        import pandas  # noqa: F401 - as at the end of a training
        from sklearn import metrics  # noqa: F401 - as in its evaluations
    with clock.part("evaluation"):
        stepper.optimizer.settle()
        random = np.random.default_rng(0).dirichlet(np.ones(len(network.names)), len(scored[0]))
        evaluate(random, scored[0].labels, network.names)
    with clock.part("saving"), tempfile.TemporaryDirectory(dir=folder) as temporary:
        save_model(network, setting.tokenizer, Path(temporary) / "model", lambda _: None)
    del stepper, network
    gc.collect()
    exactly = scoring
    if setting.hardware.precision != "fp32":
        exact = replace(setting.hardware, precision="fp32")
        network = load_for_training(setting.source, splits.train.label2id, exact, config.seed)
        with clock.at_work():
            exactly = _measure_scoring(network, scored, clock)
    snapshot = writing * state_bytes
    missing = steps.missing_bytes + max(scoring.missing_bytes, exactly.missing_bytes)
    growth = HEAP_GROWTH if device == "cpu" else 1.0
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
        peak_bytes=with_model + round(growth * (peak_bytes(device) + missing - with_model)),
        share_of_cores=clock.share_of_cores(),
        measured=time.time(),
    )


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


def _measure_steps(stepper: Stepper, clock: _Clock) -> _StepCost:
    dataset = stepper.train

    def tokens(rows: np.ndarray) -> int:
        return width(dataset.lengths[rows]) * len(rows)

    def seconds_of(rows: np.ndarray) -> float:
        clock.check()
        began = time.perf_counter()
        stepper.step(rows)
        # Waits for a GPU, too.
        stepper.read_and_reset()
        return time.perf_counter() - began

    config = stepper.config
    batches = [
        rows
        for epoch in range(EPOCHS)
        for rows in training_batches(dataset.lengths, config.batch_size, config.seed, epoch)
    ]
    by_size = sorted(batches, key=tokens)
    longest = by_size[-1]
    probe = _few(longest, PROBE_TOKENS, dataset)
    seconds_of(probe)
    probed = min(seconds_of(probe) for _ in range(2))
    shortest = by_size[0][:1]
    seconds_of(shortest)
    fixed = min(probed, *(seconds_of(shortest) for _ in range(3)))
    per_token = max(1e-9, (probed - fixed) / tokens(probe))
    affordable = max(PROBE_TOKENS, round(SECONDS / per_token))

    device = stepper.network.device
    before = peak_bytes(device)
    at_once = longest[: texts_at_once(stepper.network, dataset, longest)]
    tried = _few(at_once, affordable, dataset)
    seconds_of(tried)
    after = peak_bytes(device)
    missing = round((after - before) * (tokens(at_once) / tokens(tried) - 1))

    mean_tokens = sum(map(tokens, by_size)) / len(by_size)
    expected = fixed + mean_tokens * per_token
    passes = 3 if expected < QUICK else 1
    chosen = _middles(by_size, int(min(BATCHES, max(2, SECONDS / (passes * expected)))))
    few = [_few(rows, affordable // len(chosen), dataset) for rows in chosen]
    cold = [seconds_of(rows) for rows in few]
    times = [[seconds] for seconds in cold]
    new_shape = 0.0
    if sum(cold) / len(cold) < QUICK:
        times = [[] for _ in few]
        until = time.perf_counter() + SECONDS - sum(cold)
        while not times[-1] or time.perf_counter() < until:
            for rows, found in zip(few, times, strict=True):
                found.append(seconds_of(rows))
        new_shape = max(0.0, sum(a - min(b) for a, b in zip(cold, times, strict=True)) / len(cold))
    whole = [
        fixed + max(0.0, sum(found) / len(found) - fixed) * tokens(rows) / tokens(part)
        for rows, part, found in zip(chosen, few, times, strict=True)
    ]
    shapes, met = (_shapes((dataset, rows) for rows in each) for each in (batches, [tried, *few]))
    per_shape = (peak_bytes(device) - after) / max(1, len(met) - 1)
    return _StepCost(
        mean=sum(whole) / len(whole),
        fixed=fixed,
        tokens=mean_tokens,
        new_shape=new_shape,
        shapes=len(shapes),
        missing_bytes=missing + round(per_shape * max(0, len(shapes) - len(met))),
    )


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


def _measure_writing(stepper: Stepper, folder: Path) -> tuple[float, int]:
    """Seconds per byte of a snapshot, and its bytes."""
    tensors = {f"network.{name}": value for name, value in stepper.network.state().items()}
    tensors |= {f"optimizer.{name}": value for name, value in stepper.optimizer.state().items()}
    whole = size(State(1, tensors, {}))
    written: dict[str, torch.Tensor] = {}
    for name, value in sorted(tensors.items(), key=lambda item: item[1].nbytes):
        if not written or sum(tensor.nbytes for tensor in written.values()) + value.nbytes <= WRITTEN_BYTES:
            written[name] = value
    state = State(1, written, {})
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        write(Path(temporary) / "snapshots", state)
        seconds = time.perf_counter() - began
    return seconds / size(state), whole


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
