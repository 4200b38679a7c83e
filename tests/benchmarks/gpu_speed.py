"""The section `speed`: training beside transformers' Trainer, on the same rows and weights.

All stacks of one model and one batch size take turns, block by block. The processes of several such groups
are loaded together, since that takes most of the time; the large model in large batches has the memory for
itself.
"""

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.children import Child
from tests.benchmarks.gpu_setup import (
    NOMINAL_TFLOPS,
    QUICK_FACTOR,
    Report,
    Settings,
    matrix_parameters,
    measured_tflops,
)

STACKS = ("engine", "trainer", "trainer-best", "trainer-compiled")

SMALL, LARGE, QUICK = 16, 512, 8
"""Texts per step."""

LOAD_SECONDS, COMPILE_SECONDS = 60, 70
"""Until the first block, imports included; several processes load at once."""

BLOCK_SECONDS = 30
"""Until a block's answer: its last step may be long."""


@dataclass
class Group:
    """The stacks that are compared with each other."""

    model: str
    batch: int
    children: list[Child] = field(default_factory=list)
    blocks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By stack."""
    peaks: dict[str, float] = field(default_factory=dict)
    """MiB, by stack."""

    @property
    def name(self) -> dict[str, Any]:
        return {"model": self.model, "batch": self.batch}


def measure(settings: Settings, report: Report) -> None:
    """Report each block, and then each group's medians and ratios."""
    first = [Group("minilm", LARGE), Group("minilm", SMALL), Group("base", SMALL)]
    last = [Group("base", LARGE)]
    if settings.quick:
        first, last = [Group("minilm", QUICK)], [Group("base", QUICK)]
    patience = QUICK_FACTOR if settings.quick else 1
    with ExitStack() as cleanup:
        early = _start(last, ["trainer-compiled"], settings, cleanup)
        for groups in (first, last):
            stacks = [stack for stack in STACKS if groups is first or stack not in early]
            began = time.monotonic()
            _start(groups, stacks, settings, cleanup)
            for group in groups:
                _load(group, began, patience, report)
            for group in groups:
                _work(group, settings, report)
                _end(group, report)
                _summarise(group, settings, report)


def _start(groups: list[Group], stacks: list[str], settings: Settings, cleanup: ExitStack) -> list[str]:
    """Start the processes of these stacks. Returns the stacks."""
    for group in groups:
        for stack in stacks:
            child = Child(settings.job(stack, group.model, group.batch), settings.environment())
            cleanup.callback(child.close)
            group.children.append(child)
    return stacks


def _load(group: Group, began: float, patience: float, report: Report) -> None:
    """Wait until all have warmed up; those that do not in time are left out."""
    for child in list(group.children):
        limit = patience * (COMPILE_SECONDS if child.job.stack == "trainer-compiled" else LOAD_SECONDS)
        try:
            child.answer(max(1.0, began + limit - time.monotonic()))
            child.pause()
        except SystemExit as error:
            _drop(group, child, error, report)
        else:
            seconds = round(time.monotonic() - began, 1)
            report({**group.name, "stack": child.job.stack, "loaded_by_seconds": seconds})


def _work(group: Group, settings: Settings, report: Report) -> None:
    for number in range(settings.rounds):
        # Each begins once: who works right after whom, and when in a round, should not matter.
        turn = number % max(1, len(group.children))
        for child in group.children[turn:] + group.children[:turn]:
            try:
                block = child.work(settings.seconds, settings.seconds + BLOCK_SECONDS)
            except (SystemExit, OSError) as error:
                _drop(group, child, error, report)
                continue
            group.blocks.setdefault(child.job.stack, []).append(block)
            report({**group.name, "stack": child.job.stack, "round": number + 1, "block": block})


def _end(group: Group, report: Report) -> None:
    for child in list(group.children):
        try:
            group.peaks[child.job.stack] = child.end(BLOCK_SECONDS)["peak_mib"]
        except (SystemExit, OSError) as error:
            _drop(group, child, error, report)


def _drop(group: Group, child: Child, error: BaseException, report: Report) -> None:
    report({**group.name, "stack": child.job.stack, "error": str(error)[-1500:]})
    group.children.remove(child)
    child.kill()


def _summarise(group: Group, settings: Settings, report: Report) -> None:
    speeds = {
        stack: statistics.median(block["texts"] / block["seconds"] for block in blocks)
        for stack, blocks in group.blocks.items()
    }
    best = max((speed for stack, speed in speeds.items() if stack.startswith("trainer")), default=None)
    for stack, blocks in group.blocks.items():
        tokens = statistics.median(block["tokens"] / block["seconds"] for block in blocks)
        row = {
            **group.name,
            "stack": stack,
            "texts_per_second": round(speeds[stack], 1),
            "tokens_per_second": round(tokens),
            "tokens_per_step": round(statistics.mean(b["tokens"] / b["steps"] for b in blocks), 1),
            "step_ms": round(1e3 * statistics.median(b["seconds"] / b["steps"] for b in blocks), 3),
            "spread": [round(b["texts"] / b["seconds"] / speeds[stack], 3) for b in blocks],
            "peak_mib": group.peaks.get(stack),
        }
        row["ratio_to_trainer"] = _ratio(speeds[stack], speeds.get("trainer"))
        row["ratio_to_best_trainer"] = _ratio(speeds[stack], best)
        report(row | _utilisation(tokens, settings, group.model))


def _utilisation(tokens: float, settings: Settings, model: str) -> dict[str, Any]:
    """Model FLOP utilisation: six operations per token and number of a matrix, forward and backward."""
    tflops = tokens * 6 * matrix_parameters(settings.model(model)) / 1e12
    measured = measured_tflops(Path(settings.out))
    return {
        "model_tflops": round(tflops, 3),
        "share_of_nominal": round(tflops / NOMINAL_TFLOPS, 4),
        "share_of_measured": round(tflops / measured, 4) if measured else None,
    }


def _ratio(one: float, other: float | None) -> float | None:
    return round(one / other, 3) if other else None
