"""What a JSON file holds, checked against the form that its readers rely on: a dataclass, or a list of such.

Anybody may have written such a file, or a bad disk damaged it. Nothing is converted: "3" and true are no
numbers, and 3.0 is no count. The forms are plain dataclasses whose fields say their bounds. pydantic checks
them; it is imported when the first file is read, so that no command and no page starts the later for it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

from annotated_types import Ge, Le, Lt

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Form = TypeVar("Form")

Count = Annotated[int, Ge(0), Lt(2**53)]
"""A whole number that every reader of JSON takes for the same."""

Share = Annotated[float, Ge(0), Le(1)]

Amount = Annotated[float, Ge(0), Lt(1e15)]
"""A number to show and to calculate with: finite, not below zero, of a size that occurs."""

Timestamp = Annotated[float, Ge(0), Lt(9e9)]
"""Seconds since 1970, to the year 2255, to which every library counts."""


class WrongForm(ValueError):
    """JSON that holds something else than it should."""


def load(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """What a file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON; or it spells half of a character, which JSON can and no page can show.
        RecursionError: it is nested too deeply.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    json.dumps(content, ensure_ascii=False).encode()
    return content


def read_as(path: Path, form: type[Form], **given: object) -> Form:
    """What a file holds, in its form.

    Args:
        given: text and paths for fields of the dataclass that are not in the file, such as its folder.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON; `WrongForm` where it is some of another form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not given:
        return parse_as(content, form)
    # A path may have letters that JSON has not: it takes the place of an empty one.
    blank = dict.fromkeys(given, "")
    found = parse_as({**content, **blank} if isinstance(content, dict) else content, form)
    return replace(found, **given)  # type: ignore[type-var]  # Only a dataclass has such fields.


def parse_as(content: object, form: type[Form]) -> Form:
    """What JSON held, in its form: a dataclass comes of an object with its names and no others.

    Raises:
        WrongForm: it is something else, a value lies outside its bounds, or half of a character is in it.
    """
    # Imported late: it takes as long as all else that a small command imports.
    from pydantic import ValidationError

    try:
        adapter: TypeAdapter[Form] = _adapter(form)  # type: ignore[arg-type]  # A type can be hashed.
        return adapter.validate_json(_spelled(content), strict=True, extra="forbid")
    except (ValidationError, UnicodeError, RecursionError) as error:
        raise WrongForm(f"it does not have the form of {_name(form)}") from error


def conforms(content: object, form: object) -> bool:
    """Whether what JSON held has this form. Names that a dataclass lacks may be there, too."""
    return _conforms(content, _adapter(form))


def sound_items(content: object, form: type) -> dict[str, Any]:
    """An object as JSON held it without the values that are not what the form's field of their name asks for.

    Names that the form lacks stay as they are, and so do those that are missing. What is no object has none.
    """
    if not isinstance(content, dict):
        return {}
    whole, each = _adapters(form)
    # At once, which is nearly always the end of it: one by one they take many times as long.
    if _conforms({name: value for name, value in content.items() if name in each}, whole):
        return dict(content)
    return {
        name: value for name, value in content.items() if name not in each or _conforms(value, each[name])
    }


def _conforms(content: object, adapter: TypeAdapter[Any]) -> bool:
    from pydantic import ValidationError

    try:
        adapter.validate_json(_spelled(content), strict=True)
    except (ValidationError, UnicodeError, RecursionError):
        return False
    return True


def _spelled(content: object) -> bytes:
    """In JSON again, which pydantic takes for JSON: for Python objects it has other rules."""
    return json.dumps(content, ensure_ascii=False).encode()


@cache
def _adapter(form: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - a type in any spelling
    from pydantic import TypeAdapter

    return TypeAdapter(form)


@cache
def _adapters(form: type) -> tuple[TypeAdapter[Any], dict[str, TypeAdapter[Any]]]:
    """For what there is of a form, and for the value of each of its names."""
    from typing_extensions import TypedDict

    types = get_type_hints(form, include_extras=True)
    part = TypedDict("part", types, total=False)  # type: ignore[misc]
    return _adapter(part), {name: _adapter(type_) for name, type_ in types.items()}


def _name(form: object) -> str:
    return getattr(form, "__name__", str(form))
