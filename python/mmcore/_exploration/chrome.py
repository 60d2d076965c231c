"""A schedule for a trace viewer: a track for each thread, arrows between racing steps."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mmcore._chrome import arrow, counter, document, instant, named, span
from mmcore._exploration.races import racing, word

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from mmcore._exploration.step import TraceStep
    from mmcore.program import Program

__all__ = ["chrome"]

#: The length of a step in microseconds; less than 1, so that a step ends before the next begins.
_LENGTH = 0.9

#: A page's word, as a trace shows it: its count, then its flags.
_COUNT = re.compile(r"\d+")


def chrome(
    program: Program,
    trace: tuple[TraceStep, ...],
    rule: str | None,
    path: str | os.PathLike[str] | None,
) -> str:
    """Converts the steps of a schedule to the Trace Event Format; step `n` begins at `n` µs.

    Args:
        program: the program, for the names of its threads.
        trace: the steps.
        rule: the broken rule, a mark after the last step; None if no rule broke.
        path: the file to write; None to write none.

    Returns:
        The trace as JSON.

    Raises:
        OSError: if the file cannot be written.
    """
    threads = {number: f"thread {each.name}" for number, each in enumerate(program.threads)}
    rows = named(threads, "mmcore schedule")
    rows += _operations(trace)
    for number, step in enumerate(trace):
        name = step.function or f"{step.kind} {step.object}"
        facts = {"step": number, "does": f"{step.kind} {step.object}", "word": word(step, "->")}
        facts["in"] = step.place
        rows.append(span(name, step.thread, number, _LENGTH, facts))
        rows += _references(number, step)
    for number, (first, second) in enumerate(racing(trace), 1):
        middle = _LENGTH / 2
        begin, end = (trace[first].thread, first + middle), (trace[second].thread, second + middle)
        rows += arrow("race", number, begin, end)
    if rule is not None and trace:
        rows.append(instant(rule, trace[-1].thread, len(trace), {}))
    return document(rows, path)


def _operations(trace: tuple[TraceStep, ...]) -> Iterator[dict[str, Any]]:
    """A bar for each operation, from its first step to its last; its steps lie inside."""
    by_operation = sorted(range(len(trace)), key=lambda n: (trace[n].thread, trace[n].i, n))
    for _, group in groupby(by_operation, lambda n: (trace[n].thread, trace[n].i)):
        numbers = list(group)
        step = trace[numbers[0]]
        length = numbers[-1] - numbers[0] + _LENGTH
        yield span(step.op, step.thread, numbers[0], length, {"steps": len(numbers)})


def _references(number: int, step: TraceStep) -> Iterator[dict[str, Any]]:
    """The count of a page after a step on its word."""
    found = _COUNT.match(step.after)
    if found and step.object.startswith("page ") and step.object.endswith(" word"):
        yield counter(f"references of {step.object[:-5]}", number + _LENGTH, int(found[0]))
