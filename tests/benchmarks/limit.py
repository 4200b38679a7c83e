"""How fast training could be at most: the encoder's matrix products and nothing else.

Counted are, for every linear layer of the encoder, the forward product and the two of its backward pass
(gradient of the input, gradient of the weight); query, key and value are one product. Not counted is
everything else: attention's own products, norms, dropout, activations, embeddings, the optimizer.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from tests.benchmarks.workload import Job, wants_bf16

SECONDS = 0.06
"""Measured per product and pass."""
REPETITIONS = 5
"""Calls timed together: a clock read takes as long as the smallest products."""


def measure(job: Job, mean_tokens: float) -> dict[int, tuple[float, float]]:
    """Seconds of the products of one optimizer step, by batch size.

    Args:
        mean_tokens: real tokens per text.

    Returns:
        batch size → (all layers in full, the last layer only as far as the first token needs it).
    """
    config = json.loads((Path(job.model) / "config.json").read_text(encoding="utf-8"))
    layers, hidden = config["num_hidden_layers"], config["hidden_size"]
    inner = config["intermediate_size"]
    dtype = torch.bfloat16 if wants_bf16(job.precision) else torch.float32

    @cache
    def seconds(rows: int, width_in: int, width_out: int) -> float:
        return _linear_seconds(rows, width_in, width_out, dtype)

    found = {}
    for batch in job.limit_batches:
        tokens = round(batch * mean_tokens)
        shapes = [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)]
        layer = sum(seconds(tokens, *shape) for shape in shapes)
        # Every token has a key and a value; query, attention output and both inner products are of the
        # first token of each text alone.
        first = [(hidden, hidden), (hidden, hidden), (hidden, inner), (inner, hidden)]
        last = seconds(tokens, hidden, 2 * hidden) + sum(seconds(batch, *shape) for shape in first)
        found[batch] = (layers * layer, (layers - 1) * layer + last)
    return found


def _linear_seconds(rows: int, width_in: int, width_out: int, dtype: torch.dtype) -> float:
    """Median seconds of the three products of one linear layer [rows, in] x [in, out]."""
    x = torch.randn(rows, width_in).to(dtype)
    weight = torch.randn(width_out, width_in).to(dtype)
    gradient = torch.randn(rows, width_out).to(dtype)
    products = [
        lambda: torch.nn.functional.linear(x, weight),
        lambda: torch.mm(gradient, weight),
        lambda: torch.mm(gradient.t(), x),
    ]
    return sum(_median_seconds(product) for product in products)


def _median_seconds(work: Callable[[], object]) -> float:
    work()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while not times or time.perf_counter() < end:
        started = time.perf_counter()
        for _ in range(REPETITIONS):
            work()
        times.append((time.perf_counter() - started) / REPETITIONS)
    return statistics.median(times)
