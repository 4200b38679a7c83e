"""The model card: what a model is, what it was trained on, how good it is, its limits, and how to use it.

Names of data sets, files and labels are other people's text: in the metadata block they are values that
PyYAML quotes, without marks that mean something elsewhere; in the rest, Markdown that shows as itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.base.formatting import count
from core.data.storage.datasets import Dataset
from core.serving.export.model_card.limits import limits_of
from core.serving.export.model_card.markdown import bullets, escaped
from core.serving.export.model_card.metadata import card_metadata
from core.serving.export.model_card.scores import (
    calibration_section,
    classes_section,
    collapse_warning,
    scores_section,
)
from core.serving.export.model_card.sources import Origin, look_at
from core.serving.export.model_card.training import data_section, training_section

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
"""Ten lines that label a text with nothing but transformers; run inside the model's folder."""


def model_card(
    base: str,
    dataset: Dataset,
    settings: Mapping[str, Any],
    report: Mapping[str, Any] | None,
    origin: Origin | None = None,
) -> str:
    """The README.md of an exported model, in Markdown with the hub's metadata block.

    https://github.com/huggingface/hub-docs/blob/main/modelcard.md

    Args:
        base: name of the pre-trained model for people.
        settings: those that are known of the training, by name.
        report: the run's scores (see `report_json.sound_report`); None when it was stopped or lost before it
            could be judged. Earlier versions wrote fewer of them.
    """
    origin, report = origin or Origin(), report or {}
    seen = look_at(dataset)
    sections = [
        f"---\n{card_metadata(dataset, report, origin, seen).to_yaml()}\n---",
        f"# {escaped(dataset.name)}",
        f"A text classifier with {count(len(dataset.label2id), 'class', 'classes')}, "
        f"fine-tuned from {escaped(base)} with Textuner.",
        *collapse_warning(report),
        "## Use\n\n" + _use(origin.files),
        "## Scores\n\n" + scores_section(report, origin.baseline),
        "## Classes\n\n" + classes_section(dataset, report),
        "## How sure it is\n\n" + calibration_section(report),
        "## Limits\n\n" + bullets(limits_of(dataset, settings, report, origin.baseline, seen)),
        "## Data\n\n" + data_section(dataset),
        "## Training\n\n" + training_section(settings, report, origin),
        "## Licence\n\nNobody has chosen one for this model. Whoever publishes it has to look at those of "
        "the pre-trained model and of the data.",
    ]
    return "\n\n".join(sections) + "\n"


def _use(files: Sequence[str]) -> str:
    parts = ["In the folder of this file:\n\n```python\n" + USAGE + "```"]
    if "predict.py" in files:
        parts.append(
            "Without PyTorch, `predict.py` asks the ONNX file; it needs onnxruntime, tokenizers and "
            'numpy:\n\n```bash\npython predict.py "A text to label."\n```'
        )
    if onnx := [name for name in files if name.endswith(".onnx")]:
        parts.append("ONNX: " + ", ".join(map(escaped, onnx)) + ".")
    if pages := [name for name in files if name.endswith(".html")]:
        parts.append(
            "In a browser, without a server: open " + ", ".join(map(escaped, pages)) + " from the disk."
        )
    return "\n\n".join(parts)
