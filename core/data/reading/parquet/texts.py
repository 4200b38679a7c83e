"""The values of a column become text, whatever their type; what cannot is set aside with its reason."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.base.errors import UserError
from core.data.tables import Limits


def text_column(column: pa.Array, reasons: dict[int, str], limits: Limits) -> pa.Array:
    """The column as text; adds the reason of every value that is none."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if _is_binary(kind):
        return _decoded(column.cast(pa.large_binary()), reasons)
    if pa.types.is_nested(kind):
        return _nested(column, reasons, limits)
    texts = column.cast(pa.large_string()).fill_null("")
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        texts = pc.replace_substring_regex(texts, r"\.0+(Z?)$", r"\1")
    return texts


def _nested(column: pa.Array, reasons: dict[int, str], limits: Limits) -> pa.Array:
    """The column as JSON text; values that would be far too long are not even written."""
    sizes = _sizes(column)
    # No character takes more bytes than this.
    fits = sizes <= 4 * limits.field_characters
    if sizes[fits].sum() > 9 * limits.bytes:
        raise UserError(
            f"texts of at most {limits.bytes:,} characters together",
            "more than that",
            "Keep only the columns and rows that you need, or split the file.",
        )
    for i in np.flatnonzero(~fits).tolist():
        reasons[i] = f"a value of more than {limits.field_characters:,} characters"
    values = (value.as_py() if fit else None for value, fit in zip(column, fits, strict=True))
    return pa.array(("" if value is None else _json(value) for value in values), pa.large_string())


def _sizes(column: pa.Array) -> np.ndarray:
    """How many bytes each value takes as JSON at the least, int64."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _sizes(column.storage)
    if pa.types.is_dictionary(kind):
        known = np.append(_sizes(column.dictionary), 0)
        return known[_numbers(column.indices.cast(pa.int64()), len(known) - 1)]
    if _is_binary(kind):
        return _numbers(pc.binary_length(column.cast(pa.large_binary())), 0)
    if pa.types.is_struct(kind):
        fields = map(column.field, range(kind.num_fields))
        return sum(map(_sizes, fields), start=np.ones(len(column), dtype=np.int64))
    if pa.types.is_fixed_size_list(kind):
        inside = column.values.slice(column.offset * kind.list_size, len(column) * kind.list_size)
        return _sizes(inside).reshape(len(column), kind.list_size).sum(axis=1) + 1
    if pa.types.is_nested(kind):
        is_map = pa.types.is_map(kind)
        inside = _sizes(column.keys) + _sizes(column.items) if is_map else _sizes(column.values)
        ends = np.cumsum(np.append(0, inside))[column.offsets.to_numpy()]
        return np.diff(ends) + 1
    return np.ones(len(column), dtype=np.int64)


def _numbers(column: pa.Array, missing: int) -> np.ndarray:
    return column.fill_null(missing).to_numpy(zero_copy_only=False)


def _is_binary(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)


def _decoded(column: pa.Array, reasons: dict[int, str]) -> pa.Array:
    try:
        return column.cast(pa.large_string()).fill_null("")
    except pa.ArrowInvalid:
        values = [b"" if value is None else value for value in column.to_pylist()]
    texts = []
    for i, value in enumerate(values):
        text = value.decode("utf-8", "replace")
        if "\ufffd" in text and text.encode() != value:
            reasons[i] = "bytes that are not utf-8"
        texts.append(text)
    return pa.array(texts, pa.large_string())


def _json(value: Any) -> str:  # noqa: ANN401 - any nested value
    return json.dumps(value, ensure_ascii=False, default=str)
