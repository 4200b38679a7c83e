"""What a training will take: from a few measured steps to time and memory. Plain arithmetic, no torch.

`measuring` measures; here is what to make of it. So other epochs, learning rates or evaluations need no new
measuring, and pages can say what they cost at once.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from annotated_types import Predicate

from core.base.json_forms import Amount, Count, Share, Timestamp, parse_as
from core.learning import pretrained
from core.learning.config import TrainingConfig
from core.learning.pretrained import PretrainedModel

PARTS = {
    "loading": "Reading the model and the texts",
    "steps": "Training steps",
    "evaluations": "Scoring the validation texts",
    "keeping": "Keeping the best weights",
    "snapshots": "Snapshots",
    "judging": "Scoring at the end",
}
"""What the time goes into, in the order in which it begins, in words."""

QUIET_SHARE = 0.75
"""Share of its cores that a measuring gets on a machine that does nothing else, at the least."""

EFFICIENCY = 0.9
"""Power of the weights with which a token's time grows: BERT base has 7.9 times the weights in its layers
that MiniLM-L6 has, and was 6.4 times slower."""


@dataclass(frozen=True)
class Measurements:
    """What a few steps took on this machine: seconds and bytes, unless it says otherwise."""

    model: str
    max_length: Count
    """Tokens."""
    batch_size: Count
    """Texts per step."""
    precision: str
    """As in the settings."""
    device: str
    """cpu, cuda or mps."""
    loading: Amount
    """From the model's files to a network."""
    libraries: Amount
    """Importing what scores and predictions need."""
    tokenising: Amount
    """Per text."""
    step: Amount
    """Mean over batches of the data's lengths."""
    step_fixed: Amount
    """The part of a step that does not depend on its texts: the optimizer's, mostly."""
    tokens: Amount
    """Per step, padding included, in the mean."""
    new_width: Amount
    """Once for each width of a batch that occurs: the matrix library makes its kernels."""
    widths: Count
    """How many occur in an epoch."""
    scoring: Amount
    """Per text, in the training's precision."""
    evaluation: Amount
    """Per evaluation, whatever the number of texts."""
    exact_scoring: Amount
    """Per text, in float32, as at the end."""
    saving: Amount
    """Once: weights and tokenizer."""
    snapshot: Amount
    """Once: the training's whole state."""
    snapshot_every: Amount
    """Time of training from the beginning of one to the beginning of the next."""
    resting_bytes: Count
    """Memory of the process before it has a model; on a GPU, of the GPU."""
    model_bytes: Count
    """What the model and the optimizer add."""
    peak_bytes: Count
    """The most memory at a time, with that of a batch."""
    share_of_cores: Share
    """Of the time of all its cores, how much the measuring got (0 to 1). Little means a busy machine."""
    measured: Timestamp
    """Seconds since 1970."""

    @property
    def quiet(self) -> bool:
        """Whether the machine had little else to do. What a GPU's machine does besides matters less."""
        return self.device != "cpu" or self.share_of_cores >= QUIET_SHARE


@dataclass(frozen=True)
class Forecast:
    """What a training is expected to take on this machine."""

    parts: Annotated[dict[str, Amount], Predicate(lambda parts: parts.keys() == PARTS.keys())]
    """Seconds by what they go into; see `PARTS`."""
    memory_bytes: Count
    """The most that it takes at a time; on a GPU, of the GPU's memory."""
    device: str
    """cpu, cuda or mps."""
    estimated: bool
    """Not measured with this model and these batches, but scaled from others."""
    quiet: bool
    """Whether the machine did little else while it was measured."""

    @property
    def seconds(self) -> float:
        """From the reading of the model to the last score, when all epochs are trained."""
        return sum(self.parts.values())


def forecast(measured: Measurements, config: TrainingConfig, counts: dict[str, int]) -> Forecast:
    """Time and memory of a whole training.

    Args:
        measured: with the model, max length, batch size and precision of `config`.
        counts: texts by split: train, validation, test.
    """
    train, validation, test = (counts[split] for split in ("train", "validation", "test"))
    steps_per_epoch = math.ceil(train / config.batch_size)
    evaluations = min(config.evaluations_per_epoch, steps_per_epoch) * config.epochs
    texts_read = train + 2 * validation + test
    steps = steps_per_epoch * config.epochs * measured.step + measured.widths * measured.new_width
    scoring = evaluations * (measured.evaluation + validation * measured.scoring) if validation else 0.0
    keeping = _kept(evaluations, bool(validation)) * measured.saving
    training = steps + scoring + keeping
    judged = validation + test
    return Forecast(
        parts={
            "loading": measured.loading + texts_read * measured.tokenising,
            "steps": steps,
            "evaluations": scoring,
            "keeping": keeping,
            "snapshots": _snapshots(training, measured) * measured.snapshot,
            "judging": measured.libraries + measured.loading + judged * measured.exact_scoring,
        },
        memory_bytes=measured.peak_bytes,
        device=measured.device,
        estimated=False,
        quiet=measured.quiet,
    )


def estimate(
    measured: Measurements, config: TrainingConfig, counts: dict[str, int], model: PretrainedModel
) -> Forecast:
    """Time and memory from what was measured with another model, or with batches of another size.

    A token's time grows with the weights that it meets in the layers, a little less than in proportion, since
    larger products are the more efficient ones; the optimizer's and the disk's with all weights; and the
    memory of a batch with what the layers keep of each token.

    Args:
        measured: with the same texts and max length as `config`.
        model: that of `config`; its sizes are known.
    """
    weights, met, kept = _ratios(model, measured.model)
    per_token = met**EFFICIENCY
    batch = config.batch_size / measured.batch_size
    texts_seconds = (measured.step - measured.step_fixed) * batch * per_token
    batch_bytes = measured.peak_bytes - measured.resting_bytes - measured.model_bytes
    fixed = measured.step_fixed * met
    scaled = replace(
        measured,
        model=config.model,
        batch_size=config.batch_size,
        precision=config.precision,
        loading=measured.loading * weights,
        step=fixed + texts_seconds,
        step_fixed=fixed,
        tokens=measured.tokens * batch,
        scoring=measured.scoring * per_token,
        exact_scoring=measured.exact_scoring * per_token,
        saving=measured.saving * weights,
        snapshot=measured.snapshot * weights,
        snapshot_every=measured.snapshot_every * weights,
        model_bytes=round(measured.model_bytes * weights),
        peak_bytes=round(
            measured.resting_bytes + measured.model_bytes * weights + batch_bytes * kept * max(1.0, batch)
        ),
    )
    return replace(forecast(scaled, config, counts), estimated=True)


def can_estimate(measured: Measurements, model: PretrainedModel) -> bool:
    """Whether it is the same model, or the sizes of both are known."""
    known = next((one for one in pretrained.available() if one.name == measured.model), None)
    return known is not None and (known.name == model.name or bool(known.layers and model.layers))


def _ratios(model: PretrainedModel, measured: str) -> tuple[float, float, float]:
    """Of all weights, of those that each token meets, and of what the layers keep of each token."""
    if model.name == measured:
        return 1.0, 1.0, 1.0
    known = pretrained.find(measured)
    return (
        model.parameters / known.parameters,
        _met(model) / _met(known),
        (model.layers * model.hidden) / (known.layers * known.hidden),
    )


def _met(model: PretrainedModel) -> int:
    """Weights that each token is multiplied with: all but the table of words."""
    return model.parameters - model.vocabulary * model.hidden


def _kept(evaluations: int, scored: bool) -> float:
    """How often better weights are found: at first nearly each time, later about every second time."""
    return min(evaluations, 2 + (evaluations - 2) / 2) if scored else evaluations


def _snapshots(training: float, measured: Measurements) -> int:
    between = measured.snapshot_every - measured.snapshot
    return 1 + int(training / between) if between > 0 else 1


def to_dict(measured: Measurements) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    return asdict(measured)


def from_dict(values: object) -> Measurements:
    """Measurements from plain values.

    Raises:
        ValueError: something is missing, or is nothing that could have been measured.
    """
    return parse_as(values, Measurements)


def read(values: object) -> Forecast:
    """A forecast from plain values.

    Raises:
        ValueError: something is missing, or is nothing that could have been forecast.
    """
    return parse_as(values, Forecast)
