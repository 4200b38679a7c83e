"""JSON files of ours: written whole or not at all, and read as what anybody may have put there."""

import json
from pathlib import Path
from typing import Any

from core.base.disk import whole_file

NO_JSON_OF_OURS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What reading such a file, and taking from it what should be there, can raise."""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON so that the file is there whole or not at all.

    In letters that people can read. What came out of a person's file may hold half of a character, which no
    encoding has: it is written as JSON spells it, and is the same when it is read again.

    Raises:
        ValueError: a number that is none.
    """
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
    with whole_file(path) as draft:
        # For half of a character, the escape of Python is that of JSON.
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_object(path: Path) -> dict[str, Any] | None:
    """The object in a file; None when there is no file, and empty when what is there is no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
