"""The explorer: a program's interleavings as data, searched, replayed and made smaller in the core.

`result` holds what a search found, `text` and `page` show it, `hunting` the mutations, `standard`
is the standard set. What a step is, what the searches promise and how schedules are written:
`docs/explorer.md`.
"""

from __future__ import annotations

import json
import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore
from mmcore._interrupted import keeping
from mmcore.arguments import JOBS, STEPS, number, time_limit
from mmcore.errors import InputError, MisuseError
from mmcore.exploration.hunting import Defect, defects
from mmcore.exploration.result import Counterexample, Exploration, Race, TraceStep
from mmcore.exploration.schedule import Schedule
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Counterexample",
    "Defect",
    "Exploration",
    "Race",
    "Schedule",
    "TraceStep",
    "defects",
    "explore",
    "replay",
    "shrink",
]


#: More schedules than anybody waits for.
_ENDLESS = 1 << 48

#: The most that a count of preemptions or of runs can be.
_MOST = (1 << 32) - 1

#: What ends the searches of a thread early, if somebody may: `standard` sets it.
STOP: ContextVar[_mmcore.Stop | None] = ContextVar("mmcore_stop", default=None)


def explore(
    program: Program | str,
    *,
    schedules: int | None = None,
    seed: int = 0,
    search: str = "portfolio",
    preemptions: int | None = 2,
    kernel: str | None = None,
    release: str | None = None,
    profile: Mapping[str, str] | None = None,
    mutation: str | None = None,
    jobs: int | None = None,
    seconds: float | None = None,
    shrink: int = 2_500,
    max_steps: int | None = None,
) -> Exploration:
    """Searches the schedules of a program for one that breaks a rule.

    Operations that no schedule could do are told of: `Exploration.refused`. What a signal's handler
    raises (KeyboardInterrupt) comes within a second, and has the result so far as its `partial`.

    The outcome depends on the arguments alone, not on `jobs`, the clock or the machine; only
    `seconds` may end a search earlier elsewhere, and then the coverage says `incomplete`.

    Args:
        program: what the threads do; a text is parsed.
        schedules: how many are drawn, 20,000 if neither this nor `seconds` is said; of an
            exhaustive search the limit, none if left out.
        seed: decides which are drawn.
        search: "portfolio" (random walks and PCT in turn), "random", "pct" or "exhaustive".
        preemptions: the bound of an exhaustive search; None for every interleaving.
        kernel: the preset of the profile, instead of the program's.
        release: the release design, instead of the program's.
        profile: further fields of the profile.
        mutation: a defect that the core is to have; `defects()` lists them.
        jobs: OS threads that a sample is spread over, 1,024 at most; left out: one for each
            processor.
        seconds: ends the search early. Not inside a Hypothesis test, where budgets are counts.
        shrink: schedules that may be run to make a counterexample smaller; 0 leaves it as found.
        max_steps: a schedule of more steps counts as endless; 2**24 at most.

    Raises:
        InputError: if the program or an option makes no sense; the message says what to change. So
            it is if an operation names what nothing makes before it.
        MemoryError: if there is no memory for so many jobs or steps.
        MisuseError: `seconds` inside a Hypothesis test.
    """
    if seconds is not None and _in_hypothesis():
        raise MisuseError(
            "inside a Hypothesis test budgets are counts: say schedules=, not seconds="
        )
    # A sample of nothing is no sample; an exhaustive search takes 0 for no limit.
    schedules = number("schedules", schedules, 0 if search == "exhaustive" else 1)
    seed = number("seed", seed)
    jobs = number("jobs", jobs, most=JOBS)
    shrink = number("shrink", shrink, most=_MOST)
    preemptions = number("preemptions", preemptions, most=_MOST)
    seconds = time_limit("seconds", seconds)
    program = Program.parse(program) if isinstance(program, str) else program
    if schedules is None:
        # With a limit in time alone, that is the limit.
        schedules = 0 if search == "exhaustive" else 20_000 if seconds is None else _ENDLESS
    options = _options(kernel, release, profile, mutation, max_steps) | {
        "schedules": schedules,
        "seed": seed,
        "search": search,
        "preemptions": preemptions,
        "jobs": jobs or len(os.sched_getaffinity(0)),
        "shrink": shrink,
    }
    with keeping(lambda report: Exploration.from_report(report, options)):
        report = _call(_mmcore.explore, program.to_json(), json.dumps(options), seconds, STOP.get())
    return Exploration.from_report(report, options)


def replay(
    program: Program | str,
    schedule: Schedule | Sequence[int] | str,
    *,
    kernel: str | None = None,
    release: str | None = None,
    profile: Mapping[str, str] | None = None,
    mutation: str | None = None,
    max_steps: int | None = None,
) -> Counterexample:
    """Runs one schedule and tells what happened; its `rule` is None if nothing broke.

    Raises:
        InputError: if the program, the schedule or an option makes no sense.
    """
    program = Program.parse(program) if isinstance(program, str) else program
    options = _options(kernel, release, profile, mutation, max_steps)
    played = _call(_mmcore.replay, program.to_json(), _text(schedule), json.dumps(options))
    return Counterexample.from_report(played, options)


def shrink(
    program: Program | str,
    schedule: Schedule | Sequence[int] | str,
    *,
    kernel: str | None = None,
    release: str | None = None,
    profile: Mapping[str, str] | None = None,
    mutation: str | None = None,
    max_steps: int | None = None,
    budget: int = 2_500,
) -> Counterexample | None:
    """Makes a program and a schedule smaller that break a rule; None if they break none.

    `budget` schedules are run at most: `Counterexample.minimal` says whether that was enough.
    """
    program = Program.parse(program) if isinstance(program, str) else program
    budget = number("budget", budget, most=_MOST)
    options = _options(kernel, release, profile, mutation, max_steps) | {"shrink": budget}

    def result(found: Any) -> Counterexample | None:
        return Counterexample.from_report(found, options) if found else None

    with keeping(result):
        found = _call(_mmcore.shrink, program.to_json(), _text(schedule), json.dumps(options))
    return result(found)


def _options(
    kernel: str | None,
    release: str | None,
    profile: Mapping[str, str] | None,
    mutation: str | None,
    max_steps: int | None,
) -> dict[str, Any]:
    max_steps = number("max_steps", max_steps, 1, STEPS)
    fields = dict(profile or {}) | ({"release": release} if release else {})
    options: dict[str, Any] = {"machine": {"kernel": kernel, "profile": fields}}
    if mutation is not None:
        options["mutation"] = mutation
    if max_steps is not None:
        options["max_steps"] = max_steps
    return options


def _text(schedule: Schedule | Sequence[int] | str) -> str:
    if isinstance(schedule, str):
        return schedule
    return str(schedule if isinstance(schedule, Schedule) else Schedule(tuple(schedule)))


def _call(function: Any, *arguments: Any) -> Any:
    try:
        return json.loads(function(*arguments))
    except (ValueError, OverflowError) as error:
        raise InputError(" ".join(str(error).split())) from None


def _in_hypothesis() -> bool:
    """Whether this runs inside a Hypothesis test; without importing Hypothesis for it."""
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and bool(hypothesis.currently_in_test_context())
