"""What a run left in its folder: model, report, predictions, classes, and the log of its process."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.base.json_forms import load
from core.learning.pretrained import WEIGHTS
from core.runs.results.report_json import sound_report
from core.runs.training.run import Run, own_dataset

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


log = logging.getLogger(__name__)

_PROBABILITIES = "probabilities"
_PREDICTIONS = ("split", "text", "label", "predicted", "confidence")


def model_folder(run: Run) -> Path | None:
    """The run's best weights so far, as a Hugging Face folder; None while there are none."""
    folder = run.folder / "model"
    return folder if not run.folder.is_symlink() and _is_file(folder / WEIGHTS) else None


def report_of(run: Run) -> dict[str, Any] | None:
    """The run's scores, speed and hardware, as far as they are sound; None when nothing is.

    See `report_json.sound_report` for what may be missing.
    """
    try:
        return sound_report(load(run.folder / "report.json"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        log.warning("the report of run %s cannot be read", run.id)
        return None


def classes_of(run: Run) -> list[str]:
    """The run's classes in the order of their numbers, which is that of all probabilities.

    Raises:
        UserError: the run's own copy of its data set is damaged.
    """
    label2id = own_dataset(run).label2id
    return sorted(label2id, key=label2id.__getitem__)


def predictions_of(run: Run) -> pd.DataFrame | None:
    """split, text, label, predicted and confidence of each held-out text; and its probabilities, where they
    are known: an array of float32 per text, in the order of `classes_of`, uncalibrated.

    None while there are none, or when the file is damaged. Earlier versions wrote no probabilities.
    """
    # Imported late: worker and trainer begin twice as fast without it.
    import pandas as pd
    import pyarrow as pa

    try:
        table = pd.read_parquet(run.folder / "predictions.parquet", columns=list(_PREDICTIONS))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, pa.ArrowException):
        log.warning("the predictions of run %s cannot be read", run.id)
        return None
    if not _are_answers(table):
        log.warning("the predictions of run %s are none", run.id)
        return None
    probabilities = _probabilities(run, len(table))
    return table if probabilities is None else table.assign(probabilities=list(probabilities))


def _are_answers(table: pd.DataFrame) -> bool:
    """Whether every cell holds what it should: words, and confidences between 0 and 1."""
    import pandas as pd

    texts = [name for name in _PREDICTIONS if name != "confidence"]
    words = all(map(pd.api.types.is_string_dtype, (table[name] for name in texts)))
    if not words or not pd.api.types.is_numeric_dtype(table["confidence"]) or table.isna().any(axis=None):
        return False
    return bool(table["confidence"].between(0, 1.001).all())


def _probabilities(run: Run, texts: int) -> np.ndarray | None:
    """float32 [texts, classes]; None when there are none, or they are damaged."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    file = run.folder / "predictions.parquet"
    try:
        if _PROBABILITIES not in parquet.read_schema(file).names:
            return None
        column = parquet.read_table(file, columns=[_PROBABILITIES])[_PROBABILITIES].combine_chunks()
        classes = len(classes_of(run))
        numbers = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        whole = column.null_count == 0 and set(np.diff(column.offsets.to_numpy()).tolist()) <= {classes}
        if not whole or not (np.isfinite(numbers) & (numbers >= 0) & (numbers <= 1.001)).all():
            raise ValueError("they are no probabilities of its classes")
        return numbers.reshape(texts, classes)
    except (OSError, ValueError, TypeError, AttributeError, pa.ArrowException, UserError) as error:
        log.warning("the probabilities of run %s are passed over: %s", run.id, error)
        return None


def log_of(run: Run, characters: int = 20_000) -> str:
    """The end of what the training process printed."""
    try:
        content = (run.folder / "log.txt").read_bytes()
    except OSError:
        return ""
    return content.decode("utf-8", errors="replace")[-characters:]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
