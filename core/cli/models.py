"""The commands `predict`, `export` and `push`, and the models that commands name."""

import argparse
import atexit
import getpass
import os
import shutil
import sys
import tempfile
from pathlib import Path

from core.base.disk import full_is_said
from core.base.formatting import count
from core.cli import predict as predicting
from core.cli.arguments import MODEL_HELP, Commands, add_command, add_reading
from core.cli.reading import FILE_LIMITS, read_options
from core.runs.results import bundle_contents, exports
from core.runs.results.models import Model
from core.runs.training import store
from core.serving import imported_models

MOST_OF_A_TOKEN = 1000
"""Characters of standard input that are read for one."""


def predict(options: argparse.Namespace) -> int:
    """Label every row of a file or of standard input."""
    return predicting.predict(options, model_folder(options.model), read_options(options), FILE_LIMITS)


def export(options: argparse.Namespace) -> int:
    """Write a model as a file: weights, ONNX, a web page, or all in one bundle."""
    exports.export_model(find_model(options.model), options.format, options.out, _tell_step)
    print(f"written to {options.out}", file=sys.stderr)
    return 0


def _tell_step(step: str) -> None:
    print(step, file=sys.stderr)


def push(options: argparse.Namespace) -> int:
    """Put a run's model on the Hugging Face hub; the token is HF_TOKEN's, or typed, or read from a pipe."""
    from core.serving.export import hub

    hub.check_repo_id(options.to)
    run = store.find_run(options.run)
    folder, card = bundle_contents.weights_of(run), bundle_contents.card_of(run)

    print(hub.push(folder, card, hub.Repository(options.to, _token(), options.private), _tell_step))
    return 0


def _token() -> str:
    """Never of the command line, which every user of the machine can read while the command runs."""
    found = os.environ.get("HF_TOKEN")
    if found:
        return found
    if sys.stdin.isatty():
        return getpass.getpass("Access token of the hub (not shown): ")
    return sys.stdin.readline(MOST_OF_A_TOKEN)


def model_folder(name: str) -> Path:
    """The folder of the model that a name stands for; see `find_model`."""
    return find_model(name).folder


def find_model(name: str) -> Model:
    """The model that a run's id, a run's folder, a Hugging Face folder or a bundle stands for.

    Raises:
        UserError: there is no such run or it has no model, or the bundle is refused.
    """
    path = Path(name)
    if path.is_dir():
        folder = path / "model" if (path / "model").is_dir() else path
        return Model(path.name, path.resolve().name, folder, None)
    if path.is_file():
        return Model(path.name, path.stem, _unpacked(path), None)
    run = store.find_run(name)
    return Model(run.id, run.name, bundle_contents.weights_of(run), run)


def _unpacked(file: Path) -> Path:
    """The model folder of a bundle, which is kept no longer than this program runs."""
    place = Path(tempfile.mkdtemp(prefix="textuner-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    with full_is_said("the model", file.stat().st_size, place):
        found = imported_models.unpack(file, place)
    print(f"{count(found.not_taken, 'file')} of {file.name} not needed", file=sys.stderr)
    return place / imported_models.MODEL


def add_predict(commands: Commands) -> None:
    """The command `predict`."""
    command = add_command(commands, "predict", predict)
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    predicting.add_options(command)
    add_reading(command)


def add_export(commands: Commands) -> None:
    """The command `export`."""
    command = add_command(commands, "export", export)
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument("--format", choices=exports.FORMATS, required=True)
    command.add_argument("--out", type=Path, required=True, metavar="FILE")


def add_push(commands: Commands) -> None:
    """The command `push`."""
    command = add_command(commands, "push", push)
    command.add_argument("run", metavar="RUN")
    command.add_argument("--to", required=True, metavar="OWNER/NAME", help="a new repository on the hub")
    command.add_argument("--private", action="store_true", help="only you can see it")
