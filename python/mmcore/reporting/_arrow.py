"""The rows of a result as an Arrow table, which polars, pandas, DuckDB and pyarrow take.

A result hands the table over in a capsule of Arrow's C stream interface, which each of these
libraries reads without the others. nanoarrow, a small library, makes the capsule.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._extras import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["stream", "stream_of"]


def stream(rows: Sequence[Mapping[str, Any]], requested_schema: object = None) -> object:
    """Makes the capsule of an Arrow stream, `arrow_array_stream`, with the rows as one batch.

    Args:
        rows: the rows; a key that a row lacks is null there.
        requested_schema: a capsule with the schema that the caller would like; it is passed on to
            nanoarrow, which refuses one that does not fit.

    Raises:
        MissingExtraError: if nanoarrow is not installed.
    """
    arrow = need("nanoarrow", "a table as an Arrow stream")
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    columns = {name: _column(arrow, [row.get(name) for row in flat]) for name in names}
    return _batch(arrow, columns, len(flat), requested_schema)


def stream_of(columns: Mapping[str, NDArray[Any]], requested_schema: object = None) -> object:
    """Makes the capsule of an Arrow stream of arrays, one a column, with all rows as one batch.

    Args:
        columns: arrays of one dimension and one length: numbers, booleans, or objects that are
            texts.
        requested_schema: as for `stream`.

    Raises:
        MissingExtraError: if nanoarrow is not installed.
    """
    arrow = need("nanoarrow", "a table as an Arrow stream")
    length = max((len(values) for values in columns.values()), default=0)
    made = {name: _array(arrow, values) for name, values in columns.items()}
    return _batch(arrow, made, length, requested_schema)


def _batch(arrow: Any, columns: Mapping[str, Any], length: int, requested_schema: object) -> object:
    batch = arrow.c_array_from_buffers(
        arrow.struct({name: column.schema for name, column in columns.items()}),
        length=length,
        buffers=[None],
        null_count=0,
        children=list(columns.values()),
    )
    source = arrow.c_array_stream(batch)
    return source.__arrow_c_stream__(requested_schema)


def _array(arrow: Any, values: NDArray[Any]) -> Any:
    """A column of the type of an array; Arrow keeps eight booleans in a byte."""
    match values.dtype.kind:
        case "O":
            return arrow.c_array(values.tolist(), arrow.string())
        case "b":
            bits = np.packbits(values, bitorder="little")
            return arrow.c_array_from_buffers(arrow.bool_(), len(values), [None, bits], 0)
        case _:
            kind = getattr(arrow, values.dtype.name)()
            numbers = np.ascontiguousarray(values)
            return arrow.c_array_from_buffers(kind, len(values), [None, numbers], 0)


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Flattens a row: the value `low` of the dict `ratio` becomes the value `ratio.low`."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat


def _column(arrow: Any, values: Iterable[Any]) -> Any:
    """A column of the type that all of its values have.

    Integers and floats together become floats, unless an integer needs more than 64 bits. In any
    other column texts stay as they are, and all other values become JSON.
    """
    values = list(values)
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return arrow.c_array_from_buffers(arrow.null(), len(values), [], len(values))
    if kinds <= {bool}:
        return arrow.c_array(values, arrow.bool_())
    fits = all(abs(value) < 1 << 63 for value in values if type(value) is int)
    if kinds <= {int} and fits:
        return arrow.c_array(values, arrow.int64())
    if kinds <= {int, float} and fits:
        floats = [None if value is None else float(value) for value in values]
        return arrow.c_array(floats, arrow.float64())
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value) for value in values
    ]
    return arrow.c_array(texts, arrow.string())
