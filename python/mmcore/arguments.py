"""Numbers that become a count, a size, an index or a duration in the core: checked before."""

from __future__ import annotations

import math
import operator
from typing import Any, overload

from mmcore.errors import InputError

__all__ = ["JOBS", "STEPS", "number", "shown", "time_limit"]

#: Threads that an exploration may be spread over.
JOBS = 1024

#: Steps of a schedule: longer ones cannot be said.
STEPS = 1 << 24


@overload
def number(name: str, value: None, least: int = 0, most: int = ...) -> None: ...
@overload
def number(name: str, value: int, least: int = 0, most: int = ...) -> int: ...
def number(name: str, value: int | None, least: int = 0, most: int = (1 << 64) - 1) -> int | None:
    """An argument that is said as a plain number.

    Args:
        name: the argument's name.
        value: what was said; None if it was not.
        least: the least that it may be.
        most: the most that it may be.

    Raises:
        InputError: if it is no whole number of these bounds.
    """
    if value is None:
        return None
    said = _index(value)
    if said is None or not least <= said <= most:
        raise InputError(f"{name} must be a number from {least} to {most}, not {shown(value)}")
    return said


@overload
def time_limit(name: str, seconds: None) -> None: ...
@overload
def time_limit(name: str, seconds: float) -> float: ...
def time_limit(name: str, seconds: Any) -> Any:
    """A duration that is said, in seconds.

    Args:
        name: the argument's name.
        seconds: what was said; None if it was not.

    Raises:
        InputError: if it is no finite time of more than nothing.
    """
    if seconds is None:
        return None
    try:
        said = float(seconds)
    except (TypeError, ValueError, OverflowError):
        said = math.nan
    # Text is no number, whatever it says.
    if isinstance(seconds, str | bytes) or not 0 < said < math.inf:
        raise InputError(f"{name} must be more than 0 seconds, and not {shown(seconds)}")
    return said


def _index(value: Any) -> int | None:
    try:
        # A truth value is no number here.
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def shown(value: object) -> str:
    """What was said, for an error text: its first characters if it is long."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}..."
