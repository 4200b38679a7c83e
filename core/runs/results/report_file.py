"""The report of a run as one HTML file: all that its folder knows, gathered for `serving.report_page`."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.base.disk import full_is_said, whole_file
from core.base.errors import UserError
from core.base.formatting import STATUS, duration
from core.charts.curves import loss_table, score_table, to_beat
from core.data.quality.fixes import done_to
from core.learning.evaluation.calibration import at_threshold
from core.runs.results import outputs
from core.runs.results.evaluated_texts import Answers, answers_of, calibration_of, collapse_of
from core.runs.results.facts import data_of, model_title, reasons_left_out, settings_of
from core.runs.tasks import data_checks
from core.runs.training import run_events, states
from core.runs.training.run import Run, own_dataset
from core.serving.report.report_page import Content, report_html

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn")


def write_report(run: Run, out: Path, texts: bool = True) -> None:
    """Write the run's report as one HTML file.

    Raises:
        UserError: there is no report, or no room.
    """
    content = report_of_run(run, texts).encode()
    with full_is_said("the report", len(content), out.parent), whole_file(out) as draft:
        draft.write_bytes(content)


def report_of_run(run: Run, texts: bool = True) -> str:
    """The run's report as HTML.

    Args:
        texts: whether it shows texts with a wrong label; they may be private.

    Raises:
        UserError: the run's settings cannot be read.
    """
    if not run.readable:
        raise UserError("a run that can be read", run.damage or "a damaged one", states.REPAIR)
    return report_html(content_of(run, texts))


def content_of(run: Run, texts: bool) -> Content:
    """What the report shows; what the run's folder lacks is left out of it."""
    report = outputs.report_of(run) or {}
    split = next((name for name in ("test", "validation") if report.get(name)), None)
    answers = answers_of(run, split) if split else None
    events = run_events.events_of(run)
    calibration = calibration_of(run)
    beaten = data_checks.baseline_of(run.dataset_id, "validation")
    majority = (report.get("validation") or {}).get("majority_accuracy")
    known = answers if answers and answers.probabilities is not None else None
    return Content(
        title=run.name,
        about=_about(run),
        split=split,
        scores=report[split] if split else {},
        baseline=data_checks.baseline_of(run.dataset_id, split) if split else None,
        collapsed=collapse_of(report, split) if split else None,
        temperature=calibration.temperature,
        threshold=calibration.threshold,
        reliability=known.reliability() if known else None,
        coverage=known.coverage() if known else None,
        kept=_kept(known, calibration.threshold),
        mistakes=answers.mistakes() if answers else None,
        with_texts=texts,
        losses=loss_table(events),
        learned=score_table(events),
        to_beat=to_beat(majority, beaten),
        settings=settings_of(run),
        data=data_of(run),
        versions=_versions(report),
        **_data_card(run),
    )


def _about(run: Run) -> dict[str, str]:
    state = states.state(run)
    facts = {
        "Model": model_title(run),
        "Run": f"{run.number} ({run.id})",
        "State": STATUS[state.status],
    }
    if state.started is not None:
        facts["Started"] = time.strftime("%d %B %Y, %H:%M UTC", time.gmtime(state.started))
    if state.seconds is not None:
        facts["Took"] = duration(state.seconds)
    return facts


def _kept(answers: Answers | None, threshold: float | None) -> tuple[float, float | None] | None:
    if answers is None or answers.labels is None or threshold is None:
        return None
    found = at_threshold(answers.calibrated, answers.labels, threshold)
    return found.coverage, found.accuracy


def _data_card(run: Run) -> dict[str, Any]:
    try:
        dataset = own_dataset(run)
    except UserError:
        return {"done": [], "left_out": {}}
    return {"done": done_to(dataset.source), "left_out": reasons_left_out(dataset)}


def _versions(report: dict[str, Any]) -> dict[str, str]:
    """Of the programs that make this file; those of the training may have been others."""
    machine = {name.capitalize(): report[name] for name in ("device", "precision") if name in report}
    here = {name: version(name) for name in _PACKAGES}
    return {**machine, "Python, when this file was made": platform.python_version(), **here}
