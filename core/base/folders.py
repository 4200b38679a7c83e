"""Files and folders on disk: what they hold, how they are deleted, and what a crash leaves of them."""

import hashlib
import logging
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

from core.base.errors import UserError

log = logging.getLogger(__name__)

DRAFT, GRAVE = ".new-", ".deleted-"
"""How the names of folders begin that are still being written, or are being deleted."""

REPERMIT = "Let whoever looks after the machine set its permissions, or delete it there."
"""What to do about a folder that may not be deleted."""

LEFT_OVER_SECONDS = 24 * 3600
"""Age from which a draft or a grave is nobody's at work any more."""


def sha256_of(file: Path) -> str:
    """The hexadecimal sha256 of a file's content, which is read piece by piece."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def bytes_on_disk(path: Path) -> int:
    """Bytes of all files under a path. Links are not followed; what cannot be looked at counts as nothing."""
    if not _is_folder(path):
        return _size(path)
    return sum(
        _size(Path(folder, name)) for folder, _, names in os.walk(path, onerror=_tell) for name in names
    )


def move_to_trash(path: Path) -> Path:
    """Take a folder (or the file or link in its place) out of sight, in one move.

    Returns:
        Where it lies now, to be cleared. What a crash leaves there is swept later.

    Raises:
        UserError: it may not be moved.
    """
    # Another name each time: a copy that was brought back may be deleted again.
    grave = path.with_name(f"{GRAVE}{path.name}-{secrets.token_hex(4)}")
    try:
        path.rename(grave)
    except OSError as error:
        raise _undeletable(path, error) from error
    return grave


def clear(grave: Path) -> int:
    """Delete what was buried.

    Returns:
        Bytes freed.

    Raises:
        UserError: a part of it may not be deleted; the rest is.
    """
    size = bytes_on_disk(grave)
    try:
        if _is_folder(grave):
            shutil.rmtree(grave)
        else:
            grave.unlink()
    except OSError as error:
        raise _undeletable(grave, error) from error
    return size


def sweep(
    root: Path,
    *patterns: str,
    age: float = LEFT_OVER_SECONDS,
    spare: Callable[[Path], bool] = lambda path: False,
) -> int:
    """Delete what crashes left in a folder: drafts, graves, and what else matches the patterns.

    Args:
        age: seconds since its last change from which a left-over is nobody's any more.
        spare: whether to keep this one all the same.

    Returns:
        Bytes freed. What may not be deleted is logged, and stays.
    """
    freed = 0
    for pattern in (f"{DRAFT}*", f"{GRAVE}*", *patterns):
        for path in root.glob(pattern):
            if time.time() - _changed(path) > age and not spare(path):
                try:
                    freed += clear(path)
                except UserError as error:
                    log.warning("%s", error)
    return freed


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return time.time()


def _tell(error: OSError) -> None:
    log.warning("cannot look into a folder: %s", error)


def _undeletable(path: Path, error: OSError) -> UserError:
    return UserError(
        "a folder that may be deleted",
        f"{path.name}, which may not: {error.strerror or type(error).__name__}",
        REPERMIT,
    )
