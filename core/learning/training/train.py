"""From splits to a judged classifier: the story of one training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.memory import peak_bytes, shortage_is_said
from core.data.labels import LabeledTexts
from core.data.splits import Splits
from core.learning import pretrained
from core.learning.batching import EncodedDataset, encode
from core.learning.config import TrainingConfig, check
from core.learning.evaluation.calibration import Calibration, fit_temperature
from core.learning.evaluation.full_report import judge
from core.learning.evaluation.inference import predict_probabilities
from core.learning.evaluation.metrics import collapsed
from core.learning.hardware import Hardware, choose_hardware, keep_freed_memory, use_all_cores
from core.learning.models.interface import Network, load_finetuned, load_for_training
from core.learning.tokenizer import TextTokenizer
from core.learning.training.checkpoints import TrainingCheckpoint, TrainingCheckpoints, newest
from core.learning.training.hooks import Event, Hooks
from core.learning.training.loop import TrainingData, describe, fit
from core.learning.training.model_folder import ModelFolder

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training leaves beside its weights."""

    report: dict[str, Any]
    """Scores, speed and hardware; plain values, ready for JSON."""
    predictions: pd.DataFrame
    """split, text, label, predicted, confidence (0 to 1), probabilities (float32 per class, in the order of
    label2id; uncalibrated): one row per held-out text."""
    calibration: Calibration
    """Fitted to the weights that were kept; whoever keeps the report writes it into the model folder."""
    stopped: bool
    """Ended early because a person asked for it."""


@dataclass(frozen=True)
class TrainingSetup:
    """What stays the same from the first token to the last score."""

    config: TrainingConfig
    hardware: Hardware
    source: Path
    tokenizer: TextTokenizer

    def encode(self, texts: LabeledTexts) -> EncodedDataset:
        with shortage_is_said("splitting the texts into tokens", self.config.batch_size, at_steps=False):
            return encode(texts.texts, texts.labels, self.tokenizer)

    def facts(self, network: Network) -> dict[str, str]:
        return {
            "device": self.hardware.device,
            "precision": self.hardware.precision,
            "hardware_reason": "; ".join(filter(None, (self.hardware.reason, network.computed_by))),
        }


def train_classifier(
    splits: Splits,
    config: TrainingConfig,
    model_folder: Path,
    hooks: Hooks,
    snapshots_folder: Path | None = None,
) -> TrainingOutcome | None:
    """Fine-tune a pre-trained encoder, keep its best weights in `model_folder`, and score them.

    Args:
        splits: training texts, and held-out ones to choose the weights by (validation) and to judge (test).
        model_folder: becomes a standard Hugging Face folder; its weights file is there as soon as
            there are weights worth keeping, and is replaced in one piece by better ones.
        hooks: told of every event; asked whether to stop.
        snapshots_folder: where the training's state is kept now and then; when there is one in it, the
            training goes on from there. None keeps none.

    Returns:
        The outcome; None when it was stopped before the first step, so that there are no weights.

    Raises:
        UserError: settings out of range, no model in reach, or a loss that is no number.
        OutOfMemory: memory ran out, and smaller parts of a batch were no way out.
        NoSpace: there is no room for better weights; the ones kept before, and the newest snapshot, are as
            they were.
    """
    began = time.perf_counter()
    with shortage_is_said("loading the model", config.batch_size, at_steps=False):
        setting = set_up(config)
        network = load_for_training(setting.source, splits.train.label2id, setting.hardware, config.seed)
    validation = setting.encode(splits.validation) if len(splits.validation) else None
    data = TrainingData(setting.encode(splits.train), validation)
    state, damages = _newest(snapshots_folder, config)
    facts = setting.facts(network)
    _say_start({**facts, **describe(data.train, config)}, state, damages, hooks.report)
    store = ModelFolder(model_folder, setting.tokenizer, network.nbytes, snapshots_folder)
    snapshots = TrainingCheckpoints(snapshots_folder, hooks.report, store.bytes_to_come, state)
    store.snapshots = snapshots
    with shortage_is_said("the training", config.batch_size):
        result = fit(network, data, config, hooks, store, snapshots)
    if result.best_step == 0:
        return None
    del network
    with shortage_is_said("scoring the model", config.batch_size, at_steps=False):
        answers = _answers(splits, setting, model_folder, hooks.should_stop)
        scores, calibration = _judge(splits, answers)
        predictions = _predictions(splits, answers)
    summary = {
        **scores,
        **facts,
        "steps": result.steps,
        "best_step": result.best_step,
        "converged": result.converged,
        "truncated": data.train.truncated,
        "train_seconds": result.train_seconds,
        "total_seconds": result.seconds_before + time.perf_counter() - began,
        "samples_per_second": result.samples_per_second,
        "tokens_per_second": result.tokens_per_second,
        "peak_memory_bytes": peak_bytes(setting.hardware.device),
    }
    return TrainingOutcome(summary, predictions, calibration, result.stopped)


def _say_start(
    facts: Event,
    state: TrainingCheckpoint | None,
    damages: list[str],
    report: Callable[[Event], None],
) -> None:
    done = state.step if state else 0
    report({"type": "started", "step": done, **facts})
    for message in [*damages, *([f"Gone on from the snapshot of step {done:,}."] if done else [])]:
        report({"type": "note", "message": message})


def set_up(config: TrainingConfig) -> TrainingSetup:
    """Make this process ready to train with these settings, and find the model.

    Raises:
        UserError: settings out of range, or no model in reach.
    """
    check(config)
    pretrained.check_length(config.model, config.max_length)
    use_all_cores()
    keep_freed_memory()
    source = pretrained.resolve(config.model)
    # Saved with the model, so that whoever loads the folder cuts texts where training did.
    tokenizer = TextTokenizer(source, config.max_length)
    return TrainingSetup(config, choose_hardware(config.precision), source, tokenizer)


def _newest(root: Path | None, config: TrainingConfig) -> tuple[TrainingCheckpoint | None, list[str]]:
    if root is None:
        return None, []
    with shortage_is_said("reading the last snapshot", config.batch_size, at_steps=False):
        return newest(root)


def _answers(
    splits: Splits, setting: TrainingSetup, model_folder: Path, between: Callable[[], object]
) -> dict[str, np.ndarray]:
    """Of each split with held-out texts: the probabilities [texts, classes]."""
    # In float32, so that the scores are those of the downloaded weights in any other program.
    network = load_finetuned(model_folder, replace(setting.hardware, precision="fp32"))
    return {
        name: predict_probabilities(network, setting.encode(texts), between=between)
        for name, texts in _held_out(splits).items()
    }


def _judge(splits: Splits, answers: dict[str, np.ndarray]) -> tuple[dict[str, Any], Calibration]:
    """What the report says of the answers, and what makes them honest."""
    import numpy as np

    names = _names(splits)
    labels = {name: np.array(texts.labels) for name, texts in _held_out(splits).items()}
    # Never on the test texts: their scores would then flatter it.
    fitted = fit_temperature(answers["validation"], labels["validation"]) if "validation" in answers else None
    calibration = Calibration(fitted.temperature) if fitted else Calibration()
    scores: dict[str, Any] = {"validation": None, "test": None}
    for name, probabilities in answers.items():
        scores[name] = judge(probabilities, labels[name], names, calibration.temperature)
    collapse = _collapsed(scores, names)
    return {**scores, "calibration": asdict(fitted) if fitted else None, "collapsed": collapse}, calibration


def _collapsed(scores: dict[str, Any], names: list[str]) -> dict[str, Any] | None:
    """By the test texts; by those for validation where there are no others."""
    judged = scores["test"] or scores["validation"]
    found = collapsed(judged["confusion"]) if judged else None
    return {"label": names[found.number], "share": found.share} if found else None


def _predictions(splits: Splits, answers: dict[str, np.ndarray]) -> pd.DataFrame:
    # Imported late: the first training step does not wait for it.
    import numpy as np
    import pandas as pd

    names = np.array(_names(splits), dtype=object)
    tables = [
        pd.DataFrame(
            {
                "split": split,
                "text": getattr(splits, split).texts,
                "label": names[getattr(splits, split).labels],
                "predicted": names[probabilities.argmax(axis=1)],
                "confidence": probabilities.max(axis=1),
                "probabilities": list(probabilities.astype(np.float32)),
            }
        )
        for split, probabilities in answers.items()
    ]
    empty = pd.DataFrame(columns=["split", "text", "label", "predicted", "confidence", "probabilities"])
    return pd.concat(tables or [empty], ignore_index=True)


def _held_out(splits: Splits) -> dict[str, LabeledTexts]:
    parts = {"validation": splits.validation, "test": splits.test}
    return {name: texts for name, texts in parts.items() if len(texts)}


def _names(splits: Splits) -> list[str]:
    names = splits.train.id2label
    return [names[i] for i in range(len(names))]
