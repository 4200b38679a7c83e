"""Runs for the tests of pages."""

import shutil

import pytest

from core.runs.training.run import Run
from tests.pages.seeding import make_run
from tests.serving.conftest import trained  # noqa: F401 - a fixture


@pytest.fixture
def trained_run(trained, dataset, held) -> Run:  # noqa: F811
    """A finished run of the ten texts with real weights."""
    run = make_run("finished", dataset, held, labels=("bad", "good"))
    shutil.rmtree(run.folder / "model")
    shutil.copytree(trained, run.folder / "model")
    return run
