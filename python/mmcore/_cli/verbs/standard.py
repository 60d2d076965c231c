"""`mmcore standard`: explores the standard set."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import TYPE_CHECKING

from mmcore._cli import inputs, showing
from mmcore._exploration import many

if TYPE_CHECKING:
    from mmcore._cli.progress import Bar
    from mmcore._exploration.standard import Explored


def standard(
    *,
    matching: str = "",
    preemptions: inputs.Preemptions = 2,
    schedules: int | None = None,
    seconds: float | None = None,
    jobs: int | None = None,
    checkpoint: Path | None = None,
    machine: inputs.MachineWords | None = None,
    view: showing.RaceView | None = None,
) -> int:
    """Explore the standard set, all pairs of operations, in every release design.

    Exit code 0: no rule breaks; 1: one does; 3: a program was not explored to its end.

    Args:
        matching: explore only programs whose name contains this text.
        preemptions: the bound of the search; all for every interleaving.
        schedules: the most schedules run for one program, no limit if left out; a program with more
            schedules counts as not explored to its end.
        seconds: end the exploration after this many seconds.
        jobs: programs explored at the same time, one for each processor if left out; their number
            does not change the result.
        checkpoint: keep each finished program in this file; the same command with this file goes
            on.
        machine: the profile of the machine; with --release, only this design is explored.
        view: how the result is printed and saved.
    """
    words = (machine or inputs.MachineWords()).options

    def work(bar: Bar) -> many.StandardResult:
        done = 0

        def tell(each: Explored, total: int) -> None:
            nonlocal done
            done += 1
            bar.update(done=done, of=total, note=each.label)

        return many.standard(
            matching=matching,
            preemptions=inputs.bound(preemptions),
            schedules=schedules,
            seconds=seconds,
            jobs=jobs,
            checkpoint=checkpoint,
            progress=tell,
            **words,
        )

    return showing.report("standard set", work, view or showing.RaceView(), seconds=seconds)
