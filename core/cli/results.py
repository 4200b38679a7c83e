"""The commands `evaluate`, `compare` and `report`: how good models are."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.base.formatting import count
from core.cli.arguments import MODEL_HELP, Commands, add_columns, add_command, add_reading
from core.cli.models import model_folder
from core.cli.reading import one_line, read, read_options, tell_rejected
from core.data.labels import ColumnMapping, label_texts
from core.runs.training import store


def evaluate(options: argparse.Namespace) -> int:
    """Score a classifier on a file with true labels."""
    import numpy as np

    from core.learning.evaluation.calibration import read_calibration
    from core.learning.evaluation.full_report import judge
    from core.serving.classifier import Classifier

    table = read(options.data, read_options(options))
    folder = model_folder(options.model)
    classifier = Classifier.load(folder, calibrated=False)
    # All scores are then those that a report of the same texts has, to the last digit that it shows.
    classifier.network = classifier.network.exact()
    label2id = {name: number for number, name in enumerate(classifier.names)}
    labeled, rejected = label_texts(table, ColumnMapping(tuple(options.text), options.label), label2id)
    tell_rejected(rejected)
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
        print(one_line(f"{name}: {', '.join('not known' if v is None else str(v) for v in values)}"))
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


def add_evaluate(commands: Commands) -> None:
    """The command `evaluate`."""
    command = add_command(commands, "evaluate", evaluate)
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument("data", type=Path, metavar="TEST.csv")
    add_columns(command)
    add_reading(command)
    command.add_argument("--json", action="store_true")


def add_compare(commands: Commands) -> None:
    """The command `compare`."""
    command = add_command(commands, "compare", compare)
    command.add_argument("run", metavar="RUN", nargs="+")
    command.add_argument("--json", action="store_true", help="print one JSON object instead")


def add_report(commands: Commands) -> None:
    """The command `report`."""
    command = add_command(commands, "report", report)
    command.add_argument("run", metavar="RUN")
    command.add_argument("--out", type=Path, required=True, metavar="FILE")
    command.add_argument(
        "--texts", action=argparse.BooleanOptionalAction, default=True, help="with the texts it got wrong"
    )
