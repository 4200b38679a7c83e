"""Locks that say who is alive: files that a process holds for as long as it lives, whatever ends it."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # A module or nothing has no type of its own.

from filelock import Timeout, lock_descriptor

_POLL_SECONDS = 0.05
# A link in the place of a lock would lock something else; Windows has no such switch, and no such links.
NO_LINK = getattr(os, "O_NOFOLLOW", 0)

# Trying a lock takes it for an instant: two readers of one process must not take each other for its holder.
_probe = threading.Lock()


class LockGone(Exception):
    """The folder in which the lock lay has been moved away or deleted."""


def is_held(lock: Path) -> bool:
    """Whether another process, or another part of this one, holds the lock."""
    # Opened, not made: what is deleted meanwhile would come back with nothing but a lock in it.
    try:
        descriptor = os.open(lock, os.O_RDWR | NO_LINK)
    except FileNotFoundError:
        return False
    try:
        with _probe:
            return not _is_free(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def hold(lock: Path, timeout: float = -1) -> Iterator[None]:
    """Hold a lock, whose file is made if it is not there; its folder is not.

    filelock's own class makes the folder of a lock, too, and so would bring back what was deleted.

    Args:
        timeout: seconds to wait for it; below zero for ever.

    Raises:
        Timeout: somebody else holds it.
        LockGone: its folder is deleted.
    """
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666)
    except FileNotFoundError as error:
        raise LockGone(str(lock)) from error
    try:
        _wait_for(descriptor, lock, timeout)
        if not _lies_at(descriptor, lock):
            raise LockGone(str(lock))
        yield
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    if fcntl is None:
        return lock_descriptor(descriptor, blocking=False)
    try:
        # Shared: those who only look do not take each other for somebody at work.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _wait_for(descriptor: int, lock: Path, timeout: float) -> None:
    end = time.monotonic() + timeout
    while not lock_descriptor(descriptor, blocking=False):
        if timeout >= 0 and end <= time.monotonic():
            raise Timeout(str(lock))
        time.sleep(_POLL_SECONDS)


def _lies_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of this name: its folder may have been moved away."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
