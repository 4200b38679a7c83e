"""python -m core: train, use and list classifiers without a browser; the same engine and the same runs."""

import argparse
import logging
import sys
from collections.abc import Sequence

from core.base.errors import UserError
from core.cli import checks, models, results, runs, training

_COMMANDS = (
    training.add_train,
    training.add_forecast,
    checks.add_check,
    models.add_predict,
    results.add_evaluate,
    results.add_compare,
    results.add_report,
    models.add_export,
    models.add_push,
    runs.add_resume,
    runs.add_wait,
    runs.add_stop,
    runs.add_delete,
    checks.add_study,
    runs.add_runs,
    training.add_device,
)
"""In the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 on success alone."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        return options.command(options)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in _COMMANDS:
        add(commands)
    return parser
