"""What a model was trained on, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from core.base.errors import UserError
from core.base.formatting import count, duration, size
from core.data.quality.fixes import done_to
from core.data.storage.datasets import Dataset, read_rejected
from core.serving.export.model_card.markdown import as_code, bullets, escaped, plain, table
from core.serving.export.model_card.sources import Origin

SHOWN_REASONS = 20

_PACKAGES = ("torch", "transformers", "tokenizers")


def data_section(dataset: Dataset) -> str:
    """The texts, how they were split, and what was changed or left out."""
    return bullets(
        [
            "Texts: "
            + ", ".join(f"{number:,} {escaped(part)}" for part, number in dataset.counts.items())
            + ".",
            f"How they were split: {escaped(dataset.how)}",
            *_cleaned(dataset),
            *_left_out(dataset),
            f"sha256 of the texts and labels: {as_code(dataset.sha256)}",
        ]
    )


def _cleaned(dataset: Dataset) -> list[str]:
    done = [f"Mended: {escaped(one.words)}." for one in done_to(dataset.source)]
    return done or ["Nothing was changed: texts and labels are as in the file."]


def _left_out(dataset: Dataset) -> list[str]:
    try:
        reasons = Counter(plain(row.reason) for row in read_rejected(dataset))
    except UserError:
        return [f"Rows that could not be used: {dataset.rejected:,}."]
    removed = [f"Removed: {number:,} {escaped(what)}." for what, number in dataset.removed.items() if number]
    shown = reasons.most_common(SHOWN_REASONS)
    rest = reasons.total() - sum(number for _, number in shown)
    return [
        *removed,
        f"Rows that could not be used: {dataset.rejected:,}.",
        *(f"Left out, {count(number, 'row')}: {escaped(reason)}." for reason, number in shown),
        *([f"Left out for other reasons: {count(rest, 'row')}."] if rest else []),
    ]


def training_section(settings: Mapping[str, Any], report: Mapping[str, Any], origin: Origin) -> str:
    """The settings, what the training took, and where the weights come from."""
    rows = [(name, str(value)) for name, value in settings.items()]
    return "\n\n".join(
        [
            table(("Setting", "Value"), rows),
            bullets([*_facts(report), f"Versions at the export: {_versions()}.", *_hashes(origin)]),
        ]
    )


def _facts(report: Mapping[str, Any]) -> Iterable[str]:
    if "device" in report:
        reason = f" ({escaped(report['hardware_reason'])})" if report.get("hardware_reason") else ""
        precision = f", {escaped(report['precision'])}" if "precision" in report else ""
        yield f"Hardware: {escaped(report['device'])}{precision}{reason}"
    if "train_seconds" in report:
        total = f", {duration(report['total_seconds'])} in all" if "total_seconds" in report else ""
        yield f"Time: {duration(report['train_seconds'])} of training{total}."
    if "steps" in report and "best_step" in report:
        yield f"Steps: {report['steps']:,}; the weights are those of step {report['best_step']:,}."
    if "samples_per_second" in report:
        yield f"Speed: {report['samples_per_second']:,.0f} texts per second."
    if "peak_memory_bytes" in report:
        yield f"Memory: {size(int(report['peak_memory_bytes']))} at most."


def _versions() -> str:
    return ", ".join(f"{name} {escaped(metadata.version(name))}" for name in _PACKAGES)


def _hashes(origin: Origin) -> list[str]:
    if not origin.weights_sha256:
        return []
    return [f"sha256 of model\\.safetensors: {as_code(origin.weights_sha256)}"]
