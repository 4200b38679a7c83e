"""What a run was made with and from, in words: its settings, its data, its machine."""

from collections import Counter
from typing import Any

from core.base.errors import UserError
from core.base.formatting import STATUS, count, duration, escape_markdown
from core.data.storage.datasets import Dataset, read_rejected
from core.learning import config as settings
from core.learning import pretrained
from core.learning.config import SETTINGS
from core.runs.results import outputs
from core.runs.training import states
from core.runs.training.run import Run, own_dataset

MOST_REASONS = 200
_SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def model_title(run: Run) -> str:
    """The pre-trained model for people."""
    titles = {known.name: known.title for known in pretrained.available()}
    return titles.get(run.config.model, run.config.model)


def summary_of(run: Run) -> str:
    """Model and main settings in one line, as safe Markdown."""
    words = {
        "model": escape_markdown(model_title(run)),
        "epochs": count(run.config.epochs, "epoch"),
        "batch_size": f"batches of {run.config.batch_size}",
        "learning_rate": f"learning rate {run.config.learning_rate:g}",
    }
    # What an earlier version did not write down may have been another value than today's default.
    return " · ".join(said for name, said in words.items() if name not in run.unrecorded)


def row_of(run: Run) -> dict[str, Any]:
    """The run as a row of a table of runs; None where something is not known."""
    state = states.state(run)
    row: dict[str, Any] = {"Status": STATUS[state.status], "Data set": run.name or "(cannot be read)"}
    row |= {"Accuracy (%)": None, "Macro F1 (%)": None, "Started": state.started or run.created or None}
    if not run.readable:
        return row
    scores = (outputs.report_of(run) or {}).get("test")
    if scores:
        row |= {"Accuracy (%)": 100 * scores["accuracy"], "Macro F1 (%)": 100 * scores["macro_f1"]}
    values: dict[str, Any] = {
        "model": model_title(run),
        "epochs": run.config.epochs,
        "batch_size": run.config.batch_size,
        "learning_rate": f"{run.config.learning_rate:g}",
    }
    row |= {"Duration": duration(state.seconds) if state.seconds is not None else None}
    values |= dict.fromkeys(name for name in values if name in run.unrecorded)
    return row | {_IN_TABLE[name]: value for name, value in values.items()}


_IN_TABLE = {
    "model": "Model",
    "epochs": "Epochs",
    "batch_size": "Batch size",
    "learning_rate": "Learning rate",
}


def settings_of(run: Run) -> dict[str, str]:
    """Every setting in words → its value in words."""
    values = settings.to_dict(run.config) | {"model": model_title(run)}
    # What a version of old did not write down may have been another value than today's default.
    values |= dict.fromkeys(run.unrecorded, "not recorded")
    return {SETTINGS[name].label: in_words(value) for name, value in values.items()}


def facts_of(run: Run, report: dict[str, Any]) -> dict[str, str]:
    """Data and machine of a run: what → its value in words."""
    facts = {"Data set": run.name, **data_of(run)}
    names = {"device": "Device", "precision": "Precision", "hardware_reason": "Why so"}
    facts |= {words: report[name] for name, words in names.items() if name in report}
    if "train_seconds" in report:
        facts["Training steps took"] = duration(report["train_seconds"])
    speeds = {"samples_per_second": "Texts per second", "tokens_per_second": "Tokens per second"}
    facts |= {words: f"{report[name]:,.0f}" for name, words in speeds.items() if name in report}
    return facts | {"Run": run.id}


def data_of(run: Run) -> dict[str, str]:
    """The run's own copy of its data: what → its value in words; why not, when that is damaged."""
    try:
        dataset = own_dataset(run)
    except UserError as error:
        return {"Data": error.reason}
    parts = [f"{number:,} {_SPLITS[split]}" for split, number in dataset.counts.items()]
    return {
        "Texts": ", ".join(parts),
        "Classes": f"{len(dataset.label2id):,}",
        "Split": dataset.how,
        "Content (sha256)": dataset.sha256,
    }


def reasons_left_out(dataset: Dataset) -> dict[str, int]:
    """Reason → rows of the file that are not in the data set, the most frequent first."""
    found = Counter(row.reason for row in read_rejected(dataset)) + Counter(dataset.removed)
    return dict(found.most_common(MOST_REASONS))


def in_words(value: Any) -> str:  # noqa: ANN401 - settings are numbers, words and switches
    """A setting's value for people."""
    return str(value) if not isinstance(value, bool) else "yes" if value else "no"
