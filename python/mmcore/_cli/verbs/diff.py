"""`mmcore diff`: runs one program under two profiles and shows where they differ."""

from __future__ import annotations

import mmcore
from mmcore._cli import inputs, showing
from mmcore._difference import SCHEDULES


def diff(
    program: str,
    /,
    *,
    kernel: str | None = None,
    vary: str | None = None,
    set_: inputs.Fields = (),
    preemptions: inputs.Preemptions = 2,
    schedules: int = SCHEDULES,
    seconds: float | None = None,
    view: showing.View | None = None,
) -> int:
    """Run a program under two profiles and show where they differ.

    For a program without threads, shows the first step whose results differ. For one with threads,
    shows the outcomes that only one of the profiles reaches. Exit code 0: no difference; 1: the
    profiles differ; 3: a search stopped early, or the machine cannot do the whole program.

    Args:
        program: a program file, or - for the standard input.
        kernel: two presets, A,B; with --vary, one preset for both sides.
        vary: FIELD=a,b: a field of the profile and its two values.
        set_: FIELD=VALUE: a field of the profile, set on both sides.
        preemptions: with threads, the bound of the search; all for every interleaving.
        schedules: with threads, the most schedules that each side runs; 0 for no limit.
        seconds: with threads, end each side's search after this many seconds.
        view: the options by which the result is printed and saved.
    """
    read, fields = inputs.program(program), inputs.fields(set_)
    extent = inputs.extent("exhaustive", schedules, preemptions, seconds)
    return showing.report(
        "comparing",
        lambda bar: mmcore.diff(
            read,
            kernel=kernel,
            vary=vary,
            profile=fields,
            preemptions=inputs.bound(preemptions),
            schedules=schedules,
            seconds=seconds,
            progress=lambda done, of, what: bar.update(
                done=done, of=of, note=f"{what}: {extent}" if read.threads else what
            ),
        ),
        view or showing.View(),
        # Each side's search may take `seconds`.
        seconds=None if seconds is None else 2 * seconds,
    )
