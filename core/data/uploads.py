"""Uploaded files, copied out of the server's memory until they are saved as a data set."""

import hashlib
import json
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from core import folders
from core.disk import full_is_said, whole_file
from core.errors import UserError
from core.home import home

KEPT_SECONDS = 24 * 3600
_ID = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True)
class Upload:
    """One uploaded file on disk. `name` is what its owner calls it: for showing, never for a path."""

    id: str
    name: str
    path: Path


def keep_upload(name: str, content: bytes) -> Upload:
    """Write the bytes of an upload to disk; uploads older than a day are removed on the way.

    Raises:
        NoSpace: the disk is full; nothing of the upload is left on it.
    """
    _remove_old()
    folder = _root() / secrets.token_urlsafe(16)
    try:
        with full_is_said("this file", len(content), _root()):
            folder.mkdir(parents=True)
            (folder / "content").write_bytes(content)
            # Written last: a folder without it is an upload that was cut short.
            with whole_file(folder / "upload.json") as draft:
                draft.write_text(json.dumps({"name": name[-200:]}), encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return find_upload(folder.name)


def find_upload(id: str) -> Upload:
    """The upload with this id.

    Raises:
        UserError: the id is malformed, or nothing complete is kept under it (any more).
    """
    folder = _root() / id if _ID.fullmatch(id) else None
    try:
        if folder is None:
            raise ValueError("not the form of an id")
        name = str(json.loads((folder / "upload.json").read_text(encoding="utf-8"))["name"])
        name.encode()  # Half a character, which no page can show, is a ValueError.
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            "an uploaded file", "none that is kept under this link", "Upload the file again."
        ) from error
    return Upload(id, name, folder / "content")


def delete_upload(id: str) -> None:
    """Remove an upload; one that is gone already is fine."""
    if _ID.fullmatch(id):
        shutil.rmtree(_root() / id, ignore_errors=True)


def result_path(upload: Upload, *made_with: str) -> Path:
    """Where to keep what was made of an upload, and whether it was made: the same words, the same file."""
    name = hashlib.sha256("\0".join(made_with).encode("utf-8", "surrogatepass")).hexdigest()
    return upload.path.with_name(f"{name}.parquet")


def _root() -> Path:
    return home() / "uploads"


def _remove_old() -> None:
    folders.sweep(_root(), "*", age=KEPT_SECONDS)
