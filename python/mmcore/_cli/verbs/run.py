"""`mmcore run`: runs a program on real threads and audits the machine."""

from __future__ import annotations

from typing import Any

import mmcore
from mmcore._arguments import time_limit
from mmcore._cli import inputs, showing
from mmcore._errors import InputError


def run(
    program: str,
    /,
    *,
    stress: float | None = None,
    machine: inputs.MachineWords | None = None,
    view: showing.View | None = None,
) -> int:
    """Run a program once on real threads, or again and again; then audit the machine.

    Exit code 0: no rule breaks; 1: one does; 3: the machine cannot do all operations of the
    program.

    Args:
        program: a program file (docs/programs.md), or - for the standard input.
        stress: run the program again and again for this many seconds, or until a rule breaks.
        machine: the profile of the machine; --set also takes the other words of a `machine` line,
            such as pages=64.
        view: the options by which the result is printed and saved.
    """
    view, words = view or showing.View(), machine or inputs.MachineWords()
    stress = time_limit("--stress", stress)
    what = inputs.program(program)
    fields: dict[str, Any] = {**inputs.fields(words.set_)}
    for name in fields:
        # Each field becomes a keyword argument, and must not have the name of a parameter.
        if not name.isidentifier() or name in {"patience", "seconds", "program"}:
            raise InputError(
                f"--set takes FIELD=VALUE, and {name!r} is no word of a `machine` line"
            )
    named = {"kernel": words.kernel, "release": words.release}
    fields |= {name: value for name, value in named.items() if value is not None}
    if stress is None:
        return showing.report("running", lambda _: mmcore.run(what, **fields), view)
    return showing.report(
        "stressing",
        lambda _: mmcore.stress(what, seconds=stress, **fields),
        view,
        seconds=stress,
    )
