"""The ids of runs, data sets, uploads and labellings: names of their folders, and parts of links."""

import re
import secrets

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def new_id() -> str:
    """An id that nobody can guess: 128 random bits."""
    # On a command line what begins with a dash is an option.
    while (id := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return id


def is_id(value: object) -> bool:
    """Whether it looks like one, and so can be the name of a folder whatever a link says."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None
