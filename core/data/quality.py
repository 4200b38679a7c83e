"""What is wrong, or may be wrong, with the data, in words for people."""

from dataclasses import dataclass

import pandas as pd

from core.data.labels import LabeledTexts
from core.data.tables import RejectedRow, Table


@dataclass(frozen=True)
class Finding:
    """One problem of the data. An error stops the training, a warning does not."""

    severity: str
    title: str
    expected: str
    found: str
    remedy: str
    count: int
    examples: tuple[str, ...] = ()


def profile_columns(table: Table) -> pd.DataFrame:
    """One row per column: `column`, `filled` (share, 0 to 1), `distinct` (number of values), `example`."""
    rows = []
    for name in table.frame.columns:
        values = table.frame[name]
        filled = values[values.str.strip() != ""]
        rows.append(
            {
                "column": name,
                "filled": len(filled) / max(len(values), 1),
                "distinct": int(values.nunique()),
                "example": filled.iloc[0] if len(filled) else "",
            }
        )
    return pd.DataFrame(rows, columns=["column", "filled", "distinct", "example"])


def find_problems(labeled: LabeledTexts, rejected: list[RejectedRow]) -> list[Finding]:
    """Everything that is wrong or doubtful, errors first."""
    findings = []
    if len(labeled.label2id) < 2:
        findings.append(
            Finding(
                "error",
                "Only one class",
                "two or more classes",
                f"{len(labeled.label2id)}",
                "Choose another label column or add rows of another class.",
                len(labeled),
            )
        )
    return findings


def length_histogram(texts: list[str]) -> pd.DataFrame:
    """Number of texts per range of length in words: `words_from`, `words_to` (both included), `texts`."""
    words = pd.Series([len(text.split()) for text in texts], dtype="int64")
    width = max(1, -(-(int(words.max()) + 1) // 30)) if len(words) else 1
    counts = (words // width).value_counts().sort_index()
    return pd.DataFrame(
        {
            "words_from": counts.index * width,
            "words_to": counts.index * width + width - 1,
            "texts": counts.to_numpy(),
        }
    )
