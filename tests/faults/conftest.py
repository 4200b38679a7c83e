"""What the fault tests share: settings of a run that is long enough to be killed, and a clean end."""

from dataclasses import replace

import pytest

from tests.processes import processes_of
from tests.runs.test_runs import LONG


@pytest.fixture(autouse=True)
def nothing_left_running(textuner_home):
    yield
    for process in processes_of(textuner_home):
        process.kill()


@pytest.fixture
def config(tiny):
    return replace(LONG, model=tiny)
