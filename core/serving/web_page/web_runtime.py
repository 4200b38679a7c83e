"""onnxruntime-web, which runs an ONNX file in a browser: fetched once, checked, and kept.

Its files (14 MB) are no part of this project. A folder that has them is named by `TEXTUNER_ONNXRUNTIME_WEB`
(the `dist` of the npm package); otherwise they come from a public copy of that package.
"""

import hashlib
import http.client
import logging
import os
import time
import urllib.request
from pathlib import Path

from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.home import home

log = logging.getLogger(__name__)

VERSION = "1.30.0"
ADDRESS = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"
FOLDER = "TEXTUNER_ONNXRUNTIME_WEB"

SCRIPT, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    BINARY: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Of the npm package's files."""

PATIENCE_SECONDS = 10.0
"""Without a byte from the server."""
LONGEST_SECONDS = 180.0
"""For one file."""
LARGEST = 20_000_000
"""Bytes of one file."""

_CHUNK = 1 << 16
_REMEDY = (
    f"Try again with a network, or set {FOLDER} to the dist folder of the npm package "
    f"onnxruntime-web {VERSION}. Everything else can still be exported."
)


def runtime_files() -> dict[str, bytes]:
    """Content by file name of `SHA256`, from the folder that is set, the cache, or the network.

    Raises:
        UserError: a file is not what it should be, or cannot be fetched.
    """
    return {name: _file(name, expected) for name, expected in SHA256.items()}


def _file(name: str, expected: str) -> bytes:
    own = os.environ.get(FOLDER)
    kept = Path(own) / name if own else home() / "cache" / f"onnxruntime-web-{VERSION}" / name
    content = kept.read_bytes() if kept.is_file() else None
    if content is not None and _sha256(content) == expected:
        return content
    if own:
        found = "no such file" if content is None else f"sha256 {_sha256(content)[:12]}…"
        raise UserError(f"{name} with sha256 {expected[:12]}… in {own}", found, _REMEDY)
    content = _fetched(name, expected)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with full_is_said(name, len(content), kept.parent), whole_file(kept) as draft:
        draft.write_bytes(content)
    return content


def _fetched(name: str, expected: str) -> bytes:
    log.info("fetching %s", ADDRESS + name)
    try:
        with urllib.request.urlopen(ADDRESS + name, timeout=PATIENCE_SECONDS) as answer:
            content = _read(answer, name)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"{name} from {ADDRESS}", f"no answer ({error})", _REMEDY) from error
    if _sha256(content) != expected:
        raise UserError(
            f"{name} with sha256 {expected[:12]}… from {ADDRESS}",
            f"sha256 {_sha256(content)[:12]}…",
            _REMEDY,
        )
    return content


def _read(answer: http.client.HTTPResponse, name: str) -> bytes:
    end, content = time.monotonic() + LONGEST_SECONDS, bytearray()
    while piece := answer.read1(_CHUNK):
        content += piece
        if len(content) > LARGEST:
            raise UserError(f"{name} of at most {LARGEST:,} bytes", "a larger file", _REMEDY)
        if time.monotonic() > end:
            raise UserError(f"{name} within {LONGEST_SECONDS:g} s", f"{len(content):,} bytes of it", _REMEDY)
    return bytes(content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
