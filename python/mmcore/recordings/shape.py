"""Is a step of a recording one? What is compared is looked at before anything is replayed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["wrong"]

#: A run of pages: one, or from one to another.
_RUN = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


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
    if not _list_of(steps, dict):
        return "its steps are no list of objects"
    for number, step in enumerate(steps):
        found = _wrong_step(step)
        if found is not None:
            return f"step {number}: {found}"
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
    def is_run(each: list[Any]) -> bool:
        return len(each) == 2 and type(each[0]) is int

    return _list_of(value, list) and all(map(is_run, value))


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(type(count) is int for count in value.values())


def _info(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(field, {}), dict) for field in ("vm", "n0", "n1", "calls")
    )


def _objects(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())


def _pages(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _list_of(runs, dict) and all(map(_page, runs)) for runs in value.values()
    )


def _page(run: dict[str, Any]) -> bool:
    numbers, flags = run.get("p"), run.get("flags", "")
    return (
        isinstance(numbers, str) and _RUN.fullmatch(numbers) is not None and isinstance(flags, str)
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "status": _runs,
    "calls_ret": _runs,
    "acc": _runs,
    "pages": _pages,
    "big": lambda value: isinstance(value, dict),
    "child": _objects,
    "frames": lambda value: isinstance(value, dict),
    "vm": _counts,
    "n0": _counts,
    "n1": _counts,
    "calls": _counts,
    "ev": lambda value: isinstance(value, list),
    "info": _info,
}
