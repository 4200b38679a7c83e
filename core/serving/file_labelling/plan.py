"""What is labelled, how and by which model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.folders import sha256_of
from core.data.tables import GUESS, ReadOptions
from core.learning.evaluation.calibration import read_calibration
from core.learning.pretrained import WEIGHTS

READERS = ("config.json", "tokenizer.json")
"""What a model answers with: its weights, and how it reads texts and names its classes."""


@dataclass(frozen=True)
class Plan:
    """What is labelled, and how."""

    source: str
    model: str
    """Its folder."""
    text: tuple[str, ...]
    label: str | None = None
    """The column of the true labels, to score the answers."""
    classes: bool = False
    """Whether every class gets a column with its probability."""
    choice: ReadOptions = GUESS
    marks: tuple[str, ...] = ()
    """What changes when the file or the model does."""

    def facts(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_facts(facts: dict[str, Any]) -> Plan:
        """The plan in these plain values.

        Raises:
            KeyError, TypeError, ValueError: they are none.
        """
        known = {**facts, "text": tuple(map(str, facts["text"])), "marks": tuple(map(str, facts["marks"]))}
        return Plan(**{**known, "choice": ReadOptions(**facts["choice"])})

    def check(self) -> None:
        """Look whether the file and the model are there.

        Raises:
            UserError: one of them is gone.
        """
        with _absence_is_said("the file", "Choose the file again."):
            Path(self.source).stat()
        with _absence_is_said("the model", "Choose another model."):
            (Path(self.model) / WEIGHTS).stat()

    def now(self) -> Plan:
        """The plan with the marks of the file and the model as they are now: every byte counts.

        Raises:
            UserError: one of them is gone.
        """
        model = Path(self.model)
        with _absence_is_said("the file", "Choose the file again."):
            source = sha256_of(Path(self.source))
        with _absence_is_said("the model", "Choose another model."):
            files = [sha256_of(model / name) for name in (WEIGHTS, *READERS) if (model / name).exists()]
        return replace(self, marks=(source, *files, str(read_calibration(model))))


@contextmanager
def _absence_is_said(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{what} of this labelling", "that it has been deleted", remedy) from error
