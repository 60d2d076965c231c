"""`mmcore hunt`: looks for defects that were put into the core on purpose."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import Annotated

from cyclopts import Parameter

from mmcore._cli import showing
from mmcore._errors import InputError
from mmcore._exploration import hunted
from mmcore._exploration.hunting import defects
from mmcore._mmcore import DEFAULT_SHRINK


def hunt(
    *names: str,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    schedules: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    shrink: int = DEFAULT_SHRINK,
    checkpoint: Path | None = None,
    view: showing.RaceView | None = None,
) -> int:
    """Put real defects into the core, and see whether the explorer finds them.

    Exit code 0: all are found; 1: one is not.

    Args:
        names: the defects; all if none is named. For a single one, the race is shown too.
        list_: list all defects instead of searching.
        schedules: the most schedules run to find one defect, 50000 if left out.
        seed: seed of the random choice of schedules.
        jobs: defects looked for at the same time; one if left out.
        shrink: the most schedules run to make a race smaller.
        checkpoint: keep each finished search in this file; the same command with this file goes on.
        view: the options by which the result is printed and saved.
    """
    view = view or showing.RaceView()
    if list_:
        if names:
            raise InputError("--list lists all defects: leave the names out")
        view.check()
        return showing.finish(hunted.Mutations(defects()), view)
    done = iter(range(1, len(defects()) + 1))
    return showing.report(
        "hunting",
        lambda bar: hunted.hunt(
            *names,
            schedules=schedules,
            seed=seed,
            jobs=jobs,
            shrink=shrink,
            checkpoint=checkpoint,
            progress=lambda each, total: bar.update(
                done=next(done), of=total, note=each.defect.name
            ),
        ),
        view,
    )
