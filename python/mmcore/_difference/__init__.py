"""The comparison of one program under two profiles.

| file | idea |
|---|---|
| `sides` | the two profiles, from the arguments of `diff`; the part that both results have |
| `steps` | without threads: the first step that differs, and the fields that cause it |
| `outcomes` | with threads: the outcomes that only one profile reaches |
| `states` | the end state of an outcome as a flat table |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._arguments import number, time_limit
from mmcore._difference.outcomes import NearestValues, Outcome, OutcomeDiff, Reached, diff_outcomes
from mmcore._difference.sides import PerSide, make_sides
from mmcore._difference.steps import StepDiff, diff_steps
from mmcore._recordings.compare import Difference
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmcore._chosen import Chosen

__all__ = [
    "Difference",
    "NearestValues",
    "Outcome",
    "OutcomeDiff",
    "PerSide",
    "Reached",
    "StepDiff",
    "diff",
]

#: The most schedules that each side runs if the caller names no limit.
SCHEDULES = 200_000


def diff(
    program: Program | str,
    *,
    kernel: str | tuple[str, str] | None = None,
    vary: str | None = None,
    profile: Chosen | None = None,
    preemptions: int | None = 2,
    schedules: int = SCHEDULES,
    seconds: float | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> StepDiff | OutcomeDiff:
    """Runs a program under two profiles and returns the differences.

    A program without threads runs once under each profile, on machines like those of
    `conformance`; the result is the first step whose observables differ. For a program with threads
    the explorer gathers every outcome under each profile: the results of the operations, the pages
    and counters at the end, and the broken rule. The result has the outcomes that only one profile
    reaches.

    Args:
        program: the program or its text.
        kernel: two presets, "6.1,6.12" or a tuple; with `vary` the one preset of both sides.
        vary: "FIELD=a,b": a field of the profile and its two values.
        profile: fields of both profiles, which override preset and program; or, with `vary`, a
            whole `Profile` for both sides instead of a preset.
        preemptions: with threads: the bound on preemptions; None for every interleaving.
        schedules: with threads: the limit of schedules for each side; 0 for no limit.
        seconds: with threads: the time after which the search of each side stops early.
        progress: called before each run or search with the number done, their number in all, and
            what comes next: a side, or a field that is looked at as a cause.

    Returns:
        A `StepDiff` for a program without threads, an `OutcomeDiff` for one with threads.

    Raises:
        InputError: if the program or a profile is not valid, or the two profiles are equal.
        KeyboardInterrupt: on a signal; its `partial` is the result so far, if there is one.
    """
    program = Program.of(program)
    preemptions = number("preemptions", preemptions, most=(1 << 32) - 1)
    schedules, seconds = number("schedules", schedules), time_limit("seconds", seconds)
    sides = make_sides(kernel, vary, profile, program)
    tell = progress if progress is not None else lambda _done, _of, _what: None
    if program.threads:
        return diff_outcomes(program, sides, preemptions, schedules, seconds, tell)
    return diff_steps(program, sides, tell)
