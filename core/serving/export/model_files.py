"""A fine-tuned model folder as files that other programs read."""

import zipfile
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.folders import bytes_on_disk
from core.learning.pretrained import WEIGHTS
from core.serving.imported_models import CARD, MODEL_FILES


def export_state_dict(folder: Path, out: Path) -> None:
    """Write the weights as a PyTorch state dict.

    The file loads with `torch.load(weights_only=True)` into the transformers class that the folder's
    config.json names under `architectures`.

    Raises:
        UserError: the folder has no weights.
    """
    _check(folder)
    with _said(folder, out), whole_file(out) as draft:
        torch.save(_weights(folder), draft)


def export_huggingface(folder: Path, card: str, out: Path) -> None:
    """Write a zip of a Hugging Face folder: configuration, weights, tokenizer, and the card as README.md.

    Raises:
        UserError: the folder has no weights.
    """
    _check(folder)
    # Weights are noise to a compressor: storing them is many times faster and hardly larger.
    with (
        _said(folder, out),
        whole_file(out) as draft,
        zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name in MODEL_FILES:
            if (folder / name).is_file():
                archive.write(folder / name, name)
        archive.writestr(CARD, card.encode("utf-8", "replace"))


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise UserError(
            "whole weights", f"damaged ones ({error})", "Choose another run, or train it again."
        ) from error


def _check(folder: Path) -> None:
    if not (folder / WEIGHTS).is_file():
        raise UserError(
            f"a model folder with {WEIGHTS}", "no weights in it", "Choose a run that has been trained."
        )


def _said(folder: Path, out: Path) -> AbstractContextManager[None]:
    return full_is_said("the exported model", bytes_on_disk(folder), out.parent)
