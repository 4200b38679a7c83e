from pathlib import Path

import pytest

from core.data.labels import LabeledTexts, number_labels
from core.data.reading.files import read_table
from core.data.tables import Table

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture
def shared():
    """Path of a real file beside the project; the test is skipped where it is not there."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"the real file {name} is not beside this project (../shared)")
        return path

    return find


@pytest.fixture
def table():
    """A table read from the text of a file."""

    def make(text: str) -> Table:
        return read_table(text.encode())

    return make


@pytest.fixture
def labeled():
    """LabeledTexts of (text, label) pairs."""

    def make(pairs: list[tuple[str, str]]) -> LabeledTexts:
        label2id = number_labels(label for _, label in pairs)
        return LabeledTexts([text for text, _ in pairs], [label2id[label] for _, label in pairs], label2id)

    return make
