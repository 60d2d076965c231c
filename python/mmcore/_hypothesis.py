"""What Hypothesis calls when it is imported: `from_type` then knows programs and schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore.exploration.schedule import Schedule
from mmcore.program import Program

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["register"]


def register() -> None:
    """Registers the strategies; they are imported when they are drawn from."""
    from hypothesis.strategies import register_type_strategy

    register_type_strategy(Program, lambda _: _programs())
    register_type_strategy(Schedule, lambda _: _schedules())


def _programs() -> SearchStrategy[Program]:
    from mmcore.testing import programs

    return programs()


def _schedules() -> SearchStrategy[Schedule]:
    from mmcore.testing import schedules

    return schedules()
