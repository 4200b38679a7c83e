"""What takes long or much memory is done by a process of its own, which answers in lines of JSON."""

import json
from collections.abc import Callable
from subprocess import Popen
from typing import Any

from core.base.errors import UserError


def ask(
    process: Popen[str], request: dict[str, Any], progress: Callable[[str], None]
) -> dict[str, Any] | None:
    """Give a process its request, and follow it to the end of what it says.

    It reads one JSON object from standard input. It writes one a line: {"step": words} as it goes on, and at
    last {"error": [expected, found, remedy]} or its answer.

    Args:
        process: with both ends piped as text.
        progress: told each step.

    Returns:
        The answer; None when it broke off.

    Raises:
        UserError: what the process says went wrong.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # ASCII only, so that even half of a character pair gets through.
        json.dump(request, process.stdin)
        process.stdin.close()
    except BrokenPipeError:
        return None
    answer = None
    for line in process.stdout:
        event = json.loads(line)
        if "error" in event:
            raise UserError(*event["error"])
        if "step" in event:
            progress(event["step"])
        else:
            answer = event
    return answer
