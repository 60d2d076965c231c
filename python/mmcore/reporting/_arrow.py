"""The rows of a result as an Arrow table, which polars, pandas, DuckDB and pyarrow take.

A result hands the table over in a capsule of Arrow's C stream interface, which each of these
libraries reads without the others. nanoarrow, a small library, makes the capsule.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmcore._extras import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["stream"]


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
    columns = [_column(arrow, [row.get(name) for row in flat]) for name in names]
    batch = arrow.c_array_from_buffers(
        arrow.struct({name: column.schema for name, column in zip(names, columns, strict=True)}),
        length=len(flat),
        buffers=[None],
        null_count=0,
        children=columns,
    )
    source = arrow.c_array_stream(batch)
    return source.__arrow_c_stream__(requested_schema)


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A row without rows inside: the value `low` of the dict `ratio` becomes `ratio.low`."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat


def _column(arrow: Any, values: Iterable[Any]) -> Any:
    """A column of the type that all of its values have; values of several types become JSON."""
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
