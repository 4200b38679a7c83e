"""Weights of a Hugging Face file into a network's, whatever prefix and spelling the file has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from core.base.errors import UserError
from core.learning.models.bert_family.architectures import Architecture


def configure_classes(
    config: dict[str, Any], architecture: Architecture, label2id: dict[str, int] | None
) -> dict[str, Any]:
    """A config.json's content with these classes; None leaves those that it has."""
    if label2id is None:
        return config
    return config | {
        "architectures": [architecture.transformers_class],
        "problem_type": "single_label_classification",
        "label2id": label2id,
        "id2label": {str(number): label for label, number in label2id.items()},
        "dtype": "float32",
    }


def class_names(config: dict[str, Any]) -> list[str]:
    """The classes of a config.json in the order of their numbers."""
    return [config["id2label"][str(i)] for i in range(len(config["id2label"]))]


@torch.no_grad()
def read_weights(
    file: Path, targets: Mapping[str, Tensor], architecture: Architecture, new_head: bool
) -> None:
    """Fill each target with the file's weight of its name.

    Args:
        targets: name in a Hugging Face state dict → the weight to fill.
        new_head: whether the head's classes are others than the file's: what the file has not, or has for
            its own classes, stays as it is.

    Raises:
        UserError: a weight is missing or has another shape than the configuration says.
    """
    with safe_open(file, framework="pt") as weights:
        stored = {_usual(name): name for name in weights.keys()}  # noqa: SIM118
        prefix = f"{architecture.family.prefix}."
        for name, target in targets.items():
            # A bare encoder's names lack the prefix, in most files.
            found = stored.get(name) or stored.get(name.removeprefix(prefix))
            is_head = name.rpartition(".")[0] in architecture.family.head
            is_classes = name.startswith(f"{architecture.family.head[1]}.")
            if new_head and is_head and (found is None or is_classes):
                continue
            value = weights.get_tensor(found) if found else None
            if value is None or value.shape != target.shape:
                raise _unfit(file, name, tuple(target.shape), value)
            target.copy_(value)


def _usual(name: str) -> str:
    # The oldest files call a norm's weight and bias by the names of the paper.
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _unfit(file: Path, name: str, shape: tuple[int, ...], found: Tensor | None) -> UserError:
    return UserError(
        f"a weight {name} of shape {list(shape)} in {file.name}",
        f"one of shape {list(found.shape)}" if found is not None else "no such weight",
        "Choose another model, or replace the folder by one whose config.json fits its weights.",
    )
