"""The record of one step of a schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcore.typing import StepKind

__all__ = ["TraceStep"]


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step of a schedule: one access of a thread to shared memory.

    Attributes:
        thread: the thread's number in the schedule, from 0.
        name: the thread's name in the program.
        i: the number of the operation in its thread, from 0.
        op: the operation, as a line of the program.
        kind: the kind of access: a load, a compare-exchange, a lock, ...
        object: the name of the word or lock that the step accesses.
        before: the value of the word before the step.
        after: the value after the step.
        function: the function of the core that executes the step; for an unlock, the function that
            took the lock.
        place: file and line in the core, `migrate/one.rs:120`.
    """

    thread: int
    name: str
    i: int
    op: str
    kind: StepKind
    object: str
    before: str
    after: str
    function: str
    place: str
