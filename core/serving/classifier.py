"""A fine-tuned model folder answers for new texts."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.base.errors import UserError
from core.base.memory import shortage_is_said
from core.learning.batching import EncodedDataset, encode
from core.learning.evaluation.calibration import Calibration, read_calibration, with_temperature
from core.learning.evaluation.inference import SCORING_BATCH, predict_probabilities, predict_swiftly
from core.learning.hardware import choose_hardware, use_all_cores
from core.learning.models.interface import Network, load_finetuned
from core.learning.pretrained import FILES
from core.learning.tokenizer import TextTokenizer

SLICE = 64 * SCORING_BATCH
"""Texts that are tokenised and sorted by length together; memory does not grow beyond two such slices."""

FEW_TOKENS = 2048
"""Texts of so many tokens together are computed in float32 altogether: there is hardly any time to win."""


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
    """A fine-tuned classifier, ready to answer.

    Its labels are those of float32, so that any other program gives the same; see
    `inference.predict_swiftly`.
    """

    def __init__(
        self, network: Network, tokenizer: TextTokenizer, calibration: Calibration | None = None
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.names = network.names
        self.calibration = calibration or Calibration()

    @classmethod
    def load(cls, folder: Path, calibrated: bool = True) -> "Classifier":
        """Load a Hugging Face folder with safetensors weights. No code of the folder runs.

        Args:
            calibrated: whether probabilities are made honest by what the folder knows of it; labels stay.

        Raises:
            UserError: when the folder lacks a file, one is damaged, or memory runs out.
        """
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f"a model folder with {', '.join(FILES)}",
                f"no {', '.join(missing)} in {folder.name}",
                "Choose a run that has weights, or a folder exported from one.",
            )
        use_all_cores()
        calibration = read_calibration(folder) if calibrated else None
        try:
            # Its max length is what the trainer stored: how many tokens of a text the model was trained on.
            with shortage_is_said("loading the model"):
                return cls(load_finetuned(folder, choose_hardware()), TextTokenizer(folder), calibration)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 - on a damaged file each library raises its own, some no narrower
            raise UserError(
                "a whole model folder",
                f"a damaged one ({type(error).__name__}: {str(error)[:200]})",
                "Choose another run, or train it again.",
            ) from error

    def calibrated_by(self, calibration: Calibration) -> "Classifier":
        """The same classifier, its weights not copied, with another calibration."""
        other = copy(self)
        other.calibration = calibration
        return other

    def predict(
        self, texts: Sequence[str], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Predictions:
        """Label texts.

        Args:
            texts: any number; longer ones are cut as in training.
            progress: told (texts done, texts in all) now and then.
        """
        parts, start = [], 0
        for places, dataset in self._slices(texts):
            done = start

            def report(share: float, done: int = done, size: int = len(places)) -> None:
                progress(done + int(share * size), len(texts))

            parts.append(self._probabilities(dataset, report)[places])
            start += len(places)
            progress(start, len(texts))
        probabilities = np.concatenate(parts) if parts else np.empty((0, len(self.names)))
        labels = [self.names[i] for i in probabilities.argmax(axis=1)] if parts else []
        return Predictions(labels, probabilities, self.names)

    def _probabilities(self, dataset: EncodedDataset, report: Callable[[float], None]) -> np.ndarray:
        if dataset.lengths.sum() <= FEW_TOKENS:
            raw = predict_probabilities(self.network.exact(), dataset)
        else:
            raw = predict_swiftly(self.network, dataset, report)
        return (
            raw if self.calibration.temperature == 1 else with_temperature(raw, self.calibration.temperature)
        )

    def _slices(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, EncodedDataset]]:
        """Slice by slice: the place of each text among the different ones, and these as token ids.

        The next slice is tokenised while the last one is computed.
        """
        starts = range(0, len(texts), SLICE)
        if len(starts) == 1:
            yield self._encode(texts)
            return
        with ThreadPoolExecutor(1, "tokenise") as thread:
            ahead = None
            for start in starts:
                now = ahead or thread.submit(self._encode, texts[start : start + SLICE])
                following = texts[start + SLICE : start + 2 * SLICE]
                ready = now.result()
                ahead = thread.submit(self._encode, following) if len(following) else None
                yield ready

    def _encode(self, texts: Sequence[str]) -> tuple[np.ndarray, EncodedDataset]:
        place: dict[str, int] = {}
        places = np.array([place.setdefault(text, len(place)) for text in texts])
        different = list(place)
        return places, encode(different, [0] * len(different), self.tokenizer)
