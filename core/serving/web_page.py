"""A classifier as one HTML file that answers in the browser, without a server or a network."""

from pathlib import Path

from core.errors import UserError


def web_page_refusal(folder: Path) -> str | None:
    """Why this model folder cannot become a page, in words; None when it can. No network is asked."""
    return "Not built yet."


def write_web_page(onnx: Path, folder: Path, out: Path, title: str) -> None:
    """Write one HTML file with model, tokenizer and runtime inside; it opens from the disk, offline.

    Args:
        onnx: what `export_onnx` wrote, int8 best: the page holds the whole file.
        folder: the model folder, for tokenizer, class names and calibration.
        title: what the page is called; any text.

    Raises:
        UserError: the page cannot be made of this tokenizer, or the browser's runtime is not at hand and
            cannot be fetched. No file is left then.
    """
    raise UserError("a page", "none yet", "Come back later.")
