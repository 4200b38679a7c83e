"""Numbers, times, states and other people's text, made ready to be read on a page."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from core.base.errors import UserError

WORD_JOINER = "\u2060"

STATUS = {
    "queued": "waiting in line",
    "running": "running",
    "stopping": "stopping",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "interrupted",
    "damaged": "damaged",
}
"""What each status of a run is called."""


@dataclass(frozen=True)
class Score:
    """How a score is called, written and explained."""

    words: str
    meaning: str
    in_percent: bool = True

    def write(self, value: float) -> str:
        """ "88.4%", or "0.312" for what is no share."""
        return percent(value) if self.in_percent else f"{value:.3f}".replace("-", "\u2212")

    def write_interval(self, ends: Sequence[float]) -> str:
        """ "86.1 to 90.3%", or "0.290 to 0.341"."""
        low, high = map(self.write, ends)
        return f"{low.removesuffix('%')} to {high}"


SCORES = {
    "accuracy": Score("Accuracy", "Share of the texts that got the right label."),
    "macro_f1": Score(
        "Macro F1", "Mean over all classes of F1 (the balance of precision and recall); each counts the same."
    ),
    "balanced_accuracy": Score(
        "Balanced accuracy", "Mean recall of the classes; each counts the same, however rare."
    ),
    "weighted_f1": Score("Weighted F1", "Mean F1 of the classes, weighted by their numbers of texts."),
    "macro_precision": Score("Macro precision", "Mean precision of the classes; each counts the same."),
    "macro_recall": Score("Macro recall", "Mean recall of the classes; each counts the same."),
    "mcc": Score(
        "Matthews correlation",
        "Agreement of answers and truth: 1 is perfect, 0 is no better than chance, below 0 worse.",
        in_percent=False,
    ),
    "auroc": Score(
        "AUROC",
        "How well the probabilities put texts of a class before all others: 1 is perfect, 0.5 is chance.",
        in_percent=False,
    ),
    "loss": Score(
        "Loss",
        "How far the probabilities are from the true labels (cross-entropy, nats). Lower is better.",
        in_percent=False,
    ),
    "brier": Score(
        "Brier score",
        "Mean squared distance of the probabilities from the truth. Lower is better.",
        in_percent=False,
    ),
    "ece": Score(
        "Calibration error (ECE)",
        "Mean distance of confidence and accuracy, over 15 bins of the confidence. Lower is better.",
    ),
}
"""What each score is called, how it is written, and what it means."""

MAIN_SCORES = ("accuracy", "macro_f1")
"""Shown first; the others are a look further."""

TEMPERATURE_IS = (
    "The temperature divides what the network says before it becomes probabilities: above 1 makes a model "
    "that is too sure less so, below 1 makes it surer; no label changes."
)

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")
# Places inside text where a renderer makes an emoji, an icon, an arrow, a dash or a link, escaped or not.
_REPLACED = re.compile(r"(?=[:@])|(?<=[<>~=-])(?=[<>~=-])|(?<=www)(?=\.)", re.IGNORECASE)


def escape_markdown(text: str) -> str:
    """Text as Markdown that shows as itself, on one line.

    Every punctuation mark gets a backslash (CommonMark 0.31, 2.4). An invisible word joiner breaks what
    is still replaced after that: emoji codes, arrows, and bare links.
    """
    in_one_line = " ".join(text.split())
    return _MARKDOWN.sub(r"\\\1", _REPLACED.sub(WORD_JOINER, in_one_line))


def shorten(text: str, limit: int = 80) -> str:
    """At most `limit` characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def isolated(text: str) -> str:
    """Text that does not turn the words around it, should it be written from right to left."""
    turns = any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)
    return f"\u2068{text}\u2069" if turns else text


def explain(error: UserError) -> str:
    """An error's three parts as safe Markdown: two sentences, then what to do."""
    return f"{escape_markdown(error.reason)}\n\n**What to do:** {escape_markdown(error.remedy)}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A counted noun: "1 row", "1,234 rows", "2 classes" for ("class", "classes")."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(share: float, digits: int = 1) -> str:
    """A share of one in percent: 0.884 is "88.4%"."""
    return f"{100 * share:.{digits}f}%"


def duration(seconds: float) -> str:
    """A time span in its two largest units: "8 s", "3 min 20 s", "2 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(number_of_bytes: int) -> str:
    """A file size: "512 bytes", "4.1 kB", "92.3 MB" (powers of 1,000)."""
    if number_of_bytes < 1000:
        return count(number_of_bytes, "byte")
    amount = float(number_of_bytes)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 1000 or unit == "GB":
            break
    return f"{amount:.1f} {unit}"
