"""`mmcore soak`: explores long programs drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._cli import inputs, output, showing
from mmcore._exploration.many import soak as explored
from mmcore._exploration.soak import SCHEDULES

if TYPE_CHECKING:
    from mmcore._cli.progress import Bar
    from mmcore._exploration.many import SoakResult
    from mmcore._exploration.soak import Soaked


def soak(
    *,
    schedules: int = SCHEDULES,
    seed: int = 0,
    many: inputs.ManyWords | None = None,
    machine: inputs.MachineWords | None = None,
    view: showing.RaceView | None = None,
) -> int:
    """Explore long programs drawn at random, each by thousands of schedules.

    A program that covers a new pair of steps of two threads is kept, and later programs are made
    from it by a few changes. Prints one line per program: its seed, the seed of the program from
    which it was made, and the number of pairs covered so far. Exit code 0: no rule breaks; 1: one
    does; 3: no program was finished.

    Args:
        schedules: the number of schedules of all programs together.
        seed: seed of the first program; the next programs take the seeds after it.
        many: the options of an exploration of many programs.
        machine: the profile of the machine; with --release, only this design is explored.
        view: the options by which the result is printed and saved.
    """
    view, many = view or showing.RaceView(), many or inputs.ManyWords()
    words = {**many.options, **(machine or inputs.MachineWords()).options}

    def work(bar: Bar) -> SoakResult:
        done = 0

        def tell(each: Soaked) -> bool:
            nonlocal done
            done += each.exploration.schedules
            bar.update(done=done, of=schedules, note=f"{done:,} of {schedules:,} schedules")
            run = f"{each.exploration.schedules:,} schedules"
            line = f"{each.label}: {run}, {each.pairs:,} pairs covered ({each.new_pairs:,} new)"
            return not output.gone() if view.as_json else output.show(line)

        return explored(schedules, seed=seed, progress=tell, **words)

    return showing.report("soaking", work, view, seconds=many.seconds)
