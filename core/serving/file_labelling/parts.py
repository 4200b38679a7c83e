"""The parts of a labelled file: the rows of one batch each, with the new columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.base.disk import full_is_said, whole_file
from core.serving.file_labelling.plan import Plan


def part_of(folder: Path, number: int) -> Path:
    """Where the rows of this batch are."""
    return folder / f"{number:08d}.parquet"


def parts_of(folder: Path) -> list[Path]:
    """The parts that are there, in the order of the file."""
    return sorted(folder.glob("[0-9]*.parquet"))


def columns_of(folder: Path) -> list[str]:
    """The columns of the labelled file."""
    return pq.read_schema(part_of(folder, 0)).names


def write_part(
    folder: Path, number: int, labelled: pd.DataFrame, truth: np.ndarray | None, answers: np.ndarray | None
) -> None:
    """Keep the rows of a batch, whole or not at all.

    Args:
        labelled, truth, answers: as `labelling.label_table` gives them.

    Raises:
        NoSpace: the disk is full.
        ValueError: true labels without probabilities, or these without the labels.
    """
    part, scored = part_of(folder, number), scored_rows(truth, answers)
    with full_is_said("the labelled file", int(labelled.memory_usage(deep=True).sum()), folder):
        if scored is not None:
            with whole_file(part.with_suffix(".npz")) as draft, draft.open("wb") as file:
                np.savez(file, truth=scored[0], answers=scored[1].astype(np.float32))
        # Last: a part counts as done when this file is there.
        with whole_file(part) as draft:
            table = pa.Table.from_pandas(labelled, preserve_index=False).replace_schema_metadata(None)
            pq.write_table(table, draft, compression="zstd", compression_level=1)


def scored_rows(truth: np.ndarray | None, answers: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
    """True labels and probabilities of the same rows; None where the file has no true labels.

    Raises:
        ValueError: one without the other, or of another number of rows.
    """
    if truth is None and answers is None:
        return None
    if truth is None or answers is None or len(truth) != len(answers):
        raise ValueError("expected the true labels of a batch and as many rows of probabilities, or neither")
    return truth, answers


def read_part(
    folder: Path, number: int, columns: dict[str, Any], plan: Plan
) -> tuple[pd.DataFrame, np.ndarray | None, np.ndarray | None]:
    """The label and unsure columns of a part; its true labels and probabilities, if there are such labels."""
    part = part_of(folder, number)
    new = [name for name in (columns["label"], columns["unsure"]) if name]
    frame = pq.read_table(part, columns=new).to_pandas()
    if plan.label is None:
        return frame, None, None
    with np.load(part.with_suffix(".npz"), allow_pickle=False) as kept:
        return frame, kept["truth"], kept["answers"]
