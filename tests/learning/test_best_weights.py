"""What is known of the kept weights, whatever moment a kill comes at."""

import numpy as np
import pytest

from core.learning.evaluation.metrics import evaluate
from core.learning.training.best_weights import StoredWeights, record, recorded


@pytest.fixture
def files(tmp_path):
    return tmp_path / "snapshots" / "kept.json", tmp_path / "weights", tmp_path / "draft"


def put(files, step, moved=True):
    """Keep weights; a kill comes before they take their place, unless they are moved."""
    file, weights, draft = files
    draft.write_bytes(b"weights" * step)
    record(file, StoredWeights(step, None), draft, weights)
    if moved:
        draft.replace(weights)


def test_the_record_is_of_the_weights_that_are_there(files):
    file, weights, _ = files
    assert recorded(file, weights) is None
    put(files, 1)
    assert recorded(file, weights) == StoredWeights(1, None)
    put(files, 2)
    assert recorded(file, weights) == StoredWeights(2, None)
    put(files, 3, moved=False)
    assert recorded(file, weights) == StoredWeights(2, None)
    put(files, 4, moved=False)
    assert recorded(file, weights) == StoredWeights(2, None)
    put(files, 5)
    assert recorded(file, weights) == StoredWeights(5, None)


def test_other_weights_are_not_taken_for_those_of_the_record(files):
    put(files, 1)
    files[1].write_bytes(b"others")
    assert recorded(files[0], files[1]) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "3",
        "[1]",
        '[{"step": 1}]',
        "{",
        "[[]]",
        "[" * 200_000,
        '[{"step": "1", "scores": null, "file": [7, 1]}]',
    ],
)
def test_a_damaged_record_tells_nothing_and_does_not_hinder_the_next(files, content):
    put(files, 1)
    files[0].write_text(content)
    assert recorded(files[0], files[1]) is None
    put(files, 2)
    assert recorded(files[0], files[1]) == StoredWeights(2, None)


def test_the_scores_are_those_that_were_written(files):
    file, weights, draft = files
    probabilities = np.random.default_rng(1).dirichlet(np.ones(3), 40)
    stored = StoredWeights(3, evaluate(probabilities, np.arange(40) % 3, ["a", "b", "c"]))
    draft.write_bytes(b"weights")
    record(file, stored, draft, weights)
    draft.replace(weights)
    assert recorded(file, weights) == stored
    file.write_text(file.read_text().replace('"accuracy"', '"accurate"'))
    assert recorded(file, weights) is None
