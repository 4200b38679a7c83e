"""A model folder put on the Hugging Face hub, with a token that is typed for this once and kept nowhere."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.child_process import ask
from core.base.errors import UserError
from core.base.home import PROJECT
from core.learning.pretrained import WEIGHTS

CARD = "README.md"

LONGEST_NAME = 96
"""Signs of owner and name together, as the hub has it."""

PATIENCE_SECONDS = 60.0
"""How long the hub may be silent, at any one step, before it counts as out of reach."""

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_REPO_ID = re.compile(f"{_PART}/{_PART}")
LONGEST_TOKEN = 200
"""Signs."""

_TOKEN = re.compile(rf"[!-~]{{8,{LONGEST_TOKEN}}}")
"""Printable ASCII without blanks: nothing that could begin another line of a request."""

_NOT_PASSED_ON = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")


@dataclass(frozen=True)
class Repository:
    """Where a model goes on the hub."""

    id: str
    """owner/name"""
    token: str = field(repr=False)
    """One that may write there."""
    private: bool = True
    """Whether only the owner can see it."""
    endpoint: str | None = None
    """The hub's address; None is the one of `HF_ENDPOINT`, or huggingface.co."""


def push(
    folder: Path,
    card: str,
    to: Repository,
    progress: Callable[[str], None] = lambda step: None,
    extra: Mapping[str, Path] | None = None,
) -> str:
    """Create a model repository on the hub and put the folder there, in one commit.

    A process of its own does it, which gets the token through a pipe: it is in no command line, environment,
    file or log, and gone with that process. Until the commit, which comes last, nobody sees a file.

    Args:
        folder: a Hugging Face folder; its files are taken, no links and no folders in it.
        card: becomes README.md.
        to: it must be new, or hold nothing yet.
        progress: told each step in words; what it raises ends the push.
        extra: more files by their path in the repository, such as onnx/model.onnx.

    Returns:
        The address of the repository.

    Raises:
        UserError: the name or the token has not the form of one, the token is refused or may not write there,
            the name is taken, the hub cannot be reached, or it refuses the files. The token is in no message.
    """
    check_repo_id(to.id)
    token = to.token.strip()
    _check_token(token)
    request = {
        "files": {path: str(file.resolve()) for path, file in _files(folder, extra or {}).items()},
        "card": card,
        "repo_id": to.id,
        "token": token,
        "private": to.private,
        "endpoint": to.endpoint,
        "patience": PATIENCE_SECONDS,
    }
    return _sent(request, progress)


def check_repo_id(repo_id: str) -> None:
    """Refuse what is no name of a repository.

    Raises:
        UserError: it is none.
    """
    bad = "--" in repo_id or ".." in repo_id or repo_id.endswith((".git", ".", "-"))
    if len(repo_id) > LONGEST_NAME or not _REPO_ID.fullmatch(repo_id) or bad:
        raise UserError(
            f"a name like owner/name, of letters, digits, - _ and . ({LONGEST_NAME} signs at most)",
            "another one",
            "Give your user name on the hub, or an organisation's, a slash, and a new name.",
        )


def _check_token(token: str) -> None:
    if not _TOKEN.fullmatch(token):
        raise UserError(
            "an access token of the hub, such as hf_ and letters",
            "something else" if token else "none",
            "Make one with the right to write at huggingface.co/settings/tokens, and paste it.",
        )


def _files(folder: Path, extra: Mapping[str, Path]) -> dict[str, Path]:
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    files = {name: folder / name for name in names if name != CARD and not name.startswith(".")}
    if not {"config.json", WEIGHTS} <= set(files):
        raise UserError("a model folder with weights", "none in it", "Choose a run that has been trained.")
    return files | dict(extra)


def _sent(request: dict[str, Any], progress: Callable[[str], None]) -> str:
    with subprocess.Popen(
        [sys.executable, "-m", "core.serving.export.hub_sender"],
        cwd=PROJECT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            answer = ask(process, request, progress)
        finally:
            process.kill()
    if answer is None:
        raise UserError(
            "an upload that comes to its end",
            "one that broke off",
            "Try again: the hub shows nothing of it until all of it is there.",
        )
    return answer["address"]


def _environment() -> dict[str, str]:
    """Without any other token; and by the hub's plain protocol, whose files can be counted as they go."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    return kept | {
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
