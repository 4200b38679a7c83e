"""A network's answers for many texts, in batches of like length."""

from collections.abc import Callable
from itertools import count

import numpy as np
import torch

from core.base.memory import MicroBatch
from core.learning.batching import EncodedDataset, collate, ordered_batches
from core.learning.models.interface import Network

SCORING_BATCH = 64
"""Texts per forward pass without gradients."""

GPU_BATCH = 512
"""The same on a GPU, which smaller ones leave idle."""

CLOSEST = 0.01
"""Share of the texts, those with the closest top two classes, by which it is measured what rounding does."""

LEAST_CLOSEST = 16
"""Texts that are measured at least."""

SAFETY = 1.5
"""Texts are computed again up to so many times the largest move that was measured."""


def predict_probabilities(
    network: Network,
    dataset: EncodedDataset,
    batch_size: int = SCORING_BATCH,
    between: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """Probability of each class for each text, in the order of the data set.

    Halves the batch when memory runs out.

    Args:
        between: called between two passes; what it answers does not matter.

    Returns:
        float64 [texts, classes]; rows add up to 1.
    """
    parts = count()

    def before(rows: np.ndarray) -> None:
        if next(parts):
            between()

    return _softmax(_logits(network, dataset, np.arange(len(dataset)), batch_size, before=before))


def predict_swiftly(
    network: Network, dataset: EncodedDataset, report: Callable[[float], object] = lambda share: None
) -> np.ndarray:
    """As `predict_probabilities`, in the network's own short format, with the labels of float32.

    Rounding moves the gap between the logits of the top two classes, and may thus change the label where
    the gap is small. The texts with the smallest gaps are computed again in float32, which also tells how
    far rounding moves a gap in this model; then every text whose gap is below `SAFETY` times the largest
    move. (5,000 texts of SST-2 and 3,000 of banking77: 6 and 7 labels changed by bfloat16, at gaps up to
    0.020; gaps moved by up to 0.047; 0 labels differed from float32 afterwards, with 1.0 and 2.7 % of the
    texts computed again; probabilities differed by up to 0.012, in the mean by 0.0008.)

    Args:
        report: receives the share of the tokens that are done, 0 to 1.

    Returns:
        float64 [texts, classes]; rows add up to 1.
    """
    done, tokens = 0, max(1, int(dataset.lengths.sum()))

    def before(rows: np.ndarray) -> None:
        nonlocal done
        # A part that did not fit is tried again in smaller ones.
        report(min(1.0, done / tokens))
        done += int(dataset.lengths[rows].sum())

    batch = SCORING_BATCH if network.device == "cpu" else GPU_BATCH
    logits = _logits(network, dataset, np.arange(len(dataset)), batch, before)
    if network.precision != "fp32" and logits.shape[1] > 1:
        _mend(network.exact(), dataset, logits)
    return _softmax(logits)


def mean_states(
    network: Network,
    dataset: EncodedDataset,
    layers: int = 1,
    report: Callable[[float], object] = lambda share: None,
) -> np.ndarray:
    """The mean of the states of each text's tokens in the last layers, in the order of the data set.

    Args:
        report: receives the share of the tokens that are done, 0 to 1.

    Returns:
        float32 [texts, layers, hidden].
    """
    states = np.empty((len(dataset), layers, network.hidden), dtype=np.float32)
    done, tokens = 0, max(1, int(dataset.lengths.sum()))

    def work(rows: np.ndarray) -> None:
        states[rows] = network.mean_states(collate(dataset, rows), layers).cpu().numpy()

    micro = MicroBatch(SCORING_BATCH)
    for rows in ordered_batches(dataset.lengths, SCORING_BATCH):
        micro.run(rows, work, at_most=texts_at_once(network, dataset, rows))
        done += int(dataset.lengths[rows].sum())
        report(done / tokens)
    return states


def _mend(exact: Network, dataset: EncodedDataset, logits: torch.Tensor) -> None:
    """Replace the logits of the texts whose label rounding may have changed."""
    _mend_overflow(exact, dataset, logits)
    two = logits.topk(2, dim=1)
    gaps = (two.values[:, 0] - two.values[:, 1]).numpy()
    order = np.argsort(gaps, kind="stable")
    closest = order[: max(LEAST_CLOSEST, round(CLOSEST * len(order)))]
    right = _logits(exact, dataset, closest, SCORING_BATCH)
    there = right.gather(1, two.indices[torch.from_numpy(closest)])
    largest = float(np.abs((there[:, 0] - there[:, 1]).numpy() - gaps[closest]).max(initial=0))
    logits[torch.from_numpy(closest)] = right
    rest = order[len(closest) :]
    rest = rest[gaps[rest] < SAFETY * largest]
    if len(rest):
        logits[torch.from_numpy(rest)] = _logits(exact, dataset, rest, SCORING_BATCH)


def _mend_overflow(exact: Network, dataset: EncodedDataset, logits: torch.Tensor) -> None:
    """Replace what is no number: float16 ends at 65,504."""
    broken = np.flatnonzero(~logits.isfinite().all(dim=1).numpy())
    if len(broken):
        logits[torch.from_numpy(broken)] = _logits(exact, dataset, broken, SCORING_BATCH)


def _logits(
    network: Network,
    dataset: EncodedDataset,
    chosen: np.ndarray,
    batch_size: int,
    before: Callable[[np.ndarray], None] = lambda rows: None,
) -> torch.Tensor:
    """float32 [chosen texts, classes], in the order of `chosen`."""
    logits = torch.empty((len(chosen), len(network.names)), dtype=torch.float32)
    answers: list[tuple[np.ndarray, torch.Tensor]] = []

    def score(places: np.ndarray) -> None:
        rows = chosen[places]
        before(rows)
        # Left where they are: to fetch each batch's would make a GPU wait for the next one.
        answers.append((places, network.logits(collate(dataset, rows))))

    micro = MicroBatch(batch_size)
    for places in ordered_batches(dataset.lengths[chosen], batch_size):
        micro.run(places, score, at_most=texts_at_once(network, dataset, chosen[places]))
    for places, found in answers:
        logits[torch.from_numpy(places)] = found.cpu()
    return logits


def _softmax(logits: torch.Tensor) -> np.ndarray:
    return logits.double().softmax(dim=-1).numpy()


def texts_at_once(network: Network, dataset: EncodedDataset, rows: np.ndarray) -> int | None:
    """How many of these texts the network computes at once; None for all."""
    if network.part_tokens is None:
        return None
    return max(1, network.part_tokens // int(dataset.lengths[rows].max()))
