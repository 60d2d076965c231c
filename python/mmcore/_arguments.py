"""Checks of numeric arguments, before the core takes them as counts, sizes or durations."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, overload

from mmcore._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["nearest", "number", "shown", "time_limit"]


@overload
def number(name: str, value: None, least: int = 0, most: int = ...) -> None: ...
@overload
def number(name: str, value: int, least: int = 0, most: int = ...) -> int: ...
def number(name: str, value: int | None, least: int = 0, most: int = (1 << 64) - 1) -> int | None:
    """Checks an integer argument and returns it as a Python int; None stays None.

    Args:
        name: the argument's name, for the error.
        value: the value that the caller passed; None if the argument was left out.
        least: the smallest value allowed.
        most: the largest value allowed.

    Raises:
        InputError: if the value is not an integer from `least` to `most`; bools are refused.
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
    """Checks a duration in seconds and returns it as a float; None stays None.

    Args:
        name: the argument's name, for the error.
        seconds: the value that the caller passed; None if the argument was left out.

    Raises:
        InputError: if the value is not a finite number above 0; text such as "3" is refused.
    """
    if seconds is None:
        return None
    try:
        said = float(seconds)
    except (TypeError, ValueError, OverflowError):
        said = math.nan
    # `float` also parses text, so "3" would pass as a duration.
    if isinstance(seconds, str | bytes) or not 0 < said < math.inf:
        raise InputError(f"{name} must be more than 0 seconds, not {shown(seconds)}")
    return said


def _index(value: Any) -> int | None:
    try:
        # A bool is an int in Python, and `threads=True` is a mistake of the caller.
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: `; did you mean 'x'?`, or nothing."""
    # Imported here: only errors need the module.
    from difflib import get_close_matches

    found = get_close_matches(str(word)[:200], known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def shown(value: object) -> str:
    """The repr of a value for an error text, cut after 40 characters."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}..."
