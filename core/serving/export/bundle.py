"""The bundle: one zip with a classifier in every form, and what is needed to use and to judge it."""

import hashlib
import json
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.folders import bytes_on_disk
from core.learning.pretrained import FILES
from core.serving.export.predict_script import SCRIPT
from core.serving.imported_models import CARD, MANIFEST, MODEL_FILES

PREDICT, PAGE, REPORT_PAGE = "predict.py", "index.html", "report.html"
_CHUNK = 1 << 20


def write_bundle(folder: Path, card: str, others: Mapping[str, Path], out: Path) -> None:
    """Write a model folder, its card, predict.py and other files as one zip, with a manifest of them all.

    `manifest.json` gives the bytes and the sha256 of each file; `imported_models.unpack` takes the zip back.

    Args:
        folder: a Hugging Face folder with safetensors weights.
        card: becomes README.md.
        others: what else goes in, by its name in the zip (onnx/model.onnx, index.html, report.json …).

    Raises:
        UserError: the folder is not whole.
        NoSpace: the disk is full. No half of a file is left.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"a model folder with {', '.join(FILES)}", f"no {missing[0]}", "Choose a run that has weights."
        )
    files = {name: folder / name for name in MODEL_FILES if (folder / name).is_file()}
    files |= {PREDICT: SCRIPT, **others}
    room = bytes_on_disk(folder) + sum(map(bytes_on_disk, others.values()))
    # Weights are noise to a compressor: storing them is many times faster and hardly larger.
    with (
        full_is_said("the bundle", room, out.parent),
        whole_file(out) as draft,
        zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive,
    ):
        facts = {name: _add(archive, name, file) for name, file in files.items()}
        facts[CARD] = _add_text(archive, CARD, card)
        archive.writestr(MANIFEST, json.dumps({"made_by": "Textuner", "files": facts}, indent=2))


def _add(archive: zipfile.ZipFile, name: str, file: Path) -> dict[str, str | int]:
    digest = hashlib.sha256()
    entry = zipfile.ZipInfo(name, time.localtime()[:6])
    entry.external_attr = 0o644 << 16
    entry.file_size = file.stat().st_size
    with file.open("rb") as source, archive.open(entry, "w") as target:
        while piece := source.read(_CHUNK):
            digest.update(piece)
            target.write(piece)
    return {"sha256": digest.hexdigest(), "bytes": entry.file_size}


def _add_text(archive: zipfile.ZipFile, name: str, text: str) -> dict[str, str | int]:
    # Half of a character cannot be written.
    content = text.encode("utf-8", "replace")
    archive.writestr(name, content)
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
