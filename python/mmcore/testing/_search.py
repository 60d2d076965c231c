"""`explore` for tests: a search, or the replay of one schedule of an earlier failure."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from hypothesis import currently_in_test_context, event

import mmcore
from mmcore import _refusals as refusals
from mmcore._errors import RefusedWarning
from mmcore._exploration.calling import owners_made
from mmcore._exploration.replaying import recorded
from mmcore._exploration.result import Exploration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcore.program import Program

__all__ = ["explore", "replaying"]

_REPLAY: ContextVar[str | None] = ContextVar("mmcore_replay", default=None)


@contextmanager
def replaying(what: str) -> Iterator[None]:
    """Makes `explore` run one schedule instead of a search; pytest's `--mmcore-replay` uses it.

    Args:
        what: `PROGRAM @ SCHEDULE`, as a `RaceError` prints it, or a file that `Replay.save` wrote.

    Yields:
        None; the schedule is used until the block ends.
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
    """Searches a program as `mmcore.explore` does, with one job and all checks.

    An operation that was refused in every schedule was not tested. Inside a Hypothesis test it is
    reported as an event (`--hypothesis-show-statistics`), elsewhere as a `RefusedWarning`.

    Args:
        program: the program, or its text.
        schedules: the number of schedules to draw; 20,000 if neither this nor `seconds` is given.
        seed: the seed of the drawn schedules.
        **options: the other options of `mmcore.explore`.

    Raises:
        InputError: if the program is not valid, or an option is out of range.
        MisuseError: if `seconds` is given inside a Hypothesis test: a failure that depends on the
            clock could not be reproduced.
    """
    what = _REPLAY.get()
    if what is None:
        # There is one job, because test runners start several processes. The result does not depend
        # on the number of jobs.
        found = mmcore.explore(
            program, schedules=schedules, seed=seed, **{"jobs": 1, "checks": "all", **options}
        )
        _tell(found)
        return found
    return _replayed(what, seed, options)


def _replayed(what: str, seed: int, options: dict[str, Any]) -> Exploration:
    """Runs one schedule, and returns the result in the form of a search of one schedule."""
    program, schedule, saved = recorded(what)
    known = ("kernel", "release", "profile", "mutation", "max_steps")
    given = {key: options[key] for key in known if options.get(key) is not None}
    # Shrinking may have removed all pages of an owner, and `replay` refuses an owner without pages.
    made = owners_made(program)
    owners = {name: each for name, each in (options.get("owners") or {}).items() if name in made}
    played = mmcore.replay(program, schedule, owners=owners, **{**saved, **given})
    replayed: dict[str, Any] = {"mutation": played.mutation, "max_steps": played.max_steps}
    race = None
    if played.rule is not None:
        # A budget of 0 does not shrink the race.
        race = mmcore.shrink(played.program, played.schedule, owners=owners, budget=0, **replayed)
    return Exploration(
        program=played.program,
        schedules=1,
        steps=len(played.trace),
        coverage="incomplete",
        covered="one schedule, replayed",
        counterexample=race,
        options={
            "schedules": 1,
            "seed": seed,
            "search": "replay",
            "replay": played.line,
            "preemptions": None,
            "shrink": 0,
            "seconds": None,
            **{name: value for name, value in replayed.items() if value is not None},
        },
    )


def _tell(found: Exploration) -> None:
    """Reports the operations that were refused in every schedule."""
    if currently_in_test_context():
        for each in found.refused:
            event(f"refused in all schedules: {each.op}: {', '.join(each.errnos)}")
        return
    # A result can also have a note on answers for which no order was searched. This note gives no
    # warning, because it is no sign of a mistake in the program.
    for note in refusals.notes(found.refused, f"in all {found.schedules:,} schedules"):
        warnings.warn(note.removeprefix("note: "), RefusedWarning, stacklevel=3)
