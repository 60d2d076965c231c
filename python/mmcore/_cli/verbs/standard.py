"""`mmcore standard`: explores the standard set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._cli import inputs, showing
from mmcore._exploration.many import standard as explored

if TYPE_CHECKING:
    from mmcore._cli.progress import Bar
    from mmcore._exploration.many import StandardResult
    from mmcore._exploration.standard import Explored


def standard(
    *,
    matching: str = "",
    preemptions: inputs.Preemptions = 2,
    schedules: int | None = None,
    many: inputs.ManyWords | None = None,
    machine: inputs.MachineWords | None = None,
    view: showing.RaceView | None = None,
) -> int:
    """Explore the standard set, all pairs of operations, in every design but mine.

    Exit code 0: no rule breaks; 1: one does; 3: a program was not explored to its end.

    Args:
        matching: explore only programs whose name contains this text.
        preemptions: the bound of the search; all for every interleaving.
        schedules: the most schedules run for one program, no limit if left out; a program with more
            schedules counts as not explored to its end.
        many: the options of an exploration of many programs.
        machine: the profile of the machine; with --release, only this design is explored.
        view: the options by which the result is printed and saved.
    """
    many = many or inputs.ManyWords()
    words = {**many.options, **(machine or inputs.MachineWords()).options}

    def work(bar: Bar) -> StandardResult:
        done = 0

        def tell(each: Explored, total: int) -> None:
            nonlocal done
            done += 1
            bar.update(done=done, of=total, note=each.label)

        return explored(
            matching=matching,
            preemptions=inputs.bound(preemptions),
            schedules=schedules,
            progress=tell,
            **words,
        )

    return showing.report("standard set", work, view or showing.RaceView(), seconds=many.seconds)
