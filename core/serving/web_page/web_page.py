"""A classifier as one HTML file that answers in the browser, without a server or a network."""

import base64
import gzip
import hashlib
import html
import json
import re
from pathlib import Path

from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.learning.evaluation.calibration import read_calibration
from core.serving.web_page import web_runtime, word_pieces

LARGEST_MODEL = 300_000_000
"""Bytes of an ONNX file. A browser's longest string is about 500 MB."""

_HERE = Path(__file__)
_MARK = re.compile("@@([A-Z]+)@@")


def web_page_refusal(folder: Path) -> str | None:
    """Why this model folder cannot become a page, as a noun phrase; None when it can. No network is asked."""
    return word_pieces.refusal(folder)


def write_web_page(onnx: Path, folder: Path, out: Path, title: str) -> None:
    """Write one HTML file with model, tokenizer and runtime inside; it opens from the disk, offline.

    The page answers as onnxruntime does for one text at a time; its policy (CSP) allows no connection. In
    Chromium, MiniLM-L6 on SST-2: probabilities within 2e-7 in float32 (34 texts); within 0.014 in int8 (76
    texts, all labels equal), where the last digit of a float32 decides roundings: factors of 1 + 1e-6 on the
    norms' weights move onnxruntime's own answers by up to 0.07.

    Args:
        onnx: what `export_onnx` wrote, int8 best: the page holds the whole file.
        folder: the model folder, for tokenizer, class names and calibration.
        title: what the page is called; any text.

    Raises:
        UserError: the page cannot be made of this tokenizer, the model is too large, or the browser's runtime
            is not at hand and cannot be fetched. No file is left then.
    """
    _check(onnx, folder)
    runtime = web_runtime.runtime_files()
    style, code = _text("web_page.css"), word_pieces.CODE.read_text("utf-8") + _text("web_page.js")
    parts = {
        "TITLE": html.escape(" ".join(title.split())),
        "POLICY": _policy(style, code),
        "STYLE": style,
        "CODE": code,
        "ABOUT": _about(folder),
        "MODEL": _packed(onnx.read_bytes()),
        "SCRIPT": _packed(runtime[web_runtime.SCRIPT]),
        "BINARY": _packed(runtime[web_runtime.BINARY]),
    }
    # In one pass: what is put in is not looked at again.
    page = _MARK.sub(lambda mark: parts[mark[1]], _text("web_page.html")).encode()
    with full_is_said("the page", len(page), out.parent), whole_file(out) as draft:
        draft.write_bytes(page)


def _check(onnx: Path, folder: Path) -> None:
    refused = web_page_refusal(folder)
    if refused:
        raise UserError(
            "a tokenizer of word pieces, as BERT, MiniLM and DistilBERT have it",
            refused,
            "Take the ONNX file with predict.py instead; transformers.js runs it in a browser, too.",
        )
    size = onnx.stat().st_size
    if size > LARGEST_MODEL:
        raise UserError(
            f"an ONNX file of at most {LARGEST_MODEL // 10**6} MB",
            f"{size // 10**6} MB",
            "Take the int8 model, or a smaller one.",
        )


def _about(folder: Path) -> str:
    names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    calibration = read_calibration(folder)
    about = {
        "labels": [names[str(number)] for number in range(len(names))],
        "temperature": calibration.temperature,
        "threshold": calibration.threshold,
        "tokenizer": word_pieces.tables(folder),
    }
    # ASCII without "<": nothing in it ends the script element that it stands in.
    return json.dumps(about, separators=(",", ":")).replace("<", "\\u003c")


def _policy(style: str, code: str) -> str:
    scripts = f"'sha256-{_hash(code)}' blob: 'wasm-unsafe-eval'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'sha256-{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()


def _text(name: str) -> str:
    return _HERE.with_name(name).read_text(encoding="utf-8")
