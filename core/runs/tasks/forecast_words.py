"""What a training will take, in sentences."""

from dataclasses import replace

from core.base.formatting import duration, escape_markdown, size
from core.data.storage.datasets import Dataset
from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.learning.forecasting.estimate import PARTS, Forecast
from core.learning.pretrained import PretrainedModel
from core.runs.tasks import forecasts
from core.runs.tasks.forecasts import Outlook


def sentence(outlook: Outlook, config: TrainingConfig) -> str:
    """What is known, or why nothing is; safe Markdown."""
    if outlook.forecast:
        about = "At most" if config.early_stopping else "About"
        return (
            f"**{about} {forecasts.in_words(outlook.forecast)}** on this machine"
            f"{_why_rough(outlook, outlook.forecast, config)}."
        )
    if outlook.state == "failed":
        return f"No forecast: {escape_markdown(outlook.problem)}"
    if outlook.state == "waiting":
        return "The forecast is measured as soon as the training at work has ended."
    return "Measuring a few steps for a forecast. You can start all the same."


def _why_rough(outlook: Outlook, found: Forecast, config: TrainingConfig) -> str:
    """Why the forecast may be further off than usual, and whether a better one is on its way."""
    if not outlook.at_hand:
        gigabytes = size(4 * pretrained.find(config.model).parameters)
        return f", by estimate, and {gigabytes} to fetch at first"
    if outlook.pending and found.estimated:
        later = "is measured when the training at work has ended"
        return f", by estimate; {later if outlook.state == 'waiting' else 'measuring'}"
    return "" if found.quiet else "; measured while it was busy: alone it is faster"


def parts_in_words(found: Forecast) -> str:
    """A line of a list for each part that takes half a second or more."""
    shown = {name: seconds for name, seconds in found.parts.items() if seconds >= 0.5}
    return "\n".join(f"- {PARTS[name]}: {duration(seconds)}" for name, seconds in shown.items())


def line_of(dataset: Dataset, config: TrainingConfig, model: PretrainedModel) -> str:
    """A line of a list with what the same training of another model takes; empty when that is not known."""
    found = forecasts.look(dataset, replace(config, model=model.name)).forecast
    if config.max_length > model.longest or not found:
        return ""
    # A number and its unit stay on one line.
    words = ", ".join(
        text.replace(" ", "\u00a0") for text in (duration(found.seconds), size(found.memory_bytes))
    )
    return f"- {escape_markdown(model.title)}: {words}{' (estimate)' if found.estimated else ''}"
