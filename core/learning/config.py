"""The settings of one training. Standard library only, so that every page can import it."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from core.base.errors import UserError


@dataclass(frozen=True)
class TrainingConfig:
    """What a person can set before a training. The defaults suit the embedded model."""

    model: str = "bundled"
    """Name in the catalogue of pre-trained models."""
    epochs: int = 3
    """Passes over the training texts."""
    batch_size: int = 16
    """Texts per optimizer step."""
    learning_rate: float = 1e-4
    """Peak step size of AdamW."""
    max_length: int = 128
    """Tokens kept of each text, special tokens included; the rest is cut off."""
    warmup: float = 0.1
    """Share of all steps in which the learning rate rises from zero to its peak."""
    weight_decay: float = 0.01
    """AdamW's decoupled decay per step, in units of the learning rate; not on biases and layer norms."""
    schedule: str = "linear"
    """Course of the learning rate after warm-up: linear or cosine (both to zero), or constant."""
    gradient_clipping: float = 1.0
    """Largest allowed norm of the gradient; 0 switches clipping off."""
    seed: int = 42
    """Start of every random draw: new weights, order of the texts, dropout."""
    precision: str = "auto"
    """Number format of the matrix products: auto, bf16, fp16 or fp32."""
    class_weights: bool = False
    """Weigh each class by the inverse of its frequency in the training texts."""
    early_stopping: int = 0
    """Evaluations without a better macro F1 after which training ends; 0 switches this off."""
    evaluations_per_epoch: int = 2
    """How often per epoch the validation texts are scored."""


BOUNDS: dict[str, tuple[float, float]] = {
    "epochs": (1, 100),
    "batch_size": (1, 512),
    "learning_rate": (1e-7, 1e-2),
    "max_length": (8, 8192),
    "warmup": (0.0, 0.5),
    "weight_decay": (0.0, 1.0),
    "gradient_clipping": (0.0, 100.0),
    "seed": (0, 2**31 - 1),
    "early_stopping": (0, 100),
    "evaluations_per_epoch": (1, 20),
}
"""Smallest and largest allowed value of every numeric setting, both included."""

CHOICES: dict[str, tuple[str, ...]] = {
    "schedule": ("linear", "cosine", "constant"),
    "precision": ("auto", "bf16", "fp16", "fp32"),
}
"""The allowed values of every setting that is chosen from a list."""

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
    problems = [problem for field in fields(config) if (problem := _problem(config, field.name))]
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
    known = {field.name for field in fields(TrainingConfig)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(
            f"only the settings {', '.join(sorted(known))}",
            f"also {', '.join(unknown)}",
            "Remove what is not a setting of this version.",
        )
    config = TrainingConfig(**values)
    check(config)
    return config


def _problem(config: TrainingConfig, name: str) -> str | None:
    value = getattr(config, name)
    default = getattr(TrainingConfig, name)
    if name in CHOICES:
        allowed = CHOICES[name]
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
    low, high = BOUNDS[name]
    if not math.isfinite(value) or not low <= value <= high:
        return f"{name} is {value:g}, allowed is {low:g} to {high:g}"
    return None
