"""The steps of a schedule as a short table."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from mmcore.reporting import Grid
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from mmcore._exploration.step import TraceStep

__all__ = ["short", "steps"]

#: The number of steps shown at the beginning and at the end of each run of steps that one operation
#: takes without a switch to another thread.
_FIRST, _LAST = 2, 5


def short(trace: tuple[TraceStep, ...]) -> list[tuple[int, TraceStep] | int]:
    """Returns the steps to show with their numbers; an int stands for a gap of so many steps."""
    shown: list[tuple[int, TraceStep] | int] = []
    for _, run in groupby(enumerate(trace), lambda pair: (pair[1].thread, pair[1].i)):
        steps = list(run)
        left_out = len(steps) - _FIRST - _LAST
        if left_out > 1:
            shown += [*steps[:_FIRST], left_out, *steps[-_LAST:]]
        else:
            shown += steps
    return shown


def steps(trace: tuple[TraceStep, ...], *, breaks: bool) -> Grid:
    """Makes the table of a trace: one row for each step shown, and one for each gap.

    Args:
        trace: the steps.
        breaks: whether the last step breaks a rule; its row is then marked.
    """
    titles = columns("", "step", "thread", "operation", "in", "does", "to", "word before -> after")
    rows: list[tuple[str, ...]] = []
    last = len(trace) - 1
    for entry in short(trace):
        if isinstance(entry, int):
            rows.append(("", "...", "", f"{entry} more steps", *[""] * 4))
            continue
        number, step = entry
        mark = ">>>" if breaks and number == last else ""
        same = step.before == step.after
        word = step.before if same else f"{step.before} -> {step.after}"
        doing = (step.name, step.op, step.function, step.kind, step.object)
        rows.append((mark, str(number), *doing, word))
    return Grid(titles, tuple(rows))
