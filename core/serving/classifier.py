"""A fine-tuned model folder answers for new texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.learning.answers import SCORING_BATCH, predict_probabilities
from core.learning.batching import encode
from core.learning.catalogue import FILES
from core.learning.hardware import choose_hardware, use_all_cores
from core.learning.networks import Network, load_finetuned
from core.learning.tokenizer import TextTokenizer

SLICE = 64 * SCORING_BATCH
"""Texts that are tokenised and sorted by length together; memory does not grow beyond them."""


@dataclass(frozen=True)
class Predictions:
    """One answer per text, in the order of the texts."""

    labels: list[str]
    probabilities: np.ndarray
    """float64 [texts, classes]; rows add up to 1."""
    names: list[str]
    """Class names in the order of the columns of `probabilities`."""

    @property
    def confidence(self) -> np.ndarray:
        """float64 [texts]: probability of the label given, 0 to 1."""
        return self.probabilities.max(axis=1)


class Classifier:
    """A fine-tuned classifier, ready to answer; in float32, so that any other program gives the same."""

    def __init__(self, network: Network, tokenizer: TextTokenizer) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.names = network.names

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Load a Hugging Face folder with safetensors weights. No code of the folder runs.

        Raises:
            UserError: when the folder lacks a file, or one is damaged.
        """
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f"a model folder with {', '.join(FILES)}",
                f"no {', '.join(missing)} in {folder.name}",
                "Choose a run that has weights, or a folder exported from one.",
            )
        use_all_cores()
        try:
            # Its max length is what the trainer stored: how many tokens of a text the model was trained on.
            return cls(load_finetuned(folder, choose_hardware("fp32")), TextTokenizer(folder))
        except (UserError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - on a damaged file each library raises its own, some no narrower
            raise UserError(
                "a whole model folder",
                f"a damaged one ({type(error).__name__}: {str(error)[:200]})",
                "Choose another run, or train it again.",
            ) from error

    def predict(
        self, texts: Sequence[str], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Predictions:
        """Label texts.

        Args:
            texts: any number; longer ones are cut as in training.
            progress: told (texts done, texts in all) after each slice.
        """
        parts = []
        for start in range(0, len(texts), SLICE):
            part = list(texts[start : start + SLICE])
            dataset = encode(part, [0] * len(part), self.tokenizer)
            parts.append(predict_probabilities(self.network, dataset))
            progress(start + len(part), len(texts))
        probabilities = np.concatenate(parts) if parts else np.empty((0, len(self.names)))
        labels = [self.names[i] for i in probabilities.argmax(axis=1)] if parts else []
        return Predictions(labels, probabilities, self.names)
