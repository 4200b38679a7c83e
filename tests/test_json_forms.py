"""JSON files that anybody may have written: what has the form that its readers rely on, and what has not."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
from annotated_types import MinLen, Predicate

from core.base.json_files import read_object, write_json
from core.base.json_forms import (
    Amount,
    Count,
    Share,
    Timestamp,
    WrongForm,
    conforms,
    load,
    parse_as,
    read_as,
    sound_items,
)

HALF = "half a \ud83d"


@dataclass(frozen=True)
class Part:
    name: str
    share: Share = 0.5


@dataclass(frozen=True)
class Whole:
    count: Count
    amount: Amount
    time: Timestamp
    done: bool
    parts: Annotated[list[Part], MinLen(1)]
    by_name: Annotated[dict[str, Count], Predicate(lambda found: "all" in found)] = field(
        default_factory=lambda: {"all": 0}
    )
    note: str | None = None


SOUND = {
    "count": 3,
    "amount": 2.5,
    "time": 1.7e9,
    "done": True,
    "parts": [{"name": "a"}, {"name": "b", "share": 1}],
}


def test_a_file_becomes_what_it_holds(tmp_path):
    file = tmp_path / "whole.json"
    write_json(file, SOUND)
    found = read_as(file, Whole)
    assert found == Whole(3, 2.5, 1.7e9, True, [Part("a"), Part("b", 1.0)])
    assert type(found.parts[0]) is Part
    assert read_as(file, dict[str, object])["count"] == 3


def test_a_whole_number_is_a_number_too():
    assert parse_as(SOUND | {"amount": 2}, Whole).amount == 2.0


HUGE = 10**400
ATTACKS = [
    *(
        {"count": value}
        for value in (-1, 2**53, HUGE, 3.0, 2.5, "3", True, None, math.nan, math.inf, [3], {})
    ),
    *(
        {"amount": value}
        for value in (-0.1, 1e15, HUGE, -HUGE, "2.5", True, None, math.nan, math.inf, -math.inf)
    ),
    *({"time": value} for value in (-1, 9e9, HUGE, math.nan, "2020-01-01T00:00:00Z")),
    *({"done": value} for value in (1, 0, "true", None)),
    *(
        {"parts": value}
        for value in (None, [], {}, "ab", [None], [[]], [{}], [{"name": 3}], [{"name": HALF}])
    ),
    *({"parts": [{"name": "a", "share": value}]} for value in (-0.1, 1.1, HUGE, math.nan, True, "1", None)),
    *(
        {"by_name": value}
        for value in ({}, {"all": -1}, {"all": True}, {"a": 1}, [["all", 1]], {HALF: 1, "all": 1})
    ),
    *({"note": value} for value in (3, ["x"], HALF)),
    {"more": 1},
    {"parts": [{"name": "a", "more": 1}]},
]


@pytest.mark.parametrize(
    "wrong", ATTACKS, ids=lambda wrong: str(wrong)[:30].encode("ascii", "replace").decode()
)
def test_another_form_is_refused(wrong, tmp_path):
    with pytest.raises(WrongForm, match="Whole"):
        parse_as(SOUND | wrong, Whole)
    file = tmp_path / "whole.json"
    file.write_text(json.dumps(SOUND | wrong))
    with pytest.raises(ValueError):
        read_as(file, Whole)


@pytest.mark.parametrize("content", [None, 3, "x", [], [SOUND], {}, {"count": 3}], ids=str)
def test_what_is_no_such_object_is_refused(content, tmp_path):
    with pytest.raises(WrongForm):
        parse_as(content, Whole)
    file = tmp_path / "whole.json"
    file.write_text(json.dumps(content))
    with pytest.raises(WrongForm):
        read_as(file, Whole, note="given")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"\x00" * 100,
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\\ud83d"}',
        b'{"\\udc00": 1}',
    ],
    ids=lambda content: str(content[:12]),
)
def test_what_is_no_json_is_refused(content, tmp_path):
    file = tmp_path / "whole.json"
    file.write_bytes(content)
    with pytest.raises(ValueError):
        read_as(file, dict[str, object])
    with pytest.raises((ValueError, RecursionError)):
        load(file)


def test_what_cannot_be_read_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_as(tmp_path / "none.json", Whole)
    with pytest.raises(OSError):
        read_as(tmp_path, Whole)


@dataclass(frozen=True)
class Placed:
    name: str
    folder: Path


def test_where_it_lies_is_given_and_not_read(tmp_path):
    file = tmp_path / "placed.json"
    for content in ({"name": "a"}, {"name": "a", "folder": "/etc"}):
        write_json(file, content)
        # A name of a folder that is no text, as the system hands it out.
        for folder in (tmp_path, Path("/home/\udcff")):
            assert read_as(file, Placed, folder=folder) == Placed("a", folder)


def test_a_form_may_be_asked_for_and_more_be_there():
    assert conforms(SOUND | {"more": 1}, Whole)
    assert conforms(1, Share) and not conforms(1.1, Share)
    assert not conforms(SOUND | {"count": "3"}, Whole)


def test_the_sound_items_of_an_object_are_kept_as_they_are():
    content = {"count": 3, "amount": 2, "time": "now", "parts": [{"name": 3}], "more": HALF}
    found = sound_items(content, Whole)
    assert found == {"count": 3, "amount": 2, "more": HALF}
    assert type(found["amount"]) is int
    assert sound_items(SOUND, Whole) == SOUND
    deep = json.loads("[" * 500 + "]" * 500)
    assert sound_items({"parts": deep, "more": deep, "count": 3}, Whole) == {"more": deep, "count": 3}
    assert sound_items([content], Whole) == sound_items(None, Whole) == {}


def test_halves_of_characters_are_written_and_read_again(tmp_path):
    file = tmp_path / "any.json"
    content = {HALF: ["ä 中 \U0001f600", HALF, "\udc00", 'a "quoted" \\u0041\n']}
    write_json(file, content)
    assert read_object(file) == content
    assert "ä 中 \U0001f600" in file.read_text(encoding="utf-8")
    with pytest.raises(ValueError):
        load(file)
    with pytest.raises(ValueError):
        write_json(file, {"a": math.nan})
    assert read_object(file) == content
