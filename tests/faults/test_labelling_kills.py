"""A labelling whose process is killed says so, goes on, and ends as if nothing had happened."""

import pandas as pd

from core.runs.tasks import labellings
from core.serving.file_labelling.parts import parts_of
from tests.processes import wait_for, with_words
from tests.runs.test_labellings import ended, plan, rows_of, status  # noqa: F401 - fixtures

KILLS = 3


def kill(found):
    before = len(parts_of(found.parts))
    wait_for(lambda: len(parts_of(found.parts)) > before, every=0.005)
    process = with_words("core.runs.tasks.labelling_work", str(found.job.folder))
    process.kill()
    wait_for(lambda: status(found) in ("interrupted", "finished"), every=0.02)


def test_kills_change_nothing(plan):  # noqa: F811 - the fixture
    whole = labellings.start("whole.csv", plan)
    ended(whole)
    found = labellings.start("file.csv", plan)
    for _ in range(KILLS):
        kill(found)
        assert status(found) == "interrupted"
        labellings.resume(found)
    assert ended(found).status == "finished"
    pd.testing.assert_frame_equal(rows_of(found), rows_of(whole))
