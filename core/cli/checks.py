"""The commands `check`, of a file, and `study`, of a saved data set."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.base.formatting import count
from core.cli.arguments import JSON_HELP, Commands, add_columns, add_command, add_reading
from core.cli.reading import FILE_LIMITS, SHOWN_ROWS, one_line, read_options
from core.data.checking import Report, check_file
from core.data.storage.datasets import Dataset, find_dataset
from core.data.tables import Table
from core.runs.tasks import data_checks
from core.runs.training import store


def check(options: argparse.Namespace) -> int:
    """Say what is in a file and what is wrong with it; the exit code is 2 if it cannot be trained on."""
    report = check_file(options.data, FILE_LIMITS, read_options(options), tuple(options.text), options.label)
    if options.json:
        print(json.dumps(report.facts()))
    else:
        _tell_report(report)
    if report.trainable:
        return 0
    print(f"error: {' '.join(f'{report.reason} {report.remedy}'.split())}", file=sys.stderr)
    return 2


def _tell_report(report: Report) -> None:
    """Print a report for people."""
    if report.table is None:
        return
    table = report.table
    print(one_line(_how_read(table)))
    for row in table.rejected[:SHOWN_ROWS]:
        print("  " + one_line(f"{table.dialect.unit} {row.line:,}: {row.reason}"))
    print("columns:")
    for column in report.columns:
        facts = f"{column.type}, {column.filled:.0%} filled, {count(column.distinct, 'different value')}"
        print("  " + one_line(f"{column.name}: {facts}"))
    if report.mapping:
        split = f", split: {report.mapping.split}" if report.mapping.split else ""
        print(one_line(f"text: {', '.join(report.mapping.text)}, label: {report.mapping.label}{split}"))
    if report.unusable:
        print(f"{count(len(report.unusable), 'row')} without a text or a label")
    for finding in report.findings:
        print(one_line(f"{finding.severity}: {finding.title}: {finding.found}"))


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


def check_dataset(options: argparse.Namespace) -> int:
    """Study a saved data set: a baseline, the labels in doubt, and whether more texts would help."""
    dataset = find_dataset(options.dataset)
    run = store.find_run(options.run) if options.run else None
    data_checks.start(dataset, options.kind, run)
    try:
        state = _follow_check(dataset, options.kind)
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
        print("\n".join(_finding_lines(options.kind, found)))
    return 0


def _follow_check(dataset: Dataset, kind: str) -> data_checks.CheckState:
    with tqdm(total=100, unit="%", file=sys.stderr) as bar:
        while (state := data_checks.state(dataset, kind)).live:
            bar.set_postfix_str(state.doing, refresh=False)
            bar.update(round(100 * state.share) - bar.n)
            time.sleep(0.3)
        bar.update(100 - bar.n if state.status == "finished" else 0)
    return state


def _finding_lines(kind: str, found: dict[str, Any]) -> list[str]:
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


def add_check(commands: Commands) -> None:
    """The command `check`."""
    command = add_command(commands, "check", check)
    command.add_argument("data", type=Path, metavar="FILE", help="any file with texts and labels")
    add_columns(command, required=False)
    add_reading(command)
    command.add_argument("--json", action="store_true", help="print one JSON object instead")


def add_study(commands: Commands) -> None:
    """The command `study`."""
    command = add_command(commands, "study", check_dataset)
    command.add_argument("dataset", metavar="DATASET_ID", help="see the Check page's link")
    command.add_argument("kind", choices=data_checks.KINDS)
    command.add_argument("--run", metavar="RUN", help="whose model is asked, for the kind trained")
    command.add_argument("--json", action="store_true", help=JSON_HELP)
