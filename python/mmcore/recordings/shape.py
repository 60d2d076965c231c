"""Is a step of a recording one? What is compared is looked at before anything is replayed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["wrong"]

#: A run of pages: one, or from one to another.
_RUN = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)

#: Recordings show regions of up to so many pages page by page.
_SHOWN_PAGES = 64

#: Steps of a recording, and regions that it shows: more than ten times what the longest has. Each
#: step keeps every page of every region.
_MOST_STEPS, _MOST_REGIONS = 10_000, 256


def wrong(recording: dict[str, Any]) -> str | None:
    """What is wrong with a recording, in words; nothing if it can be compared."""
    script, steps = recording["script"], recording["steps"]
    lines = script.splitlines() if isinstance(script, str) else script
    if not _list_of(lines, str):
        return "its script is no text"
    if not isinstance(recording["final"], dict):
        return "its final is no object"
    if not _list_of(recording.get("nondet", []), str):
        return "its nondet is no list of paths"
    if not (isinstance(recording["name"], str) and isinstance(recording["kernel"], str)):
        return "its name and its kernel are no texts"
    if not _values(recording["final"]):
        return "its final is no balance"
    if not _list_of(steps, dict):
        return "its steps are no list of objects"
    if len(steps) > _MOST_STEPS:
        return f"it has {len(steps)} steps, and {_MOST_STEPS} are the most"
    for number, step in enumerate(steps):
        found = _wrong_step(step)
        if found is not None:
            return f"step {number}: {found}"
    regions = {region for step in steps for region in step.get("pages", ())}
    if len(regions) > _MOST_REGIONS:
        return f"it shows {len(regions)} regions, and {_MOST_REGIONS} are the most"
    operations = [line.partition("#")[0].split() for line in lines]
    operations = [words for words in operations if words]
    for number, (step, words) in enumerate(zip(steps, operations, strict=False)):
        if step["op"].split() != words:
            return f"step {number} is {step['op']!r}, in the script it is {' '.join(words)!r}"
    if len(steps) != len(operations):
        return f"its script has {len(operations)} operations, and it has {len(steps)} steps"
    return None


def _wrong_step(step: dict[str, Any]) -> str | None:
    op = step.get("op")
    if not isinstance(op, str) or not op.split():
        return "it has no operation"
    for field, fits in _FIELDS.items():
        if field in step and not fits(step[field]):
            return f"{field} is not what a recording has there"
    return None


def _list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _runs(value: Any) -> bool:
    """Run lengths: how often, and what."""

    def is_run(each: list[Any]) -> bool:
        return len(each) == 2 and type(each[0]) is int and _scalar(each[1])

    return _list_of(value, list) and all(map(is_run, value))


def _scalar(value: Any) -> bool:
    return type(value) in (int, str)


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(type(count) is int for count in value.values())


def _values(value: Any) -> bool:
    """Counts, and lists and objects of them."""
    return isinstance(value, dict) and all(
        type(each) is int or _numbers(each) or _counts(each) for each in value.values()
    )


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)


def _info(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(field, {}), dict) for field in ("vm", "n0", "n1", "calls")
    )


def _objects(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """An object of objects of something."""
    return lambda value: (
        isinstance(value, dict)
        and all(isinstance(each, dict) and all(map(of, each.values())) for each in value.values())
    )


def _frames(value: Any) -> bool:
    """Frames by name: a word, or an object of words and numbers."""
    return isinstance(value, dict) and all(
        _scalar(each) or (isinstance(each, dict) and all(map(_scalar, each.values())))
        for each in value.values()
    )


def _pages(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _list_of(runs, dict) and _ascending(runs) for runs in value.values()
    )


def _ascending(runs: list[dict[str, Any]]) -> bool:
    """Whether each run of pages comes after the one before it, and is all that it should be."""
    last = -1
    for run in runs:
        numbers = run.get("p")
        found = _RUN.fullmatch(numbers) if isinstance(numbers, str) else None
        if found is None:
            return False
        first, end = int(found[1]), int(found[2] or found[1])
        if not last < first <= end < _SHOWN_PAGES:
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
    "info": _info,
}
