"""A labelling is a process of its own: it outlives whoever asked for it, and says how it ended."""

import json
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.errors import UserError
from core.runs import labellings
from core.serving.labelling import Plan, parts_of
from tests.processes import wait_for
from tests.tiny import tiny_splits, write_tiny_model


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    from core.learning.config import TrainingConfig
    from core.learning.train import train_classifier

    root = tmp_path_factory.mktemp("model")
    write_tiny_model(root / "models" / "tiny")
    config = TrainingConfig(model="local/tiny", epochs=2, batch_size=4, max_length=16, precision="fp32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTUNER_MODELS", str(root / "models"))
        train_classifier(tiny_splits(), config, root / "model", lambda _: None, lambda: False)
    return root / "model"


@pytest.fixture
def plan(tmp_path, model):
    source = tmp_path / "file.csv"
    source.write_text("n,text\n" + "".join(f"{i},a fine day {'work ' * (i % 7)}\n" for i in range(40_000)))
    return Plan(str(source), str(model), ("text",), classes=True)


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
    assert (state.status, state.rows) == ("stopped", 40_000)
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


def test_a_file_or_a_model_that_is_gone_is_said(plan, tmp_path, model):
    copy = shutil.copytree(model, tmp_path / "copy")
    found = labellings.start("file.csv", Plan(plan.source, str(copy), ("no column",)))
    state = ended(found)
    assert (state.status, "'no column'" in state.reason) == ("failed", True)
    shutil.rmtree(copy)
    with pytest.raises(UserError, match="the model"):
        labellings.resume(found)
    (tmp_path / "file.csv").unlink()
    with pytest.raises(UserError, match="the file"):
        labellings.start("file.csv", plan)


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
    for name in ("result.json", "progress.json"):
        (folder / name).write_text(content)
    assert status(labellings.find("a" * 22)) in ("failed", "interrupted")
