"""Why work broke off, in words for the people who asked for it."""

from pathlib import Path

from core.base.disk import MAKE_ROOM, NoSpace, means_full
from core.base.errors import UserError
from core.base.memory import OutOfMemory, means_out_of_memory


def translate(
    error: Exception,
    noun: str,
    folder: Path,
    needed: int,
    room: str = MAKE_ROOM,
    batch_size: int | None = None,
) -> Exception:
    """The error for people that an error means: too little memory, a full disk; else the error itself.

    Args:
        noun: what was at work, "the training".
        folder: where its files go.
        needed: bytes that it needs there, by and large.
        room: what to do once the disk is full.
        batch_size: texts per batch, where smaller ones would help against lack of memory.
    """
    if isinstance(error, UserError):
        return error
    if means_out_of_memory(error):
        return OutOfMemory(noun, batch_size)
    if means_full(error):
        return NoSpace(f"the files of {noun}", needed, folder, room, error)
    return error


def reason_and_remedy(error: Exception, noun: str, remedy: str) -> tuple[str, str]:
    """What to say of an error; `remedy` is for one that is not for people."""
    if isinstance(error, UserError):
        return error.reason, error.remedy
    return f"{noun[0].upper()}{noun[1:]} broke off: {type(error).__name__}: {str(error)[:300]}", remedy
