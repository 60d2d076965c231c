"""The steps of a schedule as a short table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._exploration.races import folded
from mmcore.reporting import Grid
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from mmcore._exploration.step import TraceStep

__all__ = ["steps"]


def steps(trace: tuple[TraceStep, ...], *, breaks: bool) -> Grid:
    """Makes the table of a trace: one row for each step shown, and one for each gap.

    Args:
        trace: the steps.
        breaks: whether the last step breaks a rule; its row is then marked.
    """
    titles = columns("", "step", "thread", "operation", "in", "does", "to", "word before -> after")
    rows: list[tuple[str, ...]] = []
    last = len(trace) - 1
    for entry in folded(trace):
        if isinstance(entry, range):
            rows.append(("", "...", "", f"{len(entry)} more steps", *[""] * 4))
            continue
        step = trace[entry]
        mark = ">>>" if breaks and entry == last else ""
        same = step.before == step.after
        word = step.before if same else f"{step.before} -> {step.after}"
        doing = (step.name, step.op, step.function, step.kind, step.object)
        rows.append((mark, str(entry), *doing, word))
    return Grid(titles, tuple(rows))
