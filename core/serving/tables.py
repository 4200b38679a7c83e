"""A table goes in, the same table with two more columns comes out."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from core.data.labels import join_text
from core.data.tables import Table
from core.serving.classifier import Classifier


def predict_table(
    classifier: Classifier,
    table: Table,
    text_columns: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """The table as it is, in its order, with `predicted_label` and `confidence` (0 to 1) added.

    A row without text gets an empty label and no confidence: there is nothing to judge. A column of the
    file that has such a name already stays; the new one then ends in a number.

    Raises:
        UserError: when a text column is not in the table.
    """
    texts = join_text(table, text_columns)
    filled = [i for i, text in enumerate(texts) if text.strip()]
    predictions = classifier.predict([texts[i] for i in filled], progress)
    labels = np.full(len(texts), "", dtype=object)
    confidence = np.full(len(texts), np.nan)
    labels[filled] = predictions.labels
    confidence[filled] = predictions.confidence.round(6)
    labelled = table.frame.copy()
    labelled[free_name("predicted_label", labelled.columns)] = labels
    labelled[free_name("confidence", labelled.columns)] = confidence
    return labelled


def free_name(name: str, taken: Sequence[str]) -> str:
    """The name itself, or with the first number that makes it new."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
