"""What several commands take: the columns of a file, how it is read, and the words of their help."""

import argparse
from collections.abc import Callable
from typing import Any

JSON_HELP = "last line of output: one JSON object"
MODEL_HELP = "a run's id, a folder with a model, or a bundle (.zip)"

Commands = Any
"""What `add_subparsers` gives, to which commands are added; argparse's own type is private."""

Command = Callable[[argparse.Namespace], int]
"""Does what its options say and returns the exit code."""


def add_command(commands: Commands, name: str, function: Command) -> argparse.ArgumentParser:
    """A command whose words of help are the docstring of its function."""
    words = function.__doc__ or ""
    command = commands.add_parser(name, help=words.rstrip("."), description=words)
    command.set_defaults(command=function)
    return command


def add_columns(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The columns of the texts, one or several, and the column of the labels."""
    command.add_argument(
        "--text",
        required=required,
        default=None if required else [],
        action="append",
        metavar="COL",
        help="text column; may be given several times",
    )
    command.add_argument("--label", required=required, metavar="COL", help="label column")


def add_reading(command: argparse.ArgumentParser) -> None:
    """One option per field of `ReadOptions`: how to read the file where the guess is wrong."""
    command.add_argument("--encoding", metavar="NAME", help="such as utf-8 or cp1252; default: a guess")
    command.add_argument(
        "--delimiter", metavar="SIGN", help='between columns; "tab", or "none" for one column'
    )
    command.add_argument("--quotechar", metavar="SIGN", help='around fields; "none" if there is none')
    command.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        dest="has_header",
        help="the first row names the columns",
    )
    command.add_argument(
        "--skip-lines", type=int, dest="skipped_lines", metavar="N", help="lines above the table"
    )
    command.add_argument("--sheet", metavar="NAME", help="which sheet of a workbook")
    command.add_argument("--member", metavar="NAME", help="which file of a zip archive")
