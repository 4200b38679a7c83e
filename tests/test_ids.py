"""Ids: drawn, and told from whatever else a link may hold."""

import pytest

from core.base import ids
from core.base.ids import is_id, new_id
from core.data.storage import datasets
from core.runs.training import store
from tests.runs.test_runs import FAST


def test_ids_differ_and_are_taken_for_what_they_are():
    drawn = {new_id() for _ in range(1000)}
    assert len(drawn) == 1000
    assert all(map(is_id, drawn))


@pytest.mark.parametrize(
    "value",
    ["", "..", "a" * 21, "a" * 23, "ä" * 22, "a" * 21 + "\n", "a" * 21 + "/", None, 7],
)
def test_what_else_a_link_may_hold_is_none(value):
    assert not is_id(value)


def test_an_id_is_no_option_of_a_command_line(dataset, no_worker, monkeypatch):
    drawn = iter(["-" + "a" * 21, "b" * 22, "-" + "c" * 21, "d" * 22])
    monkeypatch.setattr(ids.secrets, "token_urlsafe", lambda _: next(drawn))
    assert datasets.save_dataset("x", datasets.load_splits(dataset.folder), [], {}).id == "b" * 22
    assert store.create_run(FAST, dataset).id == "d" * 22
