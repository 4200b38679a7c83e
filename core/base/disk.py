"""A disk that fills up: known from an error, said for people, and no half of a file left behind."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from core.base.errors import UserError

MAKE_ROOM = "Make room: delete runs or data sets that nobody needs any more, or other files on that disk."

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("No space left", "File too large", "quota exceeded")
"""What libraries say that have no number for it."""


class NoSpace(UserError):
    """There is no room on the disk.

    Args:
        what: what needs it, as a noun phrase.
        needed: bytes.
        folder: where it should go; it need not be there yet.
        remedy: what to do.
        cause: the system's refusal, if there was one. A limit or a quota may be reached before the disk is.
    """

    def __init__(
        self,
        what: str,
        needed: int,
        folder: Path,
        remedy: str = MAKE_ROOM,
        cause: Exception | None = None,
    ) -> None:
        free = free_bytes(folder)
        found = in_words(free, needed, up=False)
        if cause is not None and free >= needed:
            words = (getattr(cause, "strerror", None) or str(cause)).strip()
            found = f"a limit on what may be written ({words}), although {found} are free on the disk"
        super().__init__(f"{in_words(needed, needed)} of room for {what} in {folder}", found, remedy)
        self.needed = needed


def means_full(error: BaseException) -> bool:
    """Whether an error says that the disk, a quota or a limit on files is reached."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return any(words in str(error) for words in _FULL_WORDS)


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written to the disk of a folder, which need not be there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def in_words(number: int, needed: int, up: bool = True) -> str:
    """Bytes in the unit that suits `needed`; what is needed is rounded up, and what is there is not."""
    unit, name = (10**6, "MB") if needed >= 10**6 else (10**3, "kB")
    return f"{-(-number // unit) if up else number // unit:,} {name}"


@contextmanager
def full_is_said(what: str, needed: int, folder: Path, remedy: str = MAKE_ROOM) -> Iterator[None]:
    """Turn the refusal of a full disk into an error for people.

    Raises:
        NoSpace: something in the block met a full disk.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not means_full(error):
            raise
        raise NoSpace(what, needed, folder, remedy, error) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place once the block is done and the disk has it.

    Whatever happens in between: what was there before is as it was, and no half of a file is left.
    """
    # Two may write the same file at the same time: the last one to end has it.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        yield draft
        force(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def force(path: Path) -> None:
    """Wait until the disk has what was written to a file, or which names a folder holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
