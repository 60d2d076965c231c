"""A counterexample as text: a short table."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcore.exploration.result import Counterexample, TraceStep

__all__ = ["short", "table"]

#: Of a stretch of one thread's steps, so many are shown at its beginning and at its end.
_FIRST, _LAST = 2, 5


def short(trace: tuple[TraceStep, ...]) -> list[tuple[int, TraceStep] | int]:
    """The steps worth showing, with their numbers; a bare number stands for so many left out."""
    shown: list[tuple[int, TraceStep] | int] = []
    for _, run in groupby(enumerate(trace), lambda pair: (pair[1].thread, pair[1].i)):
        steps = list(run)
        left_out = len(steps) - _FIRST - _LAST
        if left_out > 1:
            shown += [*steps[:_FIRST], left_out, *steps[-_LAST:]]
        else:
            shown += steps
    return shown


def table(found: Counterexample) -> str:
    """Rule, program, schedule, trace with the breaking step marked, and how to replay it."""
    lines = [f"{found.rule}: {found.detail}" if found.rule else "no rule broke", ""]
    lines += [f"    {line}" for line in found.program.text.splitlines()]
    lines += ["", f"schedule {found.schedule}", ""]
    lines += _rows(found)
    if found.rule and found.at_end:
        lines.append(f">>> all threads have ended: {found.rule}")
    lines += ["", *filter(None, [found.limit]), f"replay: {found.command}"]
    return "\n".join(lines)


def _rows(found: Counterexample) -> list[str]:
    cells: list[tuple[str, ...] | str] = [
        ("", "step", "thread", "operation", "in", "does", "to", "word before -> after")
    ]
    last = len(found.trace) - 1
    for entry in short(found.trace):
        if isinstance(entry, int):
            cells.append(f"         ... {entry} more steps ...")
            continue
        number, step = entry
        breaks = ">>>" if found.rule and not found.at_end and number == last else ""
        same = step.before == step.after
        word = step.before if same else f"{step.before} -> {step.after}"
        doing = (step.name, step.op, step.function, step.kind, step.object)
        cells.append((breaks, str(number), *doing, word))
    rows = [row for row in cells if isinstance(row, tuple)]
    widths = [max(len(row[column]) for row in rows) for column in range(7)] + [0]
    return [
        row
        if isinstance(row, str)
        else "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
