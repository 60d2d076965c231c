"""`mmcore diff`: one program under two profiles."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

import mmcore
from mmcore.cli import inputs, output, signals

#: Exit codes: see `mmcore.cli`.
_CODES = {"same": 0, "differs": 1, "inconclusive": 3}


def diff(
    program: str,
    /,
    *,
    kernel: str | None = None,
    vary: str | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    preemptions: int | Literal["all"] = 2,
    schedules: int = 200_000,
    seconds: float | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Run a program under two profiles and show where they part.

    Without threads: the first step whose observables differ. With threads: the outcomes that only
    one of the profiles reaches. Exit code 0: none; 1: the profiles differ; 3: a search stopped
    early, or the machine cannot do the whole program.

    Args:
        program: a program file, or - for the standard input.
        kernel: two presets, A,B; with --vary the one of both sides.
        vary: FIELD=a,b: a field of the profile and its two values.
        set_: FIELD=VALUE: a field that both sides have.
        preemptions: with threads, the bound of the search; all for every interleaving.
        schedules: with threads, how many each side may run; 0 for no limit.
        seconds: with threads, end each side's search after so long.
        as_json: print JSON instead of lines.
    """
    read = inputs.program(program)

    def work() -> mmcore.StepDiff | mmcore.OutcomeDiff:
        return mmcore.diff(
            read,
            kernel=kernel,
            vary=vary,
            profile=inputs.fields(set_),
            preemptions=None if preemptions == "all" else preemptions,
            schedules=schedules,
            seconds=seconds,
        )

    def show(result: mmcore.StepDiff | mmcore.OutcomeDiff) -> int:
        output.show(result.to_json() if as_json else result)
        return _CODES[result.verdict]

    return signals.report(work, show)
