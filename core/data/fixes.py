"""What a person does about a finding: a list of fixes, applied in order, each of which can be taken back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Done:
    """What one fix did to a data set, as it is recorded with it.

    `fix` says it in words; `changed` and `left_out` count rows; `time` is in seconds since 1970.
    """

    fix: str
    changed: int
    left_out: int
    time: float

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
