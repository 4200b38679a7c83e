"""The command `python -m core predict`: a file or standard input in, the same rows with labels out."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tqdm import tqdm

from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.formatting import count
from core.data.tables import Dialect, Limits, ReadOptions, Table, text_frame

if TYPE_CHECKING:
    from core.serving.classifier import Classifier
    from core.serving.file_labelling.labelling import Progress
    from core.serving.file_labelling.plan import Plan

STANDARD = "-"
"""Standard input, or standard output."""

STOPPED = 130
"""The exit code after Ctrl-C, as shells have it."""

LINES = Dialect("lines", "utf-8", "", "", has_header=False)
SUFFIXES = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
SHOWN_ROWS = 3
_READ_BYTES = 64 * 1024


def add_options(command: argparse.ArgumentParser) -> None:
    """Everything but the model, and how the file is read."""
    command.add_argument("input", metavar="INPUT", help="any file with texts; - is standard input")
    command.add_argument(
        "--text", action="append", default=[], metavar="COL", help="text column; may be given several times"
    )
    command.add_argument("--lines", action="store_true", help="no table: every line is one text")
    command.add_argument("--label", metavar="COL", help="column of the true labels, to score the answers")
    command.add_argument("--out", default=STANDARD, metavar="OUT", help="default -: standard output")
    command.add_argument(
        "--format", choices=("csv", "parquet", "jsonl"), help="default: what OUT's name says, else csv"
    )
    command.add_argument("--classes", action="store_true", help="also the probability of every class")
    command.add_argument(
        "--columns", action="append", metavar="COL", help="column of the file to keep; default all"
    )
    safety = command.add_mutually_exclusive_group()
    safety.add_argument(
        "--raw", action="store_true", help="in CSV, leave cells that a spreadsheet takes for formulas"
    )
    safety.add_argument("--spreadsheet-safe", action="store_true", help="quote such cells; is the default")
    command.add_argument("--resume", action="store_true", help="go on where an earlier command was stopped")


def predict(options: argparse.Namespace, model: Path, choice: ReadOptions, limits: Limits) -> int:
    """Do it. Returns the exit code: 0, or 130 after Ctrl-C.

    Raises:
        UserError: see `labelling.label_into`; or the options do not go together.
    """
    _check(options)
    from core.serving.classifier import Classifier
    from core.serving.file_labelling.plan import Plan

    plan = Plan(options.input, str(model), tuple(options.text), options.label, options.classes, choice)
    classifier = Classifier.load(model)
    if options.lines:
        return _answer_lines(options, plan, classifier, limits)
    with _asked_to_stop() as asked:
        if options.out == STANDARD:
            return _answer_out_loud(options, plan, classifier, asked, limits)
        return _answer_into_file(options, plan, classifier, asked, limits)


def _check(options: argparse.Namespace) -> None:
    if options.format is None:
        options.format = SUFFIXES.get(Path(options.out).suffix.casefold(), "csv")
    if options.lines and (options.text or options.label or options.columns or options.resume):
        raise UserError(
            "lines of text without columns",
            "--lines together with --text, --label, --columns or --resume",
            "Leave these out, or read the input as a table.",
        )
    if not options.lines and not options.text:
        raise UserError("the column of the texts", "none", "Name it with --text, or add --lines.")
    to_file = options.out != STANDARD and not options.lines
    if options.format == "parquet" and not to_file:
        raise UserError("a file to write Parquet to", "a stream", "Name it with --out, or choose jsonl.")
    if options.resume and not to_file:
        raise UserError(
            "a file to go on with", "standard output", "Name the same --out as in the command that stopped."
        )


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that Ctrl-C fills; a second one ends the program at once."""
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        print("stopping when these rows are labelled", file=sys.stderr)

    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, previous)


# Into a file


def _answer_into_file(
    options: argparse.Namespace, plan: Plan, classifier: Classifier, asked: list[int], limits: Limits
) -> int:
    from core.serving.file_labelling.labelling import Listener, Stopped, label_into
    from core.serving.file_labelling.parts import columns_of, parts_of
    from core.serving.file_labelling.writing import write_out

    out = Path(options.out)
    parts = out.with_name(f"{out.name}.parts")
    if parts.exists() and not options.resume:
        raise UserError(
            f"no {parts.name} beside {out.name}",
            "the rows that an earlier command has labelled",
            f"Add --resume to go on with them, or delete {parts}.",
        )
    plan = _with_input(plan, parts / "input")
    with tqdm(unit=" rows", file=sys.stderr) as bar:
        try:
            found = label_into(
                parts,
                plan,
                classifier,
                limits,
                Listener(lambda now: _show(bar, now), lambda: bool(asked)),
                _training_texts(plan),
            )
        except Stopped:
            bar.close()
            print(f"stopped; {parts} has what is labelled. Go on with --resume", file=sys.stderr)
            return STOPPED
    _check_kept(options, found["columns"], columns_of(parts))
    changed = write_out(
        parts_of(parts),
        out,
        options.format,
        safe=not options.raw,
        columns=_kept(options, found["columns"]),
    )
    shutil.rmtree(parts)
    _tell(found, changed)
    print(f"{found['rows']} rows written to {out}", file=sys.stderr)
    return 0


def _with_input(plan: Plan, place: Path) -> Plan:
    """The plan, with standard input as a file: it is asked for twice, and again after a stop."""
    from dataclasses import replace

    if plan.source != STANDARD:
        return plan
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        room = full_is_said("standard input", 0, place.parent)
        with room, whole_file(place) as draft, draft.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    return replace(plan, source=str(place))


def _show(bar: tqdm, now: Progress) -> None:
    if bar.total is None:
        bar.reset(now.rows)
        # Rows of an earlier command say nothing of the speed of this one.
        bar.initial = now.done - now.fresh
    bar.n = now.done
    bar.refresh()


def _check_kept(options: argparse.Namespace, new: dict[str, Any], columns: list[str]) -> None:
    from core.serving.file_labelling.labelling import check_columns

    added = _new_names(new)
    check_columns([name for name in columns if name not in added], options.columns or ())


def _kept(options: argparse.Namespace, new: dict[str, Any]) -> list[str] | None:
    return None if options.columns is None else [*options.columns, *_new_names(new)]


def _training_texts(plan: Plan) -> frozenset[str]:
    from core.runs.results.models import training_texts

    return training_texts(Path(plan.model)) if plan.label else frozenset()


def _new_names(new: dict[str, Any]) -> list[str]:
    return [name for name in (new["label"], new["confidence"], new["unsure"], *new["classes"]) if name]


def _tell(found: dict[str, Any], changed: int) -> None:
    rejected = found["rejected_rows"][:SHOWN_ROWS]
    if rejected:
        first = "; ".join(f"{found['unit']} {row['line']}: {row['reason']}" for row in rejected)
        print(
            f"warning: {count(found['rejected'], 'row')} could not be read and are missing: {first}",
            file=sys.stderr,
        )
    if found["without_text"]:
        print(f"{count(found['without_text'], 'row')} without text got no label", file=sys.stderr)
    if found["unsure"] is not None:
        print(f"{count(found['unsure'], 'row')} left to people: too unsure", file=sys.stderr)
    if changed:
        print(f"{count(changed, 'cell')} made safe for spreadsheets", file=sys.stderr)
    if found.get("unknown"):
        print(f"{count(found['unknown'], 'row')} with a label that the model does not know", file=sys.stderr)
    if found["trained_on"]:
        print(
            f"warning: the model was trained on the text of {count(found['trained_on'], 'row')}: "
            "the scores are too good",
            file=sys.stderr,
        )
    if found["scores"]:
        parts = [
            f"{name.replace('_f1', ' F1')} {found['scores'][name]:.4f} ({low:.4f} to {high:.4f})"
            for name in ("accuracy", "macro_f1")
            for low, high in (found["scores"]["intervals"][name],)
        ]
        print(f"{', '.join(parts)} on {found['scores']['texts']} texts", file=sys.stderr)


# To standard output


def _answer_out_loud(
    options: argparse.Namespace, plan: Plan, classifier: Classifier, asked: list[int], limits: Limits
) -> int:
    """Rows go out as they are labelled; without a folder of parts."""
    from core.data.reading.streaming import open_table
    from core.serving.file_labelling.labelling import check_columns, label_table, new_columns
    from core.serving.file_labelling.tally import Tally

    with ExitStack() as stack, tqdm(unit=" rows", file=sys.stderr) as bar:
        spool = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="textuner-")))
        plan = _with_input(plan, spool / "input")
        stream = open_table(Path(plan.source), limits, plan.choice)
        check_columns(stream.columns, [*plan.text, *(options.columns or ())])
        if plan.label:
            check_columns(stream.columns, [plan.label])
        columns = new_columns(stream.columns, classifier.names, plan.classes, classifier.calibration)
        tally = Tally(columns, classifier.names, plan, _training_texts(plan))
        bar.reset(stream.rows)
        changed = 0
        for number, table in enumerate(stream.batches()):
            if asked:
                break
            frame, truth, answers = label_table(classifier, table, plan, columns)
            tally.add(table, frame, truth, answers)
            changed += _say(options, frame[_kept(options, columns) or list(frame.columns)], number == 0)
            bar.update(len(frame))
    _tell({**tally.facts(), "unit": stream.dialect.unit}, changed)
    return _ended(tally.rows, stopped=tally.rows < stream.rows)


def _ended(rows: int, stopped: bool) -> int:
    if stopped:
        print(f"stopped after {count(rows, 'row')}", file=sys.stderr)
    return STOPPED if stopped else 0


def _say(options: argparse.Namespace, frame: Any, header: bool) -> int:  # noqa: ANN401 - a frame of pandas, which is imported late
    from core.serving.file_labelling.writing import as_text

    content, changed = as_text(frame, options.format, not options.raw, header)
    _send(sys.stdout.buffer, content)
    return changed


def _send(out: BinaryIO, content: bytes) -> None:
    """All of it, at once: whoever reads it line by line has the answers now."""
    rest = memoryview(content)
    # Where Python is told not to buffer, a write that a signal interrupts is cut short.
    while rest:
        rest = rest[out.write(rest) :]
    out.flush()


# Lines


def _answer_lines(options: argparse.Namespace, plan: Plan, classifier: Classifier, limits: Limits) -> int:
    """Every line is answered when it comes, together with those that came meanwhile."""
    from dataclasses import replace

    from core.serving.file_labelling.labelling import label_table, new_columns
    from core.serving.file_labelling.tally import Tally
    from core.serving.file_labelling.writing import as_text

    plan = replace(plan, text=("text",))
    columns = new_columns(plan.text, classifier.names, plan.classes, classifier.calibration)
    tally = Tally(columns, classifier.names, plan)
    changed = 0
    stopped = True
    # Ctrl-C counts at once: it mostly comes while no line does.
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        source = sys.stdin.buffer if plan.source == STANDARD else stack.enter_context(_open(plan.source))
        out = sys.stdout.buffer
        if options.out != STANDARD:
            out = stack.enter_context(Path(options.out).open("wb"))
        for number, lines in enumerate(_lines_as_they_come(source, limits)):
            table = Table(text_frame({"text": lines}), LINES)
            frame, *_ = label_table(classifier, table, plan, columns)
            tally.add(table, frame, None, None)
            content, more = as_text(frame, options.format, not options.raw, number == 0)
            changed += more
            _send(out, content)
        stopped = False
    _tell({**tally.facts(), "unit": "line"}, changed)
    return _ended(tally.rows, stopped)


def _open(source: str) -> BinaryIO:
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise UserError(
            "a file that can be read", f"{source} ({error.strerror})", "Check its name and its folder."
        ) from error


def _lines_as_they_come(source: BinaryIO, limits: Limits) -> Iterator[list[str]]:
    """All whole lines that have come since the last look; bytes that are not UTF-8 are shown as such."""
    rest = b""
    # Not by way of Python's buffer, which waits until it is full.
    while block := os.read(source.fileno(), _READ_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > 4 * limits.field_characters:
            raise UserError(
                f"lines of at most {limits.field_characters:,} characters",
                f"one of more than {len(rest):,} bytes",
                "Break the input into lines, one text each.",
            )
        if lines:
            yield [_decoded(line) for line in lines]
    if rest:
        yield [_decoded(rest)]


def _decoded(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")
