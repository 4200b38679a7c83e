"""python -m core: train, use and list classifiers without a browser; the same engine and the same runs."""

import argparse
import atexit
import getpass
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.base.disk import full_is_said
from core.base.errors import UserError
from core.base.formatting import count, size
from core.cli import predict as predicting
from core.data.checking import Report, check_file
from core.data.labels import ColumnMapping, LabeledTexts, label_texts
from core.data.quality.checks import find_problems
from core.data.reading.files import read_table
from core.data.reading.read_options import choice_of
from core.data.splits import SplitPlan, split_with_files
from core.data.storage.datasets import Dataset, delete_dataset, find_dataset, save_dataset
from core.data.tables import Limits, ReadOptions, RejectedRow, Table
from core.learning import pretrained
from core.learning.config import SETTINGS, TrainingConfig
from core.learning.config import check as check_settings
from core.learning.suggestions import SUGGESTED, suggest
from core.runs.results import bundle_contents, cleaning, exports, outputs
from core.runs.results.models import Model
from core.runs.tasks import data_checks, forecasts
from core.runs.training import processes, queue, run_events, states, store
from core.runs.training.run import Run
from core.serving import imported_models

FILE_LIMITS = Limits(bytes=2 * 1024**3, rows=10_000_000)
"""Files named on the command line are the owner's own: larger ones than an upload are read."""

SHOWN_ROWS = 3

MOST_OF_A_TOKEN = 1000
"""Characters of standard input that are read for one."""

JSON_HELP = "last line of output: one JSON object"
MODEL_HELP = "a run's id, a folder with a model, or a bundle (.zip)"


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


def train(options: argparse.Namespace) -> int:
    """Read files, submit a run, follow it to its end."""
    dataset = _save(options)
    run = queue.submit(_config(options, dataset), dataset)
    print(f"run {run.id} in {run.folder}", file=sys.stderr)
    if options.detach:
        print(json.dumps({"run": run.id, "folder": str(run.folder)}) if options.json else run.id)
        return 0
    _follow(run)
    return _tell_result(run, options.json)


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
    choice = _choice(options)
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
    table = _read(path, choice)
    labeled, unlabeled = label_texts(table, mapping, label2id)
    _tell_rejected(unlabeled, path.name)
    return labeled, table.rejected + unlabeled


def check(options: argparse.Namespace) -> int:
    """Say what is in a file and what is wrong with it; the exit code is 2 if it cannot be trained on."""
    report = check_file(options.data, FILE_LIMITS, _choice(options), tuple(options.text), options.label)
    if options.json:
        print(json.dumps(report.facts()))
    else:
        _tell_report(report)
    if report.trainable:
        return 0
    print(f"error: {' '.join(f'{report.reason} {report.remedy}'.split())}", file=sys.stderr)
    return 2


def predict(options: argparse.Namespace) -> int:
    """Label every row of a file or of standard input."""
    return predicting.predict(options, _model_folder(options.model), _choice(options), FILE_LIMITS)


def evaluate(options: argparse.Namespace) -> int:
    """Score a classifier on a file with true labels."""
    import numpy as np

    from core.learning.evaluation.calibration import read_calibration
    from core.learning.evaluation.full_report import judge
    from core.serving.classifier import Classifier

    table = _read(options.data, _choice(options))
    folder = _model_folder(options.model)
    classifier = Classifier.load(folder, calibrated=False)
    # All scores are then those that a report of the same texts has, to the last digit that it shows.
    classifier.network = classifier.network.exact()
    label2id = {name: number for number, name in enumerate(classifier.names)}
    labeled, rejected = label_texts(table, ColumnMapping(tuple(options.text), options.label), label2id)
    _tell_rejected(rejected)
    with tqdm(total=len(labeled), unit=" texts", file=sys.stderr) as bar:

        def report_progress(done: int, total: int) -> None:
            bar.update(done - bar.n)

        predictions = classifier.predict(labeled.texts, report_progress)
    truth, temperature = np.array(labeled.labels), read_calibration(folder).temperature
    report = judge(predictions.probabilities, truth, classifier.names, temperature)
    rejected_rows = len(rejected) + len(table.rejected)
    if options.json:
        print(json.dumps({**report, "temperature": temperature, "rejected": rejected_rows}))
    else:
        print(f"{_score('accuracy', report)}, {_score('macro_f1', report)} on {len(labeled)} texts")
    return 0


def compare(options: argparse.Namespace) -> int:
    """Compare 2 to 8 runs on the test texts that all of them have."""
    from core.runs.results.comparison import compare_runs

    found = compare_runs([store.find_run(run) for run in options.run])
    if options.json:
        print(json.dumps(found.facts()))
        return 0
    print(f"{count(found.matched, 'test text')} in common")
    for title, scores, others in zip(found.titles, found.scores, found.unmatched, strict=True):
        more = f"; {count(others, 'test text')} that not all have" if others else ""
        print(f"{title}: {_score('accuracy', scores)}, {_score('macro_f1', scores)}{more}")
    for name, values in found.settings.items():
        print(_one_line(f"{name}: {', '.join('not known' if v is None else str(v) for v in values)}"))
    print("\n".join(found.verdicts))
    return 0


def _score(name: str, scores: dict[str, Any]) -> str:
    """A score with its interval: "macro F1 0.8840 (0.8610 to 0.9030)"."""
    low, high = scores["intervals"][name]
    return f"{name.replace('_f1', ' F1')} {scores[name]:.4f} ({low:.4f} to {high:.4f})"


def report(options: argparse.Namespace) -> int:
    """Write a run's report as one HTML file that opens without a network."""
    from core.runs.results.report_file import write_report

    write_report(store.find_run(options.run), options.out, options.texts)
    print(f"written to {options.out}", file=sys.stderr)
    return 0


def export(options: argparse.Namespace) -> int:
    """Write a model as a file: weights, ONNX, a web page, or all in one bundle."""
    exports.export_model(_model(options.model), options.format, options.out, _tell_step)
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


def runs(options: argparse.Namespace) -> int:
    """List all runs, newest first."""
    rows = [_row(run) for run in store.list_runs()]
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        accuracy = f"{row['accuracy']:.3f}" if row["accuracy"] is not None else "-"
        print(f"{row['id']}  {row['status']:<11}  {accuracy:>5}  {row['model'] or '-'}  {row['name'] or '-'}")
    return 0


def resume(options: argparse.Namespace) -> int:
    """Let an interrupted run go on from its last snapshot, and follow it to its end."""
    queue.resume(store.find_run(options.run))
    if options.detach:
        return 0
    return wait(options)


def wait(options: argparse.Namespace) -> int:
    """Follow a run to its end."""
    run = store.find_run(options.run)
    _follow(run)
    return _tell_result(run, options.json)


def stop(options: argparse.Namespace) -> int:
    """Ask a run to stop; its best weights so far are kept, and can be used at once."""
    run = store.find_run(options.run)
    state = states.state(run)
    if not state.live:
        raise UserError(
            "a run that waits or is being trained",
            f"a run that is {state.status}",
            "There is nothing to stop.",
        )
    queue.cancel(run, options.now)
    print(f"run {run.id} is {states.state(run).status}", file=sys.stderr)
    return 0


def delete(options: argparse.Namespace) -> int:
    """Delete runs that no process works on, for good, singly or by age."""
    if not options.run and options.older_than is None:
        raise UserError("the id of a run, or --older-than DAYS", "neither", "See `runs` for the ids.")
    old = cleaning.older_than(options.older_than) if options.older_than is not None else []
    done = cleaning.delete([*map(store.find_run, options.run), *old])
    cleaning.sweep()
    print(f"{count(done.deleted, 'run')} deleted, {size(done.freed)} freed", file=sys.stderr)
    for run, error in done.refused:
        print(f"error: run {run.id}: {error}", file=sys.stderr)
    return 1 if done.refused else 0


def study(options: argparse.Namespace) -> int:
    """Study a saved data set: a baseline, the labels in doubt, and whether more texts would help."""
    dataset = find_dataset(options.dataset)
    run = store.find_run(options.run) if options.run else None
    data_checks.start(dataset, options.kind, run)
    try:
        state = _follow_study(dataset, options.kind)
    except KeyboardInterrupt:
        data_checks.cancel(dataset, options.kind)
        state = data_checks.state(dataset, options.kind)
    found = data_checks.findings(dataset, options.kind) if state.status == "finished" else None
    if options.json:
        print(
            json.dumps(
                {"dataset": dataset.id, "study": options.kind, "status": state.status, **(found or {})}
            )
        )
    if found is None:
        print(f"error: the study is {state.status}: {state.reason} {state.remedy}".rstrip(), file=sys.stderr)
        return 1
    if not options.json:
        print("\n".join(_study_lines(options.kind, found)))
    return 0


def _follow_study(dataset: Dataset, kind: str) -> data_checks.CheckState:
    with tqdm(total=100, unit="%", file=sys.stderr) as bar:
        while (state := data_checks.state(dataset, kind)).live:
            bar.set_postfix_str(state.doing, refresh=False)
            bar.update(round(100 * state.share) - bar.n)
            time.sleep(0.3)
        bar.update(100 - bar.n if state.status == "finished" else 0)
    return state


def _study_lines(kind: str, found: dict[str, Any]) -> list[str]:
    if kind == data_checks.CURVE:
        return [f"{p['texts']:>7,} texts: macro F1 {p['macro_f1']:.3f}" for p in found["points"]] + [
            found["verdict"]
        ]
    suspects = f"{count(found['suspects'], 'label')} of {found['judged']:,} more likely wrong than right"
    if kind == data_checks.TRAINED:
        return [suspects]
    scores = found["scores"]["all"].items()
    return [f"{n:<10} accuracy {s['accuracy']:.3f}, macro F1 {s['macro_f1']:.3f}" for n, s in scores] + [
        suspects
    ]


def device(options: argparse.Namespace) -> int:
    """Say where trainings run on this machine, and why."""
    from core.learning.hardware import choose_hardware, use_all_cores

    use_all_cores()
    hardware = asdict(choose_hardware())
    print(json.dumps(hardware) if options.json else f"{hardware['device']}: {hardware['reason']}")
    return 0


def _read(path: Path, choice: ReadOptions) -> Table:
    table = read_table(path, FILE_LIMITS, choice)
    _tell_rejected(table.rejected, path.name)
    return table


def _choice(options: argparse.Namespace) -> ReadOptions:
    """How to read the file, where the options say so."""
    return choice_of(vars(options))


def _tell_report(report: Report) -> None:
    """Print a report for people."""
    if report.table is None:
        return
    table = report.table
    print(_one_line(_how_read(table)))
    for row in table.rejected[:SHOWN_ROWS]:
        print("  " + _one_line(f"{table.dialect.unit} {row.line:,}: {row.reason}"))
    print("columns:")
    for column in report.columns:
        facts = f"{column.type}, {column.filled:.0%} filled, {count(column.distinct, 'different value')}"
        print("  " + _one_line(f"{column.name}: {facts}"))
    if report.mapping:
        split = f", split: {report.mapping.split}" if report.mapping.split else ""
        print(_one_line(f"text: {', '.join(report.mapping.text)}, label: {report.mapping.label}{split}"))
    if report.unusable:
        print(f"{count(len(report.unusable), 'row')} without a text or a label")
    for finding in report.findings:
        print(_one_line(f"{finding.severity}: {finding.title}: {finding.found}"))


def _how_read(table: Table) -> str:
    dialect = table.dialect
    parts = [
        f"{dialect.format}{f' in {dialect.packed}' if dialect.packed else ''}",
        dialect.member and f"file {dialect.member!r} of {len(dialect.members)}",
        dialect.sheet and f"sheet {dialect.sheet!r} of {len(dialect.sheets)}",
        dialect.encoding,
        f"delimiter {dialect.delimiter!r}" if dialect.format in ("csv", "tsv") else "",
        "header" if dialect.has_header else "no header",
        f"{count(dialect.skipped_lines, dialect.unit)} above the table" if dialect.skipped_lines else "",
        f"{count(len(table.frame), 'row')} read",
        f"{len(table.rejected):,} rejected",
    ]
    return ", ".join(filter(None, parts))


def _one_line(text: str) -> str:
    """Text on one line without control characters: other people's text may hold commands to a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))


def _tell_rejected(rejected: Sequence[RejectedRow], where: str = "the files") -> None:
    if rejected:
        shown = "; ".join(f"line {row.line}: {row.reason}" for row in rejected[:SHOWN_ROWS])
        more = " …" if len(rejected) > SHOWN_ROWS else ""
        print(
            f"warning: {count(len(rejected), 'row')} of {where} cannot be used: {shown}{more}",
            file=sys.stderr,
        )


def _config(options: argparse.Namespace, dataset: Dataset) -> TrainingConfig:
    given = {field.name: getattr(options, field.name) for field in fields(TrainingConfig)}
    given = {name: value for name, value in given.items() if value is not None}
    model, texts = given.get("model", TrainingConfig.model), dataset.counts["train"]
    start = suggest(model, texts, len(dataset.label2id))
    config = replace(start, **given)
    if chosen := [f"{name} {getattr(start, name):g}" for name in SUGGESTED if name not in given]:
        print(f"suggested for this model and data: {', '.join(chosen)}", file=sys.stderr)
    return config


def _follow(run: Run) -> None:
    """Show the run's progress until it ends; Ctrl-C asks it to stop and goes on watching."""

    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        print("stopping at the next step; the best weights so far are kept", file=sys.stderr)
        # What was interrupted may hold what cancelling needs: it is done in turn.
        asked.append(number)

    previous = signal.signal(signal.SIGINT, ask)
    try:
        with tqdm(unit=" steps", file=sys.stderr) as bar:
            # A lost run is about to be resumed, or to be called interrupted.
            while states.state(run).live or states.is_lost(run):
                if asked:
                    queue.cancel(run)
                    asked.clear()
                # Should the worker have been lost, the next look starts another.
                queue.ensure_worker()
                _show_progress(bar, run)
                time.sleep(0.5)
            _show_progress(bar, run)
    finally:
        signal.signal(signal.SIGINT, previous)


def _show_progress(bar: tqdm, run: Run) -> None:
    for event in run_events.follow(run):
        if event["type"] == "started":
            bar.total = event["total_steps"]
        elif event["type"] == "step":
            bar.n = event["step"]
            bar.set_postfix_str(f"loss {event['loss']:.3f}", refresh=False)
    bar.refresh()


def _tell_result(run: Run, as_json: bool) -> int:
    state, report = states.state(run), outputs.report_of(run)
    if as_json:
        print(
            json.dumps({"run": run.id, "folder": str(run.folder), "status": state.status, **(report or {})})
        )
    if state.status != "finished" or report is None:
        print(f"error: the run is {state.status}: {state.reason} {state.remedy}".rstrip(), file=sys.stderr)
        return 1
    if as_json:
        return 0
    scores = report["test"] or report["validation"]
    if scores:
        split = "test" if report["test"] else "validation"
        print(f"{split} accuracy {scores['accuracy']:.4f}, macro F1 {scores['macro_f1']:.4f}")
    print(f"run {run.id} in {run.folder}")
    return 0


def _row(run: Run) -> dict[str, Any]:
    state, report = states.state(run), outputs.report_of(run) or {}
    scores = report.get("test") or report.get("validation") or {}
    process, (step, total_steps) = processes.trainer_of(run), run_events.progress(run)
    return {
        "id": run.id,
        "status": state.status,
        "reason": state.reason,
        "folder": str(run.folder),
        "pid": process.pid if process else None,
        "step": step,
        "total_steps": total_steps,
        "name": run.name,
        "model": "" if run.damage else run.config.model,
        "created": run.created,
        "seconds": state.seconds,
        "position": queue.position(run) if state.status == "queued" else None,
        "expected_wait": queue.expected_wait(run) if state.status == "queued" else None,
        "accuracy": scores.get("accuracy"),
        "macro_f1": scores.get("macro_f1"),
    }


def _model_folder(name: str) -> Path:
    """The model folder that a run's id, a run's folder, a Hugging Face folder or a bundle stands for."""
    return _model(name).folder


def _model(name: str) -> Model:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_training_commands(commands)
    _add_model_commands(commands)
    _add_run_commands(commands)
    return parser


def _add_training_commands(commands: Any) -> None:  # noqa: ANN401 - argparse's own types are private
    for name, function in (("train", train), ("forecast", foresee)):
        command = _command(commands, name, function)
        command.add_argument("data", type=Path, metavar="DATA.csv", help="training texts and labels")
        _add_columns(command)
        _add_reading(command)
        for part, words in (("test", "to judge the result"), ("validation", "to choose the best weights by")):
            words += "; without it, 10 %% of DATA.csv are held out"
            command.add_argument(f"--{part}", type=Path, metavar="FILE.csv", help=f"texts and labels {words}")
        _add_settings(command)
        command.add_argument("--json", action="store_true", help=JSON_HELP)
        if function is train:
            command.add_argument("--detach", action="store_true", help="print the run's id, do not wait")

    command = _command(commands, "check", check)
    command.add_argument("data", type=Path, metavar="FILE", help="any file with texts and labels")
    _add_columns(command, required=False)
    _add_reading(command)
    command.add_argument("--json", action="store_true", help="print one JSON object instead")


def _add_model_commands(commands: Any) -> None:  # noqa: ANN401
    command = _command(commands, "predict", predict)
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    predicting.add_options(command)
    _add_reading(command)

    command = _command(commands, "evaluate", evaluate)
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument("data", type=Path, metavar="TEST.csv")
    _add_columns(command)
    _add_reading(command)
    command.add_argument("--json", action="store_true")

    command = _command(commands, "compare", compare)
    command.add_argument("run", metavar="RUN", nargs="+")
    command.add_argument("--json", action="store_true", help="print one JSON object instead")

    command = _command(commands, "report", report)
    command.add_argument("run", metavar="RUN")
    command.add_argument("--out", type=Path, required=True, metavar="FILE")
    command.add_argument(
        "--texts", action=argparse.BooleanOptionalAction, default=True, help="with the texts it got wrong"
    )

    command = _command(commands, "export", export)
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument("--format", choices=exports.FORMATS, required=True)
    command.add_argument("--out", type=Path, required=True, metavar="FILE")

    command = _command(commands, "push", push)
    command.add_argument("run", metavar="RUN")
    command.add_argument("--to", required=True, metavar="OWNER/NAME", help="a new repository on the hub")
    command.add_argument("--private", action="store_true", help="only you can see it")


def _add_run_commands(commands: Any) -> None:  # noqa: ANN401
    for name, function in (("resume", resume), ("wait", wait)):
        command = _command(commands, name, function)
        command.add_argument("run", metavar="RUN")
        command.add_argument("--json", action="store_true", help=JSON_HELP)
        if function is resume:
            command.add_argument("--detach", action="store_true", help="do not wait for its end")

    command = _command(commands, "stop", stop)
    command.add_argument("run", metavar="RUN")
    command.add_argument("--now", action="store_true", help="do not wait for the end of its step")

    command = _command(commands, "delete", delete)
    command.add_argument("run", metavar="RUN", nargs="*")
    command.add_argument("--older-than", type=float, metavar="DAYS", help="and all that ended before that")

    command = _command(commands, "study", study)
    command.add_argument("dataset", metavar="DATASET_ID", help="see the Check page's link")
    command.add_argument("kind", choices=data_checks.KINDS)
    command.add_argument("--run", metavar="RUN", help="whose model is asked, for the kind trained")
    command.add_argument("--json", action="store_true", help=JSON_HELP)

    _command(commands, "runs", runs).add_argument("--json", action="store_true")
    _command(commands, "device", device).add_argument("--json", action="store_true")


def _command(commands: Any, name: str, function: Any) -> argparse.ArgumentParser:  # noqa: ANN401 - argparse's own types are private
    words = function.__doc__.rstrip(".")
    command = commands.add_parser(name, help=words, description=function.__doc__)
    command.set_defaults(command=function)
    return command


def _add_columns(command: argparse.ArgumentParser, *, label: bool = True, required: bool = True) -> None:
    command.add_argument(
        "--text",
        required=required,
        default=None if required else [],
        action="append",
        metavar="COL",
        help="text column; may be given several times",
    )
    if label:
        command.add_argument("--label", required=required, metavar="COL", help="label column")


def _add_reading(command: argparse.ArgumentParser) -> None:
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
