"""Where everything that Textuner keeps lives on disk."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
"""The folder that holds this program: where its own processes start."""


def home() -> Path:
    """The root of all runs and data sets: `TEXTUNER_HOME`, else `~/.textuner`.

    Read at each call, so that a test or a second server can point elsewhere.
    """
    return Path(os.environ.get("TEXTUNER_HOME") or Path.home() / ".textuner").expanduser().resolve()
