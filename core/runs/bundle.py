"""A run as a file to take away."""

from pathlib import Path

from core.errors import UserError
from core.learning import catalogue
from core.learning.config import to_dict
from core.runs import store
from core.runs.store import Run

FORMATS = ("pth", "huggingface")


def export_run(run: Run, form: str, out: Path) -> None:
    """Write the run's best weights as a state dict (`pth`) or a zip of a Hugging Face folder.

    Raises:
        UserError: the run has no weights.
    """
    # Imported late: the pages and the CLI's listings import this package without torch.
    from core.serving.export import export_huggingface, export_state_dict

    folder = weights_of(run)
    if form == "pth":
        export_state_dict(folder, out)
    else:
        export_huggingface(folder, card_of(run), out)


def card_of(run: Run) -> str:
    """The model card of a run."""
    from core.serving.card import model_card

    base = next(
        (known.title for known in catalogue.available() if known.name == run.config.model), run.config.model
    )
    recorded = {name: value for name, value in to_dict(run.config).items() if name not in run.unrecorded}
    return model_card(base, store.own_dataset(run), recorded, store.report_of(run))


def weights_of(run: Run) -> Path:
    """The folder of the run's best weights.

    Raises:
        UserError: when there are none yet.
    """
    folder = store.model_folder(run)
    if folder is None:
        raise UserError(
            "a run with weights",
            f"a run that is {store.state(run).status} and has none",
            "Wait for its first evaluation, or choose another run.",
        )
    return folder
