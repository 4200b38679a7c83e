"""The model card: what a model is, what it was trained on, how good it is, and how to use it."""

from typing import Any

from core.data.datasets import Dataset
from core.data.fixes import done_to
from core.words import escape_markdown

USAGE = """import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
inputs = tokenizer(["A text to label."], truncation=True, padding=True, return_tensors="pt")
with torch.inference_mode():
    probabilities = model(**inputs).logits.softmax(dim=-1)[0]
print({model.config.id2label[i]: round(float(p), 4) for i, p in enumerate(probabilities)})
"""
"""Ten lines that label a text with nothing but transformers; run inside the unpacked folder."""


METADATA = """---
library_name: transformers
pipeline_tag: text-classification
tags:
- text-classification
---"""


def model_card(base: str, dataset: Dataset, settings: dict[str, Any], report: dict[str, Any] | None) -> str:
    """The README.md of an exported model, in Markdown with the hub's metadata block.

    Args:
        base: name of the pre-trained model for people.
        settings: those that are known of the training, by name.
        report: the run's scores; None when it was stopped or lost before it could be judged.
    """
    sections = [
        METADATA,
        f"# {_line(dataset.name)}",
        f"A text classifier with {len(dataset.label2id)} classes, "
        f"fine-tuned from {_line(base)} with Textuner.",
        "## Use\n\nUnpack the zip, go into the folder, and run:\n\n```python\n" + USAGE + "```",
        "## Classes\n\n" + "\n".join(f"- {_line(label)}" for label in dataset.label2id),
        "## Scores\n\n" + _scores(report),
        "## Data\n\n" + _data(dataset),
        "## Settings\n\n" + _table([(name, str(value)) for name, value in settings.items()], "Setting"),
    ]
    return "\n\n".join(sections) + "\n"


def _scores(report: dict[str, Any] | None) -> str:
    if report is None:
        return "Not judged: the training ended before its scores were taken."
    lines = []
    for name, words in (
        ("test", "Test texts, seen neither in training nor in choosing the weights"),
        ("validation", "Validation texts, by which the weights were chosen (flattering)"),
    ):
        scores = report.get(name)
        if scores:
            texts = f" ({scores['texts']:,})" if "texts" in scores else ""
            baseline = scores.get("majority_accuracy")
            lines.append(
                f"- {words}{texts}: accuracy {scores['accuracy']:.3f}, macro F1 {scores['macro_f1']:.3f}"
                + ("." if baseline is None else f"; always the most frequent class: accuracy {baseline:.3f}.")
            )
    return "\n".join(lines) or "No texts were held out, so there are no scores."


def _data(dataset: Dataset) -> str:
    removed = [f"- Removed: {count:,} {_line(what)}." for what, count in dataset.removed.items() if count]
    return "\n".join(
        [
            "- Texts: " + ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items()) + ".",
            f"- How they were split: {_line(dataset.how)}",
            *(f"- Mended: {_line(done.words)}." for done in done_to(dataset.source)),
            *removed,
            f"- Rows that could not be used: {dataset.rejected:,}.",
            f"- sha256 of the texts and labels: `{dataset.sha256}`",
        ]
    )


def _table(rows: list[tuple[str, str]], first: str) -> str:
    return f"| {first} | Value |\n|---|---|\n" + "\n".join(
        f"| {name} | {_line(value)} |" for name, value in rows
    )


def _line(text: str) -> str:
    return escape_markdown(" ".join(text.split()))
