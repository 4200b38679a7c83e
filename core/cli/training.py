"""The commands `train`, `forecast` and `device`: what is trained, how long it takes, and where."""

import argparse
import json
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.cli.arguments import JSON_HELP, Command, Commands, add_columns, add_command, add_reading
from core.cli.following import follow, tell_result
from core.cli.reading import read, read_options, tell_rejected
from core.data.labels import ColumnMapping, LabeledTexts, label_texts
from core.data.quality.checks import find_problems
from core.data.splits import SplitPlan, split_with_files
from core.data.storage.datasets import Dataset, delete_dataset, save_dataset
from core.data.tables import ReadOptions, RejectedRow
from core.learning import pretrained
from core.learning.config import SETTINGS, TrainingConfig
from core.learning.config import check as check_settings
from core.learning.suggestions import SUGGESTED, suggest
from core.runs.tasks import forecasts
from core.runs.training import queue


def train(options: argparse.Namespace) -> int:
    """Read files, submit a run, follow it to its end."""
    dataset = _save(options)
    run = queue.submit(_config(options, dataset), dataset)
    print(f"run {run.id} in {run.folder}", file=sys.stderr)
    if options.detach:
        print(json.dumps({"run": run.id, "folder": str(run.folder)}) if options.json else run.id)
        return 0
    follow(run)
    return tell_result(run, options.json)


def foresee(options: argparse.Namespace) -> int:
    """Say what a training would take on this machine, from a few measured steps."""
    dataset = _save(options)
    try:
        config = _config(options, dataset)
        check_settings(config)
        pretrained.check_length(config.model, config.max_length)
        found = forecasts.wait(dataset, config)
    finally:
        delete_dataset(dataset.id)
    if options.json:
        print(json.dumps({"seconds": found.seconds, **asdict(found)}))
        return 0
    rough = " (estimated: the model is not on this machine)" if found.estimated else ""
    busy = "" if found.quiet else "; the machine was busy: alone it is faster"
    print(f"about {forecasts.in_words(found)}{rough}{busy}")
    return 0


def _save(options: argparse.Namespace) -> Dataset:
    """The files of a training as a data set."""
    mapping = ColumnMapping(tuple(options.text), options.label)
    choice = read_options(options)
    labeled, rejected = _label(options.data, choice, mapping)
    parts: dict[str, LabeledTexts | None] = {}
    for name in ("validation", "test"):
        path = getattr(options, name)
        parts[name] = None
        if path:
            parts[name], more = _label(path, choice, mapping, labeled.label2id)
            rejected += more
    for problem in find_problems(labeled, rejected):
        if problem.severity == "error":
            raise UserError(problem.expected, problem.found, problem.remedy)
        print(f"warning: {problem.title}: {problem.found}", file=sys.stderr)
    splits = split_with_files(labeled, parts["validation"], parts["test"], SplitPlan(seed=options.seed))
    source = {"file": options.data.name, "text": list(options.text), "label": options.label}
    return save_dataset(options.data.stem, splits, rejected, source)


def _label(
    path: Path, choice: ReadOptions, mapping: ColumnMapping, label2id: dict[str, int] | None = None
) -> tuple[LabeledTexts, list[RejectedRow]]:
    """The labeled texts of a file, and every row of it that is none."""
    table = read(path, choice)
    labeled, unlabeled = label_texts(table, mapping, label2id)
    tell_rejected(unlabeled, path.name)
    return labeled, table.rejected + unlabeled


def _config(options: argparse.Namespace, dataset: Dataset) -> TrainingConfig:
    given = {field.name: getattr(options, field.name) for field in fields(TrainingConfig)}
    given = {name: value for name, value in given.items() if value is not None}
    model, texts = given.get("model", TrainingConfig.model), dataset.counts["train"]
    start = suggest(model, texts, len(dataset.label2id))
    config = replace(start, **given)
    if chosen := [f"{name} {getattr(start, name):g}" for name in SUGGESTED if name not in given]:
        print(f"suggested for this model and data: {', '.join(chosen)}", file=sys.stderr)
    return config


def device(options: argparse.Namespace) -> int:
    """Say where trainings run on this machine, and why."""
    from core.learning.hardware import choose_hardware, use_all_cores

    use_all_cores()
    hardware = asdict(choose_hardware())
    print(json.dumps(hardware) if options.json else f"{hardware['device']}: {hardware['reason']}")
    return 0


def add_train(commands: Commands) -> None:
    """The command `train`."""
    command = _add_training_command(commands, "train", train)
    command.add_argument("--detach", action="store_true", help="print the run's id, do not wait")


def add_forecast(commands: Commands) -> None:
    """The command `forecast`."""
    _add_training_command(commands, "forecast", foresee)


def _add_training_command(commands: Commands, name: str, function: Command) -> argparse.ArgumentParser:
    """A command that takes the files and the settings of a training."""
    command = add_command(commands, name, function)
    command.add_argument("data", type=Path, metavar="DATA.csv", help="training texts and labels")
    add_columns(command)
    add_reading(command)
    for part, words in (("test", "to judge the result"), ("validation", "to choose the best weights by")):
        words += "; without it, 10 %% of DATA.csv are held out"
        command.add_argument(f"--{part}", type=Path, metavar="FILE.csv", help=f"texts and labels {words}")
    _add_settings(command)
    command.add_argument("--json", action="store_true", help=JSON_HELP)
    return command


def _add_settings(command: argparse.ArgumentParser) -> None:
    """One option per setting, so that nothing can be set on the page alone."""
    for name, setting in SETTINGS.items():
        default = getattr(TrainingConfig, name)
        suggested = ", unless model and data suggest another" if name in SUGGESTED else ""
        words: dict[str, Any] = {"help": f"default {default}{suggested}"}
        if isinstance(default, bool):
            words["action"] = "store_true"
        else:
            words["type"] = type(default)
            words["metavar"] = "NAME" if isinstance(default, str) else "N"
        if setting.choices:
            words["choices"] = setting.choices
            del words["metavar"]
        if name == "seed":
            words["default"] = default
        command.add_argument(f"--{name.replace('_', '-')}", **words)


def add_device(commands: Commands) -> None:
    """The command `device`."""
    add_command(commands, "device", device).add_argument("--json", action="store_true")
