"""The models that can answer here."""

import time
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError
from core.base.formatting import STATUS, percent
from core.data.storage.datasets import load_splits
from core.runs.results import outputs
from core.runs.training import states, store
from core.runs.training.run import Run, own_dataset
from core.serving import imported_models
from core.serving.imported_models import Imported

ENDED_WELL = ("finished", "stopped")
ENDED = (*ENDED_WELL, "failed", "interrupted", "damaged")


@dataclass(frozen=True)
class Model:
    """A fine-tuned classifier on disk, wherever it came from."""

    id: str
    """The id of its run, or of the file that it came from."""
    title: str
    """For people: what it is, and how good."""
    folder: Path
    """A Hugging Face folder with safetensors weights."""
    run: Run | None
    """The run that made it, when it was made here."""

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of the file that it was trained on; empty when that is not known."""
        try:
            return tuple(own_dataset(self.run).source.get("text", ())) if self.run else ()
        except UserError:
            return ()

    @property
    def place(self) -> Path:
        """The folder of its run, or its own: what belongs to the model lies there and goes with it."""
        return self.folder.parent


def usable_models() -> list[Model]:
    """Every model that has ended its training, newest first; behind them those taken from files."""
    trained = [_of_run(run) for run in store.list_runs() if is_usable(run)]
    return trained + [_of_file(model) for model in imported_models.list_imported()]


def is_usable(run: Run) -> bool:
    """Whether the run has ended and left a model."""
    return outputs.model_folder(run) is not None and states.state(run).status in ENDED


def _of_run(run: Run) -> Model:
    folder = outputs.model_folder(run)
    assert folder is not None
    return Model(run.id, _title(run), folder, run)


def _of_file(model: Imported) -> Model:
    day = time.strftime("%Y-%m-%d", time.localtime(model.added))
    return Model(model.id, f"{model.name} – from a file, {day}", model.folder, None)


def _title(run: Run) -> str:
    scores = (outputs.report_of(run) or {}).get("test") or {}
    accuracy = f", {percent(scores['accuracy'])} test accuracy" if scores else ""
    status = states.state(run).status
    ending = "" if status in ENDED_WELL else f", {STATUS[status]}: best weights before that"
    name = f"{run.name} – run {run.number}" if run.readable else f"(cannot be read) {run.id}"
    return f"{name}{accuracy}{ending}"


def training_texts(folder: Path) -> frozenset[str]:
    """The texts that the model in this folder was trained on; none where they are not beside it."""
    try:
        return frozenset(load_splits(folder.parent / "dataset").train.texts)
    except (UserError, OSError):
        return frozenset()
