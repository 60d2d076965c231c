"""Validates the fields of a recording before it is replayed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SHOWN_PAGES", "wrong"]

#: A run of pages: `3`, or `3-7` with both ends included.
_RUN = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)

#: A number with three decimals.
_DECIMAL = re.compile(r"-?\d\.\d{3}", re.ASCII)

#: The most pages of a region that a recording lists page by page.
SHOWN_PAGES = 64

#: The most steps and regions of a recording: over ten times those of the longest known. A larger
#: file could fill the memory, as the comparison keeps every page of every region.
_MOST_STEPS, _MOST_REGIONS = 10_000, 256

#: The most frames, moves and attempts of a step: over ten times those of the largest recorded node.
_MOST_FRAMES = 1 << 20


def wrong(recording: dict[str, Any]) -> str | None:
    """Validates a recording; returns an error text for the first malformed field, or None."""
    script, steps = recording["script"], recording["steps"]
    lines = script.splitlines() if isinstance(script, str) else script
    if not _list_of(lines, str):
        return "'script' must be a text or a list of lines"
    if not isinstance(recording["final"], dict):
        return "'final' must be an object"
    if not _list_of(recording.get("nondet", []), str):
        return "'nondet' must be a list of paths"
    if not (isinstance(recording["name"], str) and isinstance(recording["kernel"], str)):
        return "'name' and 'kernel' must be texts"
    if not _values(recording["final"]):
        return "'final' must have integers, or lists or objects of integers, as values"
    if not _list_of(steps, dict):
        return "'steps' must be a list of objects"
    if len(steps) > _MOST_STEPS:
        return f"it has {len(steps)} steps; the limit is {_MOST_STEPS}"
    for number, step in enumerate(steps):
        found = _wrong_step(step)
        if found is not None:
            return f"step {number}: {found}"
    regions = {region for step in steps for region in step.get("pages", ())}
    if len(regions) > _MOST_REGIONS:
        return f"it shows {len(regions)} regions; the limit is {_MOST_REGIONS}"
    operations = [line.partition("#")[0].split() for line in lines]
    operations = [words for words in operations if words]
    for number, (step, words) in enumerate(zip(steps, operations, strict=False)):
        if step["op"].split() != words:
            return f"step {number} is {step['op']!r}, but the script has {' '.join(words)!r} there"
    if len(steps) != len(operations):
        return f"the script has {len(operations)} operations, but there are {len(steps)} steps"
    return None


def _wrong_step(step: dict[str, Any]) -> str | None:
    op = step.get("op")
    if not isinstance(op, str) or not op.split():
        return "'op' must be a text with an operation"
    for field, fits in _FIELDS.items():
        if field in step and not fits(step[field]):
            return f"{field!r} does not have the form that docs/recordings.md describes"
    for field, fits in _OF_A_NODE.items():
        # Where the runs of a recording differ, `info` has the fields of one run.
        for where in (step, step.get("info", {})):
            if field in where and not fits(where[field]):
                return f"{field!r} does not have the form that docs/recordings.md describes"
    for name in step:
        # The list has the free blocks of a zone by order. For an order in which the runs differ it
        # has an object instead of the number.
        if name.startswith("buddy_") and not isinstance(step[name], list):
            return f"{name!r} does not have the form that docs/recordings.md describes"
        if name.startswith(("extfrag_index_", "unusable_index_")) and not _decimals(step[name]):
            return f"{name!r} does not have the form that docs/recordings.md describes"
    words = step["op"].split()
    if words[0] == "layout" and not any(_NODE.fullmatch(word) for word in words[1:]):
        return "the layout names no node: it needs node=N"
    return None


def _list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _runs(value: Any) -> bool:
    """True if a value is a list of run lengths: pairs of a count and a value."""

    def is_run(each: list[Any]) -> bool:
        return len(each) == 2 and type(each[0]) is int and _scalar(each[1])

    return _list_of(value, list) and all(map(is_run, value))


def _scalar(value: Any) -> bool:
    return type(value) in (int, str)


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(type(count) is int for count in value.values())


def _values(value: Any) -> bool:
    """True if a value is an object of integers, and of lists and objects of integers."""
    return isinstance(value, dict) and all(
        type(each) is int or _numbers(each) or _counts(each) for each in value.values()
    )


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)


def _decimals(value: Any) -> bool:
    """True if a value is a text of numbers with three decimals."""
    return isinstance(value, str) and all(map(_DECIMAL.fullmatch, value.split()))


def _info(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(field, {}), dict) for field in ("vm", "n0", "n1", "n2", "calls", "big")
    )


def _objects(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Makes a check for an object of objects whose values pass the check `of`."""
    return lambda value: (
        isinstance(value, dict)
        and all(isinstance(each, dict) and all(map(of, each.values())) for each in value.values())
    )


def _patterns(value: Any) -> bool:
    """True if a value is a layout: pairs of a number and the pattern that it repeats."""

    def is_run(each: list[Any]) -> bool:
        return len(each) == 2 and type(each[0]) is int and each[0] > 0 and _letters(each[1])

    runs = _list_of(value, list) and all(map(is_run, value))
    return runs and sum(times * len(pattern) for times, pattern in value) <= _MOST_FRAMES


def _letters(value: Any) -> bool:
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def _moves(value: Any) -> bool:
    """True if a value is a list of moves.

    A move has a source and a target; a run of moves also a length, and the steps from one source
    and one target to the next.
    """

    def is_run(each: list[Any]) -> bool:
        has_shape = len(each) in (2, 5) and all(map(_scalar, each[:2]))
        return has_shape and all(map(_integer, each[2:])) and (len(each) == 2 or each[2] > 0)

    runs = _list_of(value, list) and all(map(is_run, value))
    return runs and sum(run[2] if len(run) == 5 else 1 for run in value) <= _MOST_FRAMES


def _fails(value: Any) -> bool:
    """True if a value is a list of failed attempts.

    An attempt has a frame and an errno; a run of attempts also a length, and the step from one
    frame to the next. A list that was cut ends with `...`.
    """

    def is_run(each: list[Any]) -> bool:
        has_shape = len(each) in (2, 4) and _scalar(each[0]) and isinstance(each[1], str)
        return has_shape and all(map(_integer, each[2:])) and (len(each) == 2 or each[2] > 0)

    if isinstance(value, list) and value[-1:] == ["..."]:
        value = value[:-1]
    runs = _list_of(value, list) and all(map(is_run, value))
    return runs and sum(run[2] if len(run) == 4 else 1 for run in value) <= _MOST_FRAMES


def _frames(value: Any) -> bool:
    """True if a value maps names of frames to scalars, or to objects of scalars."""
    return isinstance(value, dict) and all(
        _scalar(each) or (isinstance(each, dict) and all(map(_scalar, each.values())))
        for each in value.values()
    )


def _pages(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _list_of(runs, dict) and _ascending(runs) for runs in value.values()
    )


def _ascending(runs: list[dict[str, Any]]) -> bool:
    """True if the runs of pages ascend without overlap, below `SHOWN_PAGES`, with valid fields."""
    last = -1
    for run in runs:
        numbers = run.get("p")
        found = _RUN.fullmatch(numbers) if isinstance(numbers, str) else None
        if found is None:
            return False
        first, end = int(found[1]), int(found[2] or found[1])
        if not last < first <= end < SHOWN_PAGES:
            return False
        last = end
        texts = (run.get(key, "") for key in ("pte", "flags", "data"))
        counts = (run.get(key, 0) for key in ("node", "moved", "ref", "map"))
        if not all(type(text) is str for text in texts):
            return False
        if not all(type(count) is int for count in counts):
            return False
    return True


def _integer(value: Any) -> bool:
    return type(value) is int


def _text(value: Any) -> bool:
    return isinstance(value, str)


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "ret": _integer,
    "errno": _text,
    "status": _runs,
    "calls_ret": _runs,
    "acc": _runs,
    "async_sigbus": _integer,
    "ar_sigbus": _integer,
    "state": _text,
    "valid_zones": _text,
    "got": _integer,
    "isolated": lambda value: _numbers(value) and len(value) == 2,
    "pages": _pages,
    "big": _objects(_integer),
    "child": _objects(_text),
    "frames": _frames,
    "hwc_kb": _integer,
    "vm": _counts,
    "n0": _counts,
    "n1": _counts,
    "calls": _counts,
    "ev": lambda value: _list_of(value, str),
    "n2": _counts,
    "kinds": _counts,
    "info": _info,
    "nonlru": _counts,
    "mm_stat": _counts,
    "nr_zspages": _integer,
    "zspages": lambda value: (
        _list_of(value, list) and all(_numbers(each) and len(each) == 4 for each in value)
    ),
    "used_after": _runs,
    "checked": _integer,
}

#: The number of a node in an operation.
_NODE = re.compile(r"node=\d{1,3}", re.ASCII)

#: Fields about a node as a whole, in a step or in its `info`.
_OF_A_NODE: dict[str, Callable[[Any], bool]] = {
    "layout": _patterns,
    "types": _patterns,
    "moves": _moves,
    "fails": _fails,
    "cev": lambda value: _list_of(value, str),
}
