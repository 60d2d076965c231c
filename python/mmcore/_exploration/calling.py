"""Options, owners and schedules as the core takes them, and the calls of the core."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmcore._arguments import number
from mmcore._chosen import chosen
from mmcore._errors import InputError
from mmcore._exploration.schedule import Schedule
from mmcore._mmcore import MAX_STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from mmcore._chosen import Chosen
    from mmcore._movable import MovableOps
    from mmcore.program import Program
    from mmcore.typing import Kernel, MemoryModel, Release

    #: Owners of movable pages, by the names of a program.
    Owners: TypeAlias = Mapping[str, MovableOps]

__all__ = ["call", "machine_options", "owners_made", "owners_of", "schedule_text"]


def machine_options(
    program: Program,
    kernel: Kernel | None,
    release: Release | None,
    profile: Chosen | None,
    mutation: str | None,
    max_steps: int | None,
    memory: MemoryModel | None = None,
) -> dict[str, Any]:
    """The options of a run as the core takes them: machine, mutation and bound on steps."""
    max_steps = number("max_steps", max_steps, 1, MAX_STEPS)
    preset, fields = chosen(kernel, profile, program)
    if release:
        fields["release"] = release
    options: dict[str, Any] = {"machine": {"kernel": preset, "profile": fields}}
    if memory is not None:
        options["machine"]["memory"] = memory
    if mutation is not None:
        options["mutation"] = mutation
    if max_steps is not None:
        options["max_steps"] = max_steps
    return options


def owners_of(program: Program, owners: Owners | None) -> dict[str, Any] | None:
    """The owners as a dict; InputError for one whose pages the program does not make."""
    if not owners:
        return None
    made = owners_made(program)
    for name in owners:
        if name not in made:
            raise InputError(f"no pages belong to the owner {name}: write `movable {name} 1`")
    return dict(owners)


def owners_made(program: Program) -> set[str]:
    """Returns the names of the owners whose pages the program makes."""
    sections = (program.setup, *(thread.ops for thread in program.threads), program.finally_)
    return {str(op["owner"]) for ops in sections for op in ops if op.name == "movable"}


def schedule_text(schedule: Schedule | Sequence[int] | str) -> str:
    """The text of a schedule, for the core, which alone reads schedules."""
    if isinstance(schedule, str):
        return schedule
    return str(schedule if isinstance(schedule, Schedule) else Schedule(tuple(schedule)))


def call(function: Any, *arguments: Any) -> Any:
    """Calls a function of the core; a refusal of the core becomes an InputError."""
    try:
        return json.loads(function(*arguments))
    except (ValueError, OverflowError) as error:
        raise InputError(" ".join(str(error).split())) from None
