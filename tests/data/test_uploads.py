import os
import time

import pytest

from core.base.errors import UserError
from core.data.labels import ColumnMapping
from core.data.quality.fixes import Fix
from core.data.storage.uploads import (
    KEPT_SECONDS,
    delete_upload,
    find_upload,
    keep_fixes,
    keep_upload,
    kept_fixes,
)


def test_an_upload_is_found_again_with_its_name_and_bytes():
    kept = keep_upload("../../bad name.csv", b"text,label\n")
    found = find_upload(kept.id)
    assert found == kept
    assert found.name == "../../bad name.csv"
    assert found.path.read_bytes() == b"text,label\n"


def test_a_name_never_reaches_a_path(textuner_home):
    kept = keep_upload("../../escape.csv", b"x")
    assert kept.path.is_relative_to(textuner_home / "uploads")
    assert not list(textuner_home.parent.rglob("escape*"))


@pytest.mark.parametrize("id", ["", "../../etc/passwd", "x" * 10_000, "ünïcödé", "A" * 22, "A" * 22 + "\n"])
def test_an_id_that_names_no_upload_is_an_error_for_people(id):
    with pytest.raises(UserError, match="Upload the file again"):
        find_upload(id)


def test_deleting_is_final_and_may_be_repeated():
    kept = keep_upload("a.csv", b"x")
    delete_upload(kept.id)
    delete_upload(kept.id)
    with pytest.raises(UserError):
        find_upload(kept.id)


def test_uploads_older_than_a_day_are_removed_when_the_next_one_comes():
    old, young = keep_upload("old.csv", b"x"), keep_upload("young.csv", b"x")
    long_ago = time.time() - KEPT_SECONDS - 60
    os.utime(old.path.parent, (long_ago, long_ago))
    keep_upload("new.csv", b"x")
    assert find_upload(young.id)
    with pytest.raises(UserError):
        find_upload(old.id)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"name": 3}', '{"name": "half a \\ud83d"}', '{"nam": "a.csv"}']
)
def test_an_upload_whose_name_cannot_be_read_is_none(content):
    kept = keep_upload("a.csv", b"x")
    kept.path.with_name("upload.json").write_text(content)
    with pytest.raises(UserError, match="Upload the file again"):
        find_upload(kept.id)


MAPPING = ColumnMapping(("text",), "label")


@pytest.mark.parametrize(
    "content", ["", "null", "3", '{"kind": "strip_html"}', '["strip_html"]', '[{"kind": "x"}]']
)
def test_fixes_that_cannot_be_read_are_none(content, tmp_path):
    kept = keep_upload("a.csv", b"x")
    keep_fixes(kept, MAPPING, [Fix("strip_html", time=3)])
    assert kept_fixes(kept, MAPPING) == (Fix("strip_html"),)
    (note,) = kept.path.parent.glob(f"{'?' * 64}.json")
    note.write_text(content)
    assert kept_fixes(kept, MAPPING) == ()
