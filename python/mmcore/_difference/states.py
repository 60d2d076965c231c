"""End states of a program as flat tables: each value has a name, so that differences have one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["flattened"]


def flattened(
    state: Mapping[str, Any] | None, threads: Sequence[str], lines: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Returns every value of an end state by name; an empty table if a rule broke.

    Args:
        state: the end state from the core; None if a rule broke.
        threads: the names of the threads, and `finally`.
        lines: for each of them the lines of its operations.
    """
    return {} if state is None else dict(_named(state, threads, lines))


def _named(
    state: Mapping[str, Any], threads: Sequence[str], lines: Sequence[Sequence[str]]
) -> Iterator[tuple[str, Any]]:
    for thread, ops, done in zip(threads, lines, state["ops"], strict=True):
        for number, (line, step) in enumerate(zip(ops, done, strict=False)):
            for field, value in step.items():
                yield f"{thread}#{number} {line}.{field}", value
    end = state["end"]
    for name, runs in end["pages"].items():
        for run in runs:
            first, _, last = run["p"].partition("-")
            for page in range(int(first), int(last or first) + 1):
                for field in run.keys() - {"p", "moved"}:
                    yield f"{name}:{page}.{field}", run[field]
    for counter, value in end["vm"].items():
        yield f"vm.{counter}", value
    for node, counters in enumerate(end["nodes"]):
        for counter, value in counters.items():
            yield f"n{node}.{counter}", value
