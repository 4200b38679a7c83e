"""The report of a run as one HTML file: to be read without this program, a network, or JavaScript.

Text of people is only ever put where Jinja escapes it, or drawn as text of an SVG; the content security
policy of the file forbids scripts and every request all the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt

from core.base.formatting import MAIN_SCORES, SCORES, TEMPERATURE_IS, count, percent
from core.charts.confidence import coverage_chart, describe_coverage, describe_reliability, reliability_chart
from core.charts.confusion import confusion_heatmap, describe_confusion, mistakes_table
from core.charts.curves import describe_losses, describe_scores, loss_curves, score_curves, to_beat
from core.data.quality.fixes import AppliedFix

if TYPE_CHECKING:
    import pandas as pd

MOST_MISTAKES = 50
"""Texts with a wrong label that the file shows."""

MOST_PAIRS = 30
"""Pairs of labels taken for one another that the file lists."""

MOST_TEXT = 600
"""Characters of a text that the file shows."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#6b7280", "#b8578f", "#1b2430")
DARK_COLOURS = ("#56b4e9", "#f08a3c", "#2fc79a", "#9aa4af", "#db93bd", "#e6ebf0")
"""By meaning, as in `charts.MEANINGS`: those of the light and of the dark page."""

_TEMPLATE = Path(__file__).with_name("report_page.html")
_PAPER, _LINE, _SOFT = ("#fefefe", "#15191d"), ("#d5dde4", "#35414d"), ("#57606a", "#a4adb6")
"""Two colours each, for light and dark."""
_INK = COLOURS[-1]
_AXIS = {"labelColor": _INK, "titleColor": _INK, "domainColor": _SOFT[0], "tickColor": _SOFT[0]}
_CONFIG = {
    "background": "transparent",
    "aria": False,
    "range": {"category": list(COLOURS)},
    "axis": _AXIS | {"gridColor": _LINE[0], "labelFontSize": 12, "titleFontSize": 12},
    "legend": {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 12},
    "view": {"stroke": None},
}
_WIDTH = 460
"""Pixels of a chart's drawing area: its words can still be read on a phone, where it shrinks."""


@dataclass(frozen=True)
class Chart:
    """A drawn chart and the words that say the same."""

    svg: str
    words: str
    wide: bool = False
    """Whether it keeps its size on a narrow screen, and is scrolled."""


@dataclass(frozen=True)
class Content:
    """All that the file is made of; tables have the columns that the functions of `charts` take."""

    title: str
    """Name of the data set."""
    about: dict[str, str]
    """What it is: name → value."""
    split: str | None
    """Whose scores these are: test or validation; None when there are none."""
    scores: dict[str, Any]
    """Of that split, as in report.json; empty when there are none."""
    baseline: dict[str, Any] | None
    """What `data_checks.baseline_of` says of that split."""
    collapsed: tuple[str, float, tuple[str, ...]] | None
    """Label, share of the texts that get it, and what to try."""
    temperature: float
    threshold: float | None
    reliability: pd.DataFrame | None
    """None when the probabilities are not known."""
    coverage: pd.DataFrame | None
    kept: tuple[float, float | None] | None
    """Share of the texts answered at the threshold, and the accuracy of these."""
    mistakes: pd.DataFrame | None
    """text, label, predicted, confidence and perhaps true_probability; the surest first. None: not known."""
    with_texts: bool
    losses: pd.DataFrame
    learned: pd.DataFrame
    """A `charts.curves.score_table`."""
    to_beat: dict[str, float]
    """Of the validation texts, for the curves."""
    settings: dict[str, str]
    data: dict[str, str]
    done: list[AppliedFix]
    """What was done to the rows of the file."""
    left_out: dict[str, int]
    """Reason → rows that are not in the data set."""
    versions: dict[str, str] = field(default_factory=dict)


def report_html(content: Content) -> str:
    """The whole file, as text."""
    # Imported late: only whoever makes a report waits for it.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        it=content,
        scores=score_rows(content.scores),
        beside=_beside(content),
        pictures=pictures(content),
        pairs=_pairs(content.scores),
        most_pairs=MOST_PAIRS,
        mistakes=_mistakes(content),
        coverage=_coverage_rows(content.coverage),
        temperature_is=TEMPERATURE_IS,
        percent=percent,
        count=count,
        colours=list(zip(COLOURS, DARK_COLOURS, strict=True)) + [_LINE, _SOFT],
        paper=_PAPER,
    )


def score_rows(scores: dict[str, Any]) -> list[dict[str, str]]:
    """name, value, interval, after (the temperature) and meaning of every score; "" if missing."""
    ends, after = scores.get("intervals", {}), scores.get("calibrated", {})
    return [
        {
            "name": score.words,
            "value": score.write(scores[name]),
            "interval": score.write_interval(ends[name]) if name in ends else "",
            "after": score.write(after[name]) if name in after else "",
            "meaning": score.meaning,
            "main": "yes" if name in MAIN_SCORES else "",
        }
        for name, score in SCORES.items()
        if scores.get(name) is not None
    ]


def _beside(content: Content) -> dict[str, str]:
    """What the accuracy is to be compared with: in words → written."""
    found = to_beat(content.scores.get("majority_accuracy"), content.baseline)
    return {words: percent(share) for words, share in found.items()}


def pictures(content: Content) -> dict[str, Chart]:
    """Every chart that can be drawn, by name."""
    found: dict[str, Chart] = {}
    confusion = content.scores.get("confusion")
    if confusion:
        labels = [row["label"] for row in content.scores["per_class"]]
        words = describe_confusion(labels, confusion)
        found["confusion"] = Chart(svg_of(confusion_heatmap(labels, confusion), None), words, True)
    if content.reliability is not None and not content.reliability.empty:
        table = content.reliability
        drawn = svg_of(reliability_chart(table), 420)
        found["reliability"] = Chart(drawn, describe_reliability(table))
    if content.coverage is not None and not content.coverage.empty:
        drawn = svg_of(coverage_chart(content.coverage, *(content.kept or (0.0, None))))
        found["coverage"] = Chart(drawn, describe_coverage(content.coverage))
    if not content.losses.empty:
        found["losses"] = Chart(svg_of(loss_curves(content.losses)), describe_losses(content.losses))
    if not content.learned.empty:
        words = describe_scores(content.learned, content.to_beat)
        found["learned"] = Chart(svg_of(score_curves(content.learned, content.to_beat)), words)
    return found


def svg_of(chart: alt.LayerChart | alt.Chart, width: int | None = _WIDTH) -> str:
    """The chart as an SVG element, drawn here: nothing is fetched.

    Args:
        width: of the drawing area in pixels; None leaves it to the number of columns.
    """
    # Imported late: it holds a whole JavaScript engine.
    import vl_convert

    sized = chart.properties(width=width if width else alt.Step(_column_width(chart)))
    return vl_convert.vegalite_to_svg(sized.to_dict(), config=_CONFIG, allowed_base_urls=[])


def _column_width(chart: alt.LayerChart | alt.Chart) -> int:
    """As wide as a confusion matrix's rows are high, with room for numbers."""
    step = chart.to_dict()["height"]["step"]
    return 64 if step >= 40 else step


def _pairs(scores: dict[str, Any]) -> list[dict[Hashable, Any]]:
    if not scores.get("confusion"):
        return []
    labels = [row["label"] for row in scores["per_class"]]
    return mistakes_table(labels, scores["confusion"]).to_dict("records")


def _mistakes(content: Content) -> list[dict[Hashable, Any]]:
    if content.mistakes is None or not content.with_texts:
        return []
    shown = content.mistakes.head(MOST_MISTAKES)
    cut = shown["text"].map(lambda text: text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…")
    return shown.assign(text=cut).to_dict("records")


def _coverage_rows(table: pd.DataFrame | None) -> list[dict[Hashable, float]]:
    """The rows nearest to a few shares of the texts: what is left to people buys how much accuracy."""
    if table is None or table.empty:
        return []
    places = [int((table["coverage"] - share).abs().argmin()) for share in (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)]
    return table.iloc[list(dict.fromkeys(places))].to_dict("records")
