"""`explore` for tests: the search, or one schedule that somebody wants to see again."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from hypothesis import currently_in_test_context, event

import mmcore
from mmcore.errors import RefusedWarning
from mmcore.exploration.result import Counterexample, Exploration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcore.program import Program

__all__ = ["explore", "replaying"]

_REPLAY: ContextVar[str | None] = ContextVar("mmcore_replay", default=None)


@contextmanager
def replaying(what: str) -> Iterator[None]:
    """Inside, `explore` runs one schedule instead of searching, as for `--mmcore-replay`.

    Args:
        what: `PROGRAM @ SCHEDULE`, as a race prints it, or a file that `Counterexample.save` wrote.
    """
    token = _REPLAY.set(what)
    try:
        yield
    finally:
        _REPLAY.reset(token)


def explore(
    program: Program | str,
    *,
    schedules: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Exploration:
    """`mmcore.explore` for tests; options are the same.

    Inside a Hypothesis test budgets are counts, so that a failure is found again: `seconds=`
    raises. An operation that no schedule could do is told of there as an event
    (`--hypothesis-show-statistics`), and elsewhere as a warning: it was not tested.

    Args:
        program: what the threads do.
        schedules: how many are drawn; 20,000 if left out.
        seed: decides which are drawn.
        **options: see `mmcore.explore`.
    """
    what = _REPLAY.get()
    if what is None:
        # One job: tests may run side by side, and the result is the same.
        found = mmcore.explore(program, schedules=schedules, seed=seed, **{"jobs": 1, **options})
        _tell(found)
        return found
    known = ("kernel", "release", "profile", "mutation", "max_steps")
    given = {key: value for key, value in options.items() if key in known}
    if "@" in what:
        played = Counterexample.of_line(what, **given)
    else:
        played = Counterexample.load(what, **given)
    return Exploration(
        program=played.program,
        schedules=1,
        steps=len(played.trace),
        coverage="incomplete",
        covered="one schedule, replayed",
        counterexample=played if played.rule else None,
        options={"replay": what},
    )


def _tell(found: Exploration) -> None:
    """Tells of operations that were never done."""
    if currently_in_test_context():
        for each in found.refused:
            event(f"refused in all schedules: {each.op}: {', '.join(each.errnos)}")
        return
    for note in found.notes:
        warnings.warn(note.removeprefix("note: "), RefusedWarning, stacklevel=3)
