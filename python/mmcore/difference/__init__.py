"""What a program comes to under one profile and not under another.

| file | idea |
|---|---|
| `sides` | the two profiles, from a few words |
| `steps` | one sequence of operations: the first step that differs, and the fields that cause it |
| `outcomes` | threads: the outcomes that only one profile reaches |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore.arguments import number, time_limit
from mmcore.difference.outcomes import OutcomeDiff, diff_outcomes
from mmcore.difference.sides import make_sides
from mmcore.difference.steps import StepDiff, diff_steps
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OutcomeDiff", "StepDiff", "diff"]


def diff(
    program: Program | str,
    *,
    kernel: str | tuple[str, str] | None = None,
    vary: str | None = None,
    profile: Mapping[str, str | int | bool] | None = None,
    preemptions: int | None = 2,
    schedules: int = 200_000,
    seconds: float | None = None,
) -> StepDiff | OutcomeDiff:
    """Runs a program under two profiles and tells where they part.

    A program without threads runs on two machines like those of `conformance`, and the same
    comparison looks for the first step whose observables differ. Of a program with threads the
    explorer gathers every outcome (what the operations came to, pages and counters at the end,
    rules that broke) under each profile, and those that only one of them has are shown.

    Args:
        program: the program or its text.
        kernel: two presets, "6.1,6.12" or as a tuple; with `vary` the one preset of both sides.
        vary: "FIELD=a,b": a field of the profile and its two values.
        profile: fields that both sides have, over preset and program.
        preemptions: with threads: the bound of the search; None for every interleaving.
        schedules: with threads: how many each side's search may run; 0 for no limit.
        seconds: with threads: ends each side's search early.

    Raises:
        InputError: if the program or the profiles make no sense.
        KeyboardInterrupt: by a signal; its `partial` is what is known by then, and inconclusive.
    """
    program = Program.parse(program) if isinstance(program, str) else program
    preemptions = number("preemptions", preemptions, most=(1 << 32) - 1)
    schedules, seconds = number("schedules", schedules), time_limit("seconds", seconds)
    sides = make_sides(kernel, vary, profile or {})
    if program.threads:
        return diff_outcomes(program, sides, preemptions, schedules, seconds)
    return diff_steps(program, sides)
