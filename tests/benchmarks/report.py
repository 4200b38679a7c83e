"""From the blocks of all rounds to numbers, and from numbers to a table."""

import statistics
from typing import Any

from tests.benchmarks.workload import Job

LIMIT = "limit"

Rounds = list[dict[str, dict[str, Any]]]
"""By round and stack: steps, texts, tokens and seconds of one block."""


def summarise(jobs: list[Job], rounds: Rounds, peaks: dict[str, float]) -> dict[str, Any]:
    """Medians over the blocks, and medians of what was compared within each round.

    Args:
        peaks: MiB by stack.
    """
    stacks = [_stack(job, jobs, rounds, peaks) for job in jobs if job.stack != LIMIT]
    summary: dict[str, Any] = {"stacks": stacks, "rounds": len(rounds)}
    if LIMIT in rounds[0]:
        summary["limit"] = [
            _limit(rounds, batch) for batch in sorted(rounds[0][LIMIT]["step_seconds"], key=int)
        ]
    return summary


def speed_table(summary: dict[str, Any]) -> str:
    """Markdown: a row per stack."""
    baselines = list(summary["stacks"][0]["ratios"])
    shares = ["share of limit", "…, last layer short"] if "limit" in summary else []
    head = [
        "stack",
        "batch",
        "texts/s",
        "tokens/s",
        "peak MiB",
        *(f"× {name}" for name in baselines),
        *shares,
    ]
    lines = [_line(head), _line(["---"] + ["---:"] * (len(head) - 1))]
    for stack in summary["stacks"]:
        cells = [stack["stack"], str(stack["batch"]), f"{stack['texts_per_second']:.1f}"]
        cells += [f"{stack['tokens_per_second']:,.0f}", f"{stack['peak_mib']:,.0f}"]
        cells += [f"{stack['ratios'][name]:.2f}" for name in baselines]
        if shares:
            cells += [f"{share:.0%}" for share in stack["shares"]] if "shares" in stack else ["", ""]
        lines.append(_line(cells))
    for limit in summary.get("limit", []):
        lines.append(_limit_words(limit))
    return "\n".join(lines)


def accuracy_table(results: list[dict[str, Any]]) -> str:
    """Markdown: a row per stack, a column per seed.

    Args:
        results: one per stack and seed: stack, batch, seed, accuracy, seconds, peak_mib.
    """
    seeds = sorted({result["seed"] for result in results})
    head = ["stack", "batch", "accuracy", *(f"seed {seed}" for seed in seeds), "seconds", "peak MiB"]
    lines = [_line(head), _line(["---"] + ["---:"] * (len(head) - 1))]
    for stack in dict.fromkeys(result["stack"] for result in results):
        rows = sorted((r for r in results if r["stack"] == stack), key=lambda r: r["seed"])
        cells = [stack, str(rows[0]["batch"]), f"{100 * statistics.mean(r['accuracy'] for r in rows):.2f} %"]
        cells += [f"{100 * row['accuracy']:.2f}" for row in rows]
        cells.append(f"{statistics.mean(row['seconds'] for row in rows):.1f}")
        cells.append(f"{max(row['peak_mib'] for row in rows):,.0f}")
        lines.append(_line(cells))
    return "\n".join(lines)


def _stack(job: Job, jobs: list[Job], rounds: Rounds, peaks: dict[str, float]) -> dict[str, Any]:
    tokens = [_rate(blocks[job.stack], "tokens") for blocks in rounds]
    found = {
        "stack": job.stack,
        "batch": job.batch,
        "texts_per_second": statistics.median(_rate(blocks[job.stack], "texts") for blocks in rounds),
        "tokens_per_second": statistics.median(tokens),
        "peak_mib": peaks[job.stack],
        "ratios": {
            other.stack: statistics.median(
                _rate(blocks[job.stack], "texts") / _rate(blocks[other.stack], "texts") for blocks in rounds
            )
            for other in jobs
            if other.stack.startswith(("tutorial", "trainer"))
        },
        "blocks": [blocks[job.stack] for blocks in rounds],
    }
    if job.stack.startswith("engine") and LIMIT in rounds[0]:
        limits = [_limit_rates(blocks[LIMIT], job.batch) for blocks in rounds]
        found["shares"] = [
            statistics.median(rate / limit[i] for rate, limit in zip(tokens, limits, strict=True))
            for i in range(2)
        ]
    return found


def _rate(block: dict[str, Any], what: str) -> float:
    return block[what] / block["seconds"]


def _limit_rates(block: dict[str, Any], batch: int) -> list[float]:
    """Tokens per second: all layers in full, and with a short last layer."""
    tokens = round(batch * block["mean_tokens"])
    # JSON has made the batch sizes strings.
    return [tokens / seconds for seconds in block["step_seconds"][str(batch)]]


def _limit(rounds: Rounds, batch: str) -> dict[str, Any]:
    rates = [_limit_rates(blocks[LIMIT], int(batch)) for blocks in rounds]
    full, short = (statistics.median(values) for values in zip(*rates, strict=True))
    tokens = round(int(batch) * rounds[0][LIMIT]["mean_tokens"])
    return {"batch": int(batch), "tokens": tokens, "tokens_per_second": full, "short_last_layer": short}


def _limit_words(limit: dict[str, Any]) -> str:
    return (
        f"\nMatrix products alone, batch {limit['batch']} ({limit['tokens']:,} tokens a step): "
        f"{limit['tokens_per_second']:,.0f} tokens/s, "
        f"{limit['short_last_layer']:,.0f} with the last layer for the first token only."
    )


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
