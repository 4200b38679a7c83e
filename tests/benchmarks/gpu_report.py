"""From a file of results to Markdown tables, for this folder's README."""

from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]

Column = tuple[str, Callable[[Row], Any], str]
"""Heading, value, and format of the value."""


HIDDEN = ("section", "time", "traceback", "error")
"""Fields that say nothing of what was measured."""


def tables(results: Sequence[Row]) -> str:
    """All sections that have results, in a fixed order; what failed comes last."""
    parts = [_part(title, results) for title in PARTS]
    errors = [
        f"- {row['section']}, {_name(row)}: {row['error'].splitlines()[-1][:300]}"
        for row in results
        if "error" in row
    ]
    if errors:
        parts.append("\n".join(["Failed:", "", *errors]))
    return "\n\n".join(part for part in parts if part)


def _part(title: str, results: Sequence[Row]) -> str:
    section, wanted, columns = PARTS[title]
    # When a section was run again, the last result of each thing counts.
    last = {_name(row): row for row in results if row["section"] == section and wanted in row}
    if not wanted:
        rows = [row for row in results if row["section"] == section and "section_seconds" not in row]
        return (_facts if section == "facts" else _checks)(title, rows)
    if not last:
        return ""
    shown = [column for column in columns if any(column[1](row) is not None for row in last.values())]
    lines = [[heading for heading, _, _ in shown]]
    lines += [[_cell(value(row), form) for _, value, form in shown] for row in last.values()]
    return f"{title}:\n\n" + _markdown(lines)


def _facts(title: str, rows: Sequence[Row]) -> str:
    """A line per fact; of one that was found twice, the last."""
    facts = {
        name: _cell(value, "")
        for row in rows
        for name, value in row.items()
        if name not in HIDDEN and value not in ({}, None)
    }
    return f"{title}:\n\n" + _markdown([["what", "found"], *map(list, facts.items())]) if facts else ""


def _checks(title: str, rows: Sequence[Row]) -> str:
    """A line per check, named by its field `check`; the others in words."""
    lines = {
        str(row.get("check", i)): ", ".join(
            f"{name.replace('_', ' ')} {_cell(value, '')}"
            for name, value in row.items()
            if name not in (*HIDDEN, "check")
        )
        for i, row in enumerate(rows)
        if "error" not in row
    }
    return f"{title}:\n\n" + _markdown([["check", "found"], *map(list, lines.items())]) if lines else ""


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rest])


def _name(row: Row) -> str:
    """What a result is about, by which a later one takes its place."""
    names = ("model", "batch", "stack", "dtype", "workers", "data", "seed", "command", "kernels")
    return ", ".join(str(row[name]) for name in names if name in row)


def _cell(value: Any, form: str) -> str:
    if value is None:
        return ""
    return format(value, form) if form else str(value).replace("|", "\\|")


def _field(name: str) -> Callable[[Row], Any]:
    return lambda row: row.get(name)


def _columns(**forms: str) -> list[Column]:
    """A column per field, headed by the field's name in words."""
    return [(HEADINGS.get(name, name.replace("_", " ")), _field(name), form) for name, form in forms.items()]


HEADINGS = {
    "texts_per_second": "texts/s",
    "tokens_per_second": "tokens/s",
    "tokens_per_step": "tokens a step",
    "step_ms": "ms a step",
    "peak_mib": "peak MiB",
    "ratio_to_trainer": "× trainer",
    "ratio_to_best_trainer": "× best Trainer",
    "ratio_to_best_pipeline": "× best pipeline",
    "model_tflops": "model TFLOP/s",
    "share_of_nominal": "of 989 TFLOP/s",
    "share_of_measured": "of the card's products",
    "busy_ms": "GPU busy, ms",
    "kernels_per_step": "kernels a step",
    "tokeniser_texts_per_second": "tokeniser alone, texts/s",
}

_SHARES: list[Column] = [
    (
        "shares of the GPU's time",
        lambda row: ", ".join(f"{name} {share:.0%}" for name, share in row.get("shares", {}).items()),
        "",
    )
]

PARTS: dict[str, tuple[str, str, list[Column]]] = {
    "The machine": ("facts", "", []),
    "Whether it is right": ("correctness", "", []),
    "Training, beside the Trainer": (
        "speed",
        "texts_per_second",
        _columns(
            model="",
            batch="",
            stack="",
            texts_per_second=",.0f",
            tokens_per_second=",.0f",
            step_ms=".2f",
            peak_mib=",.0f",
            ratio_to_trainer=".2f",
            ratio_to_best_trainer=".2f",
            share_of_measured=".1%",
            share_of_nominal=".1%",
        ),
    ),
    "Where a step's time goes": (
        "profile",
        "shares",
        [*_columns(model="", batch="", step_ms=".2f", busy_ms=".2f", kernels_per_step=".0f"), *_SHARES],
    ),
    "Labels for many texts": (
        "prediction",
        "texts_per_second",
        _columns(
            model="",
            stack="",
            dtype="",
            batch="",
            workers="",
            texts_per_second=",.0f",
            tokens_per_second=",.0f",
            ratio_to_best_pipeline=".2f",
            tokeniser_texts_per_second=",.0f",
            labels_unlike_float32="",
            compared=",",
            labels_of_pipeline_unlike_float32="",
            of_pipeline=",",
        ),
    ),
    "From submitting to the first step, in seconds": (
        "first_step",
        "step_after_seconds",
        _columns(kernels="", queued_after_seconds="", started_after_seconds="", step_after_seconds=""),
    ),
    "Accuracy with the last weights": (
        "accuracy",
        "accuracy",
        _columns(data="", epochs="", stack="", seed="", accuracy=".2%"),
    ),
    "Means of it": (
        "accuracy",
        "mean_engine",
        _columns(data="", mean_engine=".2%", mean_trainer=".2%", points_above_trainer="+.2f"),
    ),
    "What a person types": (
        "commands",
        "command",
        _columns(
            command="",
            status="",
            device="",
            precision="",
            seconds="",
            test_accuracy=".2%",
            texts=",",
            labels_that_differ="",
            largest_difference_of_confidence=".1e",
            killed_at_step="",
            went_on_from_steps="",
            equal="",
            largest_difference=".1e",
        ),
    ),
}
"""By title: the section, a field that its rows have, and their columns."""
