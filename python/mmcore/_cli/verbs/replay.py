"""`mmcore replay`: runs one schedule of a program and shows what happens."""

from __future__ import annotations

from typing import Any

import mmcore
from mmcore._cli import inputs, showing
from mmcore._errors import InputError
from mmcore._exploration.replaying import Replay
from mmcore.typing import MemoryModel  # noqa: TC001 - the command line reads the annotations


def replay(
    what: str,
    schedule: str | None = None,
    /,
    *,
    memory: MemoryModel | None = None,
    mutation: str | None = None,
    max_steps: int | None = None,
    machine: inputs.MachineWords | None = None,
    view: showing.RaceView | None = None,
) -> int:
    """Run one schedule of a program and show what happens.

    Exit code 0: no rule breaks; 1: one does.

    Args:
        what: a file written by --save, 'PROGRAM @ SCHEDULE' as a counterexample prints it (a text
            with an @), or a program file (- for the standard input) followed by a schedule.
        schedule: the schedule for a program file, such as 0x93,1; an empty one runs each thread to
            its end.
        memory: the memory model, in place of the program's: sc (all threads see a store at once) or
            tso (that of x86: stores wait in a buffer of their thread).
        mutation: put this defect into the core.
        max_steps: a schedule of more steps counts as endless.
        machine: the profile of the machine.
        view: the options by which the result is printed and saved.
    """
    view, words = view or showing.RaceView(), machine or inputs.MachineWords()
    if not what.strip():
        raise InputError("name a file that --save wrote, or give 'PROGRAM @ SCHEDULE'")
    options = {**words.options, "mutation": mutation, "max_steps": max_steps, "memory": memory}
    return showing.report("replaying", lambda _: _played(what, schedule, options), view)


def _played(what: str, schedule: str | None, options: dict[str, Any]) -> Replay:
    if schedule is not None:
        return mmcore.replay(inputs.program(what), schedule, **options)
    if "@" in what:
        return Replay.of_line(what, **options)
    return Replay.load(what, **options)
