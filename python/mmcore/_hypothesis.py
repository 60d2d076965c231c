"""The entry point for Hypothesis: `from_type` then draws `Program` and `Schedule` objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcore._exploration.schedule import Schedule
from mmcore.program import Program

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["register"]


def register() -> None:
    """Registers the strategies, which are imported at the first draw.

    Hypothesis calls this at its own import, which stays fast without the import of mmcore.testing.
    """
    from hypothesis.strategies import register_type_strategy

    register_type_strategy(Program, lambda _: _programs())
    register_type_strategy(Schedule, lambda _: _schedules())


def _programs() -> SearchStrategy[Program]:
    from mmcore.testing import programs

    return programs()


def _schedules() -> SearchStrategy[Schedule]:
    from mmcore.testing import schedules

    return schedules()
