"""Finds the steps of a trace that race; the other steps can be folded away."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcore._exploration.step import TraceStep

__all__ = ["folded", "racing", "stops", "word"]

#: Steps shown at the beginning and at the end of a run of one thread, and the fewest steps of a
#: fold: a shorter fold would take as much room as its steps.
_FIRST, _LAST, _FEWEST = 1, 3, 3


def racing(trace: tuple[TraceStep, ...]) -> list[tuple[int, int]]:
    """Finds races: successive accesses of two threads to one word, one of which changes it.

    Locks are left out: threads contend for a lock by design, and a line for each would hide the
    races.

    Returns:
        Pairs of step numbers, the earlier step first.
    """
    pairs = []
    touched: dict[str, int] = {}
    for number, step in enumerate(trace):
        if not step.object or " lock" in step.object:
            continue
        other = touched.get(step.object)
        if other is not None and trace[other].thread != step.thread:
            changed = (one.before != one.after for one in (trace[other], step))
            if any(changed):
                pairs.append((other, number))
        touched[step.object] = number
    return pairs


def folded(trace: tuple[TraceStep, ...]) -> list[int | range]:
    """Folds long runs of one thread within one operation; racing steps stay in sight.

    Returns:
        The numbers of all steps in order; a range stands for the steps of a fold.
    """
    kept = {number for pair in racing(trace) for number in pair}
    shown: list[int | range] = []
    for _, run in groupby(range(len(trace)), lambda n: (trace[n].thread, trace[n].i)):
        numbers = list(run)
        kept.update(numbers[:_FIRST], numbers[-_LAST:])
        for stays, part in groupby(numbers, kept.__contains__):
            steps = list(part)
            if stays or len(steps) < _FEWEST:
                shown += steps
            else:
                shown.append(range(steps[0], steps[-1] + 1))
    return shown


def stops(trace: tuple[TraceStep, ...]) -> list[int]:
    """The steps that tell the race: each first step after a switch, the racing ones, the last."""
    found = {number for pair in racing(trace) for number in pair}
    found.update(n for n, step in enumerate(trace) if not n or step.thread != trace[n - 1].thread)
    found.update([len(trace) - 1] if trace else [])
    return sorted(found)


def word(step: TraceStep, arrow: str = "→") -> str:
    """The value of the step's word, before and after if the step changes it."""
    return step.before if step.before == step.after else f"{step.before} {arrow} {step.after}"
