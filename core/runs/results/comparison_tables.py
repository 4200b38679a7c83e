"""Runs beside each other, as tables and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.formatting import SCORES, count, escape_markdown, explain
from core.learning.config import SETTINGS
from core.runs.results.comparison import MOST, Comparison
from core.runs.results.facts import in_words, model_title
from core.runs.training import states, store

if TYPE_CHECKING:
    import pandas as pd

COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "mcc")
"""The scores that are set beside each other."""


def shared_in_words(found: Comparison) -> tuple[str, str]:
    """On how many texts they are compared; and what of whose is left out, empty when nothing is. Markdown."""
    words = f"Compared on {count(found.matched, 'test text')} that all of them have."
    others = [
        f"{title}: {number:,}" for title, number in zip(found.titles, found.unmatched, strict=True) if number
    ]
    left_out = f"Test texts that not all have are left out – {escape_markdown('; '.join(others))}."
    return words, left_out if others else ""


def settings_rows(found: Comparison) -> list[list[str]]:
    """Of each setting that differs: what it is called, and its value in each run."""
    rows = []
    for name, values in found.settings.items():
        if name == "model":
            values = [model_title(run) for run in found.runs]
        said = ["not recorded" if value is None else in_words(value) for value in values]
        rows.append([SETTINGS[name].label if name in SETTINGS else "Data set", *said])
    return rows


def score_rows(found: Comparison, name: str) -> pd.DataFrame:
    """One score of each run, with the ends of its interval: run, value, low, high."""
    import pandas as pd

    rows = [
        [title, scores[name], *scores["intervals"][name]]
        for title, scores in zip(found.titles, found.scores, strict=True)
    ]
    return pd.DataFrame(rows, columns=["run", "value", "low", "high"])


def all_scores(found: Comparison) -> list[dict[str, Any]]:
    """A row per run: every score with its interval, in words."""
    rows = []
    for title, scores in zip(found.titles, found.scores, strict=True):
        row = {"Run": title}
        for name in COMPARED:
            score = SCORES[name]
            interval = score.write_interval(scores["intervals"][name])
            row[score.words] = f"{score.write(scores[name])} ({interval})"
        rows.append(row)
    return rows


def why_left_out(ids: list[str]) -> list[str]:
    """Of every run that somebody named and that cannot be compared: why; safe Markdown."""
    said = []
    # A link holds whatever somebody wrote into it.
    for run_id in ids[:MOST]:
        try:
            run = store.find_run(run_id)
        except UserError as error:
            said.append(f"A run of this link is left out. {explain(error)}")
        else:
            status = states.state(run).status
            name = run.number or "(cannot be read)"
            said.append(f"Run {name} is left out: it is {status} and has no test scores.")
    if len(ids) > MOST:
        said.append(f"{len(ids) - MOST:,} more of this link are left out.")
    return said
