"""What the checks of a data set found, as tables and sentences."""

from typing import Any

import pandas as pd

from core.base.formatting import count
from core.charts.elements import SPLIT_MEANING

CLASSIFIERS = {
    "majority": "Always the most common class",
    "tfidf": "Words and letter groups (TF-IDF)",
    "embeddings": "Embedded model as it comes",
    "average": "Both together",
}
"""What the simple classifiers are called."""

FEWEST_SHOWN, MOST_SHOWN = 20, 300
"""Of the texts whose labels are in doubt."""

Place = tuple[str, int]
"""Where a text stands: the name of its split, and its position in it."""


def baselines_table(found: dict[str, Any]) -> pd.DataFrame:
    """A row per simple classifier, with its scores in percent."""
    scores = found["scores"]["all"]
    return pd.DataFrame(
        [
            [words, 100 * scores[name]["accuracy"], 100 * scores[name]["macro_f1"]]
            for name, words in CLASSIFIERS.items()
        ],
        columns=["Classifier", "Accuracy (%)", "Macro F1 (%)"],
    )


def about_baselines(found: dict[str, Any]) -> list[str]:
    """How the baselines were found, in sentences."""
    said = [
        f"Each text is judged by classifiers trained on the others, in {found['folds']} folds "
        "(cross-validation); equal texts are in one fold."
    ]
    if found["judged"] < found["texts"]:
        said.append(f"Of {found['texts']:,} texts, {found['judged']:,} were drawn at random for this.")
    if unknown := found.get("unknown"):
        said.append(f"{count(unknown, 'text')} could not be judged: no other text has the same label.")
    return said


def shown_suspects(found: dict[str, Any], rows: pd.DataFrame) -> pd.DataFrame:
    """The texts that are worth a look, the most doubtful first."""
    return rows.head(max(FEWEST_SHOWN, min(MOST_SHOWN, found["suspects"])))


def suspects_table(rows: pd.DataFrame, fill: bool) -> pd.DataFrame:
    """The texts with a column for a new label and one to drop them.

    Args:
        fill: begin with the suggestion wherever the label is more likely wrong than right.
    """
    new = rows["suggested"].where(rows["likely"].astype(bool) & fill, rows["label"])
    return pd.DataFrame(
        {
            "text": rows["text"],
            "label": rows["label"],
            "new": new,
            "drop": False,
            "suggested": rows["suggested"],
            "doubt": 100 * (1 - rows["probability"]),
            "split": rows["split"].map(SPLIT_MEANING),
        }
    )


def changes(rows: pd.DataFrame, edited: pd.DataFrame) -> tuple[dict[Place, str], list[Place]]:
    """What was changed in a table of `suspects_table`: the new labels, and the texts to drop."""
    places = list(zip(rows["split"], rows["position"].astype(int), strict=True))
    new, old, dropped = edited["new"], rows["label"], edited["drop"]
    labels = {
        place: label
        for place, label, given, gone in zip(places, new, old, dropped, strict=True)
        if label != given and not gone
    }
    return labels, [place for place, gone in zip(places, dropped, strict=True) if gone]
