"""Uploaded files, copied out of the server's memory until they are saved as a data set."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.base import folders
from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.home import home
from core.base.ids import is_id, new_id
from core.base.json_forms import parse_as, read_as
from core.data.labels import ColumnMapping
from core.data.quality.fixes import Fix

logger = logging.getLogger(__name__)

KEPT_SECONDS = 24 * 3600
MOST_TABLE_MB = 50


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
    folder = _root() / new_id()
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
    folder = _root() / id if is_id(id) else None
    try:
        if folder is None:
            raise ValueError("not the form of an id")
        name = read_as(folder / "upload.json", dict[str, str])["name"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            "an uploaded file", "none that is kept under this link", "Upload the file again."
        ) from error
    return Upload(id, name, folder / "content")


def delete_upload(id: str) -> None:
    """Remove an upload; one that is gone already is fine."""
    if is_id(id):
        shutil.rmtree(_root() / id, ignore_errors=True)


def keep_note(upload: Upload, topic: str, facts: object) -> None:
    """Remember something about an upload, as JSON beside it, across reloads.

    Raises:
        NoSpace: the disk is full; what was noted before is as it was.
    """
    content = json.dumps(facts)
    note = _note_path(upload, topic)
    with full_is_said("this choice", len(content), note.parent), whole_file(note) as draft:
        draft.write_text(content, encoding="utf-8")


def note(upload: Upload, topic: str) -> object | None:
    """What was last noted on this topic, as JSON; None where nothing is, or nothing that can be read."""
    try:
        return json.loads(_note_path(upload, topic).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("The note on %r of an upload cannot be read: %s", topic[:40], error)
        return None


def kept_fixes(upload: Upload, mapping: ColumnMapping) -> tuple[Fix, ...]:
    """The fixes that were chosen for these columns of an upload; none where they cannot be read."""
    facts = note(upload, _fixes_topic(mapping))
    try:
        return () if facts is None else tuple(parse_as(facts, list[Fix]))
    except (ValueError, UserError) as error:
        logger.warning("The fixes of an upload cannot be read: %s", error)
        return ()


def keep_fixes(upload: Upload, mapping: ColumnMapping, fixes: Iterable[Fix]) -> None:
    """Remember the fixes that were chosen for these columns.

    Raises:
        NoSpace: the disk is full; the fixes are as they were.
    """
    keep_note(upload, _fixes_topic(mapping), [fix.facts() for fix in fixes])


def _fixes_topic(mapping: ColumnMapping) -> str:
    return json.dumps(["fixes", mapping.text, mapping.label])


def _note_path(upload: Upload, topic: str) -> Path:
    name = hashlib.sha256(topic.encode("utf-8", "surrogatepass")).hexdigest()
    return upload.path.with_name(f"{name}.json")


def _root() -> Path:
    return home() / "uploads"


def _remove_old() -> None:
    folders.sweep(_root(), "*", age=KEPT_SECONDS)
