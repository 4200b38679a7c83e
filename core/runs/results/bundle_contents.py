"""What goes with a run's weights when they are taken away."""

from collections.abc import Sequence
from pathlib import Path

from core.base.errors import UserError
from core.base.folders import sha256_of
from core.learning import pretrained
from core.learning.config import to_dict
from core.learning.pretrained import WEIGHTS
from core.runs.results import outputs
from core.runs.results.facts import model_title
from core.runs.tasks import data_checks
from core.runs.training import states
from core.runs.training.run import Run, own_dataset


def card_of(run: Run, files: Sequence[str] = ()) -> str:
    """The model card of a run.

    Args:
        files: what will lie beside the card, as paths with `/`: `predict.py`, ONNX files, the HTML page.
    """
    # Imported late: it takes a moment to tell which language the texts are in.
    from core.serving.export.model_card.card import model_card
    from core.serving.export.model_card.sources import Origin

    known = next((one for one in pretrained.available() if one.name == run.config.model), None)
    recorded = {name: value for name, value in to_dict(run.config).items() if name not in run.unrecorded}
    folder = outputs.model_folder(run)
    origin = Origin(
        hub_id=known.repo if known else None,
        baseline=data_checks.baseline_of(run.dataset_id, "test"),
        weights_sha256=sha256_of(folder / WEIGHTS) if folder else None,
        files=tuple(files),
    )
    return model_card(model_title(run), own_dataset(run), recorded, outputs.report_of(run), origin)


def weights_of(run: Run) -> Path:
    """The folder of the run's best weights.

    Raises:
        UserError: when there are none yet.
    """
    folder = outputs.model_folder(run)
    if folder is None:
        raise UserError(
            "a run with weights",
            f"a run that is {states.state(run).status} and has none",
            "Wait for its first evaluation, or choose another run.",
        )
    return folder
