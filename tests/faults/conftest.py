"""What the fault tests share: settings of a run that is long enough to be killed, and a clean end."""

from dataclasses import replace

import pytest

from tests.runs.test_runs import LONG


@pytest.fixture(autouse=True)
def clean_end(nothing_left_running):
    """Every test of this folder starts processes."""


@pytest.fixture
def config(tiny):
    return replace(LONG, model=tiny)
