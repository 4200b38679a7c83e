"""A labelling is a process of its own: it outlives whoever asked for it, and says how it ended."""

import json
import os
import shutil
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.base import folders, locks
from core.base.errors import UserError
from core.data.storage.uploads import KEPT_SECONDS
from core.runs.tasks import labellings
from core.serving.file_labelling.parts import part_of, parts_of
from core.serving.file_labelling.plan import Plan
from tests.jobs import start_none
from tests.processes import processes_of, wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def plan(tmp_path, tiny_model):
    source = tmp_path / "file.csv"
    source.write_text("n,text\n" + "".join(f"{i},a fine day {'work ' * (i % 7)}\n" for i in range(40_000)))
    return Plan(str(source), str(tiny_model), ("text",), classes=True)


def status(found):
    return labellings.state(found).status


def ended(found):
    wait_for(lambda: not labellings.state(found).live)
    return labellings.state(found)


def rows_of(found):
    return pd.concat([pq.read_table(part).to_pandas() for part in parts_of(found.parts)], ignore_index=True)


def test_it_stops_and_goes_on_to_the_same_end(plan):
    whole, found = labellings.start("whole.csv", plan), labellings.start("file.csv", plan)
    wait_for(lambda: parts_of(found.parts), every=0.01)
    labellings.stop(found)
    state = ended(found)
    assert (state.status, state.rows, state.resumable) == ("stopped", 40_000, True)
    assert 0 < state.done < 40_000
    labellings.resume(labellings.find(found.id))
    state = ended(found)
    assert (state.status, state.done, state.result["rows"]) == ("finished", 40_000, 40_000)
    ended(whole)
    pd.testing.assert_frame_equal(rows_of(found), rows_of(whole))
    assert rows_of(found)["n"].tolist() == [str(i) for i in range(40_000)]
    labellings.delete(found)
    with pytest.raises(UserError, match="link"):
        labellings.find(found.id)


def test_one_that_is_deleted_at_its_work_leaves_nothing(plan, textuner_home, monkeypatch):
    found = labellings.start("file.csv", plan)
    wait_for(lambda: parts_of(found.parts), every=0.01)
    there, clear = [], folders.clear
    monkeypatch.setattr(
        folders, "clear", lambda grave: (there.append(found.job.folder.exists()), clear(grave))
    )
    labellings.delete(found)
    # Out of its place before the first file went: its process can put none beside those that are removed.
    assert there == [False]
    wait_for(lambda: not processes_of(textuner_home))
    assert not list((textuner_home / "labellings").iterdir())
    labellings.delete(found)


def test_a_file_or_a_model_that_is_gone_is_said(plan, tmp_path, tiny_model):
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    found = labellings.start("file.csv", Plan(plan.source, str(copy), ("no column",)))
    state = ended(found)
    assert (state.status, "'no column'" in state.reason) == ("failed", True)
    assert not state.resumable
    shutil.rmtree(copy)
    with pytest.raises(UserError, match="the model"):
        labellings.resume(found)
    (tmp_path / "file.csv").unlink()
    with pytest.raises(UserError, match="the file"):
        labellings.start("file.csv", plan)


def test_those_of_yesterday_are_removed_unless_they_are_at_work(plan, monkeypatch):
    start_none(monkeypatch)
    old, at_work = labellings.start("old.csv", plan), labellings.start("at work.csv", plan)
    long_ago = time.time() - KEPT_SECONDS - 60
    with locks.hold(at_work.job.lock):
        for found in (old, at_work):
            os.utime(found.job.folder, (long_ago, long_ago))
        young = labellings.start("young.csv", plan)
    assert [found.job.folder.exists() for found in (old, at_work, young)] == [False, True, True]


def test_every_form_is_written_once(plan, monkeypatch):
    start_none(monkeypatch)
    found = labellings.start("file.csv", plan)
    found.parts.mkdir()
    pd.DataFrame({"text": ["=1", "x"]}).to_parquet(part_of(found.parts, 0))
    first = labellings.output(found, "csv", safe=True)
    assert (first.changed, first.path.read_bytes()) == (1, "\ufefftext\r\n'=1\r\nx\r\n".encode())
    written = first.path.stat().st_mtime_ns
    assert labellings.output(found, "csv", safe=True) == first
    assert first.path.stat().st_mtime_ns == written
    plain = labellings.output(found, "csv", safe=False)
    assert (plain.changed, plain.path.read_bytes()) == (0, b"text\r\n=1\r\nx\r\n")
    first.path.with_name("safe.csv.json").write_text("{ torn")
    assert labellings.output(found, "csv", safe=True) == first
    assert first.path.stat().st_mtime_ns > written


@pytest.mark.parametrize("id", ["../../etc", "", "a" * 22, "x" * 500])
def test_an_id_of_nothing_is_refused(id):
    with pytest.raises(UserError, match="link"):
        labellings.find(id)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"status": "finished"}', '{"status": "finished", "result": 3}']
)
def test_damaged_files_are_an_answer_too(plan, textuner_home, content):
    folder = textuner_home / "labellings" / ("a" * 22)
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps({"name": "x", "plan": plan.facts()}))
    (folder / "result.json").write_text(content)
    assert status(labellings.find("a" * 22)) == "failed"
    (folder / "progress.json").write_text(content)
    assert status(labellings.find("a" * 22)) == "interrupted"
