"""The section `profile`: what the engine keeps the GPU busy with, kernel by kernel.

Share of time by group of kernels, and the time per step that the GPU is busy, beside the time per step that
passes (measured without the profiler, which slows the host down).
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before torch, as in the app: OpenMP reads its settings when torch loads it.
import core.learning  # noqa: F401
from tests.benchmarks.gpu_setup import MODELS, Report, Settings
from tests.benchmarks.workload import read_rows

WARM_UP_STEPS, STEPS = 200, 40
TOP = 25
BATCHES, QUICK_BATCHES = (16, 512), (4, 8)
NAME_WIDTH = 110

GROUPS = (
    ("attention", r"flash|fmha|attend|attention|sdpa"),
    ("optimizer", r"adam|multi_tensor|update_block|update_words|settle_words|square_sums|lpnorm|clip"),
    ("gelu", r"gelu"),
    ("norm and dropout", r"norm|dropout|philox"),
    ("embeddings", r"embed|position_gradients|word_gradients|indexing|index_|gather|scatter"),
    ("matrix products", r"gemm|nvjet|xmma|cutlass|cublas|splitk|wgmma|mm\b|linear|matmul|onednn|dnnl"),
    ("loss", r"softmax|nll|cross_entropy"),
    ("copies", r"memcpy|memset|copy|fill|zero"),
    ("sums", r"column_sums|reduce|sum"),
)
"""Name of the group, and what a kernel's name has in it; the first that fits counts."""


@dataclass(frozen=True)
class Kernel:
    """All calls of one kernel in the profiled steps."""

    name: str
    calls: int
    seconds: float


class ProfilePace:
    """Ends a training after a warm-up, some timed steps, and as many under the profiler."""

    def __init__(self, wait: Callable[[], None], cuda: bool) -> None:
        from torch.profiler import ProfilerActivity, profile

        self._wait = wait
        self._steps = 0
        self._texts = self._tokens = 0
        self._began = 0.0
        self.profile = profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU])
        self.step_seconds = 0.0
        self.profiled_step_seconds = 0.0

    @property
    def tokens_per_step(self) -> float:
        """In the profiled steps."""
        return self._tokens / STEPS

    def begin(self) -> None:
        self._steps = 0

    def step_done(self, texts: int, tokens: int) -> bool:
        self._steps += 1
        if self._steps > WARM_UP_STEPS + STEPS:
            self._tokens += tokens
        if self._steps == WARM_UP_STEPS:
            self._restart()
        elif self._steps == WARM_UP_STEPS + STEPS:
            self.step_seconds = self._restart() / STEPS
            self.profile.start()
            self._restart()
        elif self._steps == WARM_UP_STEPS + 2 * STEPS:
            self.profiled_step_seconds = self._restart() / STEPS
            self.profile.stop()
            return False
        return True

    def _restart(self) -> float:
        """Wait for the device. Returns the seconds since the last restart."""
        self._wait()
        now = time.perf_counter()
        seconds, self._began = now - self._began, now
        return seconds


def measure(settings: Settings, report: Report) -> None:
    """Report each model and batch size; write the kernels of all into a text file beside the results."""
    tables = Path(settings.out).with_suffix(".kernels.txt")
    tables.write_text("", encoding="utf-8")
    for model in MODELS:
        for batch in QUICK_BATCHES if settings.quick else BATCHES:
            try:
                found, table = _measure(settings, model, batch)
            except Exception as error:  # noqa: BLE001 - one that fails should not hide the others
                report({"model": model, "batch": batch, "error": f"{type(error).__name__}: {error}"[:1500]})
                continue
            with tables.open("a", encoding="utf-8") as file:
                file.write(table)
            report(found)


def _measure(settings: Settings, model: str, batch: int) -> tuple[dict[str, Any], str]:
    import torch

    from tests.benchmarks.engine import train_engine

    cuda = settings.device == "cuda"
    pace = ProfilePace(torch.cuda.synchronize if cuda else lambda: None, cuda)
    job = settings.job("engine", model, batch)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    train_engine(job, read_rows(Path(job.data)), pace)
    kernels, busy = _kernels(pace.profile.events(), cuda)
    in_all = sum(kernel.seconds for kernel in kernels) or 1.0
    shares: Counter[str] = Counter()
    for kernel in kernels:
        shares[group_of(kernel.name)] += kernel.seconds / in_all
    found = {
        "model": model,
        "batch": batch,
        "tokens_per_step": round(pace.tokens_per_step, 1),
        "step_ms": round(1e3 * pace.step_seconds, 3),
        "step_ms_profiled": round(1e3 * pace.profiled_step_seconds, 3),
        "busy_ms": round(1e3 * busy / STEPS, 3),
        "kernels_per_step": round(sum(kernel.calls for kernel in kernels) / STEPS, 1),
        "shares": {name: round(share, 4) for name, share in shares.most_common()},
        "peak_mib": round(torch.cuda.max_memory_reserved() / 2**20) if cuda else None,
    }
    return found, _table(found, kernels, in_all)


def group_of(kernel: str) -> str:
    """The group that a kernel belongs to by its name."""
    return next((group for group, parts in GROUPS if re.search(parts, kernel, re.IGNORECASE)), "other")


def _kernels(events: Sequence[Any], cuda: bool) -> tuple[list[Kernel], float]:
    """All kernels, the longest first; and the seconds in which at least one was at work."""
    from torch.autograd import DeviceType

    calls: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    spans = []
    for event in events:
        if cuda and (event.device_type != DeviceType.CUDA or getattr(event, "is_user_annotation", False)):
            continue
        # The processor's operations contain each other; a GPU's kernels do not.
        taken = event.time_range.elapsed_us() if cuda else event.self_cpu_time_total
        calls[event.name] += 1
        seconds[event.name] += taken / 1e6
        spans.append((event.time_range.start, event.time_range.end))
    kernels = [Kernel(name, calls[name], total) for name, total in seconds.most_common()]
    return kernels, _covered(spans) / 1e6


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of the spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _table(found: dict[str, Any], kernels: list[Kernel], in_all: float) -> str:
    head = (
        f"{found['model']}, batch {found['batch']}: {found['step_ms']} ms a step, "
        f"GPU busy {found['busy_ms']} ms, {found['kernels_per_step']} kernels a step\n"
    )
    lines = [
        f"{kernel.seconds / in_all:7.2%} {1e6 * kernel.seconds / STEPS:10.1f} us/step "
        f"{kernel.calls / STEPS:7.1f} x  {group_of(kernel.name):<17} {kernel.name[:NAME_WIDTH]}"
        for kernel in kernels[:TOP]
    ]
    return head + "\n".join(lines) + "\n\n"
