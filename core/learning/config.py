"""The settings of one training. Standard library only, so that every page can import it."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from core.base.errors import UserError


@dataclass(frozen=True)
class Setting:
    """How one setting is called, explained and bounded. Its default is the field's."""

    label: str
    """With its unit."""
    help: str
    low: float = -math.inf
    high: float = math.inf
    """Smallest and largest allowed number, both included."""
    step: float = 1
    """By which a number field goes up and down."""
    choices: tuple[str, ...] = ()
    """The allowed values, where it is chosen from a list."""


def _number(default: float, label: str, bounds: tuple[float, float], help: str, step: float = 1) -> Any:  # noqa: ANN401
    low, high = bounds
    return field(default=default, metadata={"setting": Setting(label, help, low, high, step)})


def _choice(default: str, label: str, choices: tuple[str, ...], help: str) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"setting": Setting(label, help, choices=choices)})


def _other(default: object, label: str, help: str) -> Any:  # noqa: ANN401 - a field is typed where it stands
    return field(default=default, metadata={"setting": Setting(label, help)})


@dataclass(frozen=True)
class TrainingConfig:
    """What a person can set before a training. The defaults suit the embedded model."""

    model: str = _other("bundled", "Model", "The pre-trained language model to start from.")
    """Name in the catalogue of pre-trained models."""
    epochs: int = _number(3, "Epochs", (1, 100), "How often the model sees every training text.")
    batch_size: int = _number(
        16, "Batch size (texts)", (1, 512), "Texts per step. More is faster and needs more memory."
    )
    """Texts per optimizer step."""
    learning_rate: float = _number(
        1e-4,
        "Learning rate",
        (1e-7, 1e-2),
        "The size of each step. Too large and the loss jumps; too small and little is learned. "
        "Usual values are 1e-5 to 2e-4.",
        step=1e-5,
    )
    """Peak step size of AdamW."""
    max_length: int = _number(
        128,
        "Max length (tokens)",
        (8, 8192),
        "Longer texts are cut. A token is a short word or a part of a long one.",
        step=8,
    )
    """Tokens kept of each text, special tokens included."""
    warmup: float = _number(
        0.1,
        "Warm-up (share of steps)",
        (0.0, 0.5),
        "In this first share of all steps the learning rate rises from zero. 0.1 is a tenth.",
        step=0.05,
    )
    weight_decay: float = _number(
        0.01,
        "Weight decay",
        (0.0, 1.0),
        "Pulls the weights towards zero, which works against learning by heart.",
        step=0.01,
    )
    """AdamW's decoupled decay per step, in units of the learning rate; not on biases and layer norms."""
    schedule: str = _choice(
        "linear",
        "Schedule",
        ("linear", "cosine", "constant"),
        "How the learning rate goes on after the warm-up: falls to zero (linear, cosine) or stays.",
    )
    gradient_clipping: float = _number(
        1.0,
        "Gradient clipping (norm)",
        (0.0, 100.0),
        "Cuts steps that are too large. 0 switches it off.",
        step=0.5,
    )
    """Largest allowed norm of the gradient."""
    seed: int = _number(
        42,
        "Seed",
        (0, 2**31 - 1),
        "Same seed, data and settings on the same machine: same result.",
    )
    """Start of every random draw: new weights, order of the texts, dropout."""
    precision: str = _choice(
        "auto",
        "Precision",
        ("auto", "bf16", "fp16", "fp32"),
        "Number format of the calculation. auto takes the fastest that this machine is built for.",
    )
    """Of the matrix products."""
    class_weights: bool = _other(
        False,
        "Weigh rare classes more",
        "A text of a rare class counts more, so that small classes are not passed over.",
    )
    """Weigh each class by the inverse of its frequency in the training texts."""
    early_stopping: int = _number(
        0,
        "Early stopping (evaluations)",
        (0, 100),
        "Ends after this many evaluations without a better macro F1. 0 switches it off.",
    )
    evaluations_per_epoch: int = _number(
        2, "Evaluations per epoch", (1, 20), "How often per epoch the validation texts are scored."
    )


SETTINGS: dict[str, Setting] = {field.name: field.metadata["setting"] for field in fields(TrainingConfig)}
"""By name, in the order in which they are shown."""

TUTORIAL = TrainingConfig(
    epochs=5,
    batch_size=2,
    learning_rate=2e-5,
    max_length=128,
    warmup=0.0,
    schedule="constant",
    gradient_clipping=0.0,
    precision="fp32",
    evaluations_per_epoch=1,
)
"""The recipe of the usual fine-tuning tutorial: plain AdamW at a constant 2e-5, batches of two."""


def check(config: TrainingConfig) -> None:
    """Refuse settings that are out of range.

    Raises:
        UserError: naming every problem at once.
    """
    problems = [problem for name in SETTINGS if (problem := _problem(config, name))]
    if problems:
        raise UserError(
            "settings within their range",
            "; ".join(problems),
            "Change these settings, then start again.",
        )


def to_dict(config: TrainingConfig) -> dict[str, Any]:
    """The settings as plain values, ready for JSON."""
    return asdict(config)


def from_dict(values: dict[str, Any]) -> TrainingConfig:
    """Settings from plain values; what is missing takes its default.

    Raises:
        UserError: for a name that is no setting, or a value out of range.
    """
    unknown = sorted(set(values) - set(SETTINGS))
    if unknown:
        raise UserError(
            f"only the settings {', '.join(sorted(SETTINGS))}",
            f"also {', '.join(unknown)}",
            "Remove what is not a setting of this version.",
        )
    config = TrainingConfig(**values)
    check(config)
    return config


def _problem(config: TrainingConfig, name: str) -> str | None:
    value = getattr(config, name)
    default = getattr(TrainingConfig, name)
    allowed = SETTINGS[name].choices
    if allowed:
        return None if value in allowed else f"{name} is {value!r}, allowed is {', '.join(allowed)}"
    if isinstance(default, bool):
        return None if isinstance(value, bool) else f"{name} is {value!r}, not yes or no"
    if isinstance(default, str):
        return None if isinstance(value, str) and value else f"{name} is {value!r}, not a name"
    return _number_problem(name, value, whole=isinstance(default, int))


def _number_problem(name: str, value: object, *, whole: bool) -> str | None:
    allowed_types = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed_types):
        return f"{name} is {value!r}, not {'a whole number' if whole else 'a number'}"
    low, high = SETTINGS[name].low, SETTINGS[name].high
    if not math.isfinite(value) or not low <= value <= high:
        return f"{name} is {value:g}, allowed is {low:g} to {high:g}"
    return None
