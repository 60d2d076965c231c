"""Arrays of users as the arrays of a trace: checked, and of the right type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["flags", "integers"]


def integers(
    name: str, values: ArrayLike, dtype: type[np.unsignedinteger], limit: int
) -> NDArray[Any]:
    """`values` as a new one-dimensional array of `dtype`, refused unless all are in 0..limit."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{name}: not an array of integers: {error}") from None
    if array.ndim != 1:
        raise InputError(f"{name}: one dimension is needed, not {array.ndim}")
    if array.size == 0:
        return np.empty(0, dtype)
    if array.dtype.kind not in "ui":
        raise InputError(f"{name}: integers are needed, not {array.dtype}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > limit:
        raise InputError(f"{name}: {low if low < 0 else high} is not between 0 and {limit}")
    return array.astype(dtype)


def flags(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    """`values` as a new one-dimensional array of booleans; integers must be 0 or 1."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{name}: not an array of booleans: {error}") from None
    if array.dtype != np.bool_:
        array = integers(name, values, np.uint8, 1)
    elif array.ndim != 1:
        raise InputError(f"{name}: one dimension is needed, not {array.ndim}")
    return array.astype(np.bool_)
