"""How many examples hypothesis tries: all of them in CI, few while somebody waits."""

import os

IN_CI = bool(os.environ.get("CI"))
QUICK_EXAMPLES = 25


def examples(full: int) -> int:
    """The full number in CI, else a few."""
    return full if IN_CI else min(full, QUICK_EXAMPLES)
