"""The searches and shrinks of the explorer, which call the core."""

from __future__ import annotations

import json
import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore
from mmcore._arguments import number, time_limit
from mmcore._errors import MisuseError
from mmcore._exploration.calling import call, machine_options, owners_of, schedule_text
from mmcore._exploration.result import Counterexample, Exploration
from mmcore._interrupted import keeping
from mmcore._mmcore import MAX_JOBS
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmcore._chosen import Chosen
    from mmcore._exploration.calling import Owners
    from mmcore._exploration.schedule import Schedule
    from mmcore.typing import Kernel, Release, Search

__all__ = ["STOP", "explore", "shrink"]


#: The limit of schedules of a search that only `seconds` ends: it is never reached.
_ENDLESS = 1 << 48

#: The largest count of preemptions and of runs that the core takes, a 32-bit number.
_MOST = (1 << 32) - 1

#: The flag that ends the searches of this thread early; None if no other thread can end them.
#: `standard` sets it in its worker threads, which receive no signals.
STOP: ContextVar[_mmcore.Stop | None] = ContextVar("mmcore_stop", default=None)


def explore(
    program: Program | str,
    *,
    schedules: int | None = None,
    seed: int = 0,
    search: Search = "portfolio",
    preemptions: int | None = 2,
    kernel: Kernel | None = None,
    release: Release | None = None,
    profile: Chosen | None = None,
    mutation: str | None = None,
    jobs: int | None = None,
    seconds: float | None = None,
    shrink: int = 2_500,
    max_steps: int | None = None,
    owners: Owners | None = None,
) -> Exploration:
    """Searches the schedules of a program for one that breaks a rule.

    Operations that were refused in every schedule are listed in `Exploration.refused`. A signal
    ends the search within a second: the exception that the signal's handler raises
    (KeyboardInterrupt) has the result so far as its attribute `partial`.

    The outcome depends on the arguments, but not on `jobs`, the clock or the host, unless `seconds`
    ends the search: a slower host then runs fewer schedules, and the coverage is `incomplete`.

    Args:
        program: the program, or its text.
        schedules: the number of schedules to draw; 20,000 if neither this nor `seconds` is given.
            For an exhaustive search the limit of schedules; none if left out.
        seed: the seed of the drawn schedules.
        search: "portfolio" (random walks and PCT in turn), "random", "pct" or "exhaustive".
        preemptions: the bound on preemptions in an exhaustive search; None for every interleaving.
        kernel: the preset of the profile, instead of the program's.
        release: the release design, instead of the program's.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        mutation: the name of a known defect to switch on; `mmcore hunt --list` lists the names.
        jobs: OS threads that share a sample, 1,024 at most; left out: one for each processor.
        seconds: the time after which the search stops early.
        shrink: the limit of the schedules run to shrink a counterexample; 0 leaves it as found.
        max_steps: the bound on the steps of a schedule, beyond which it counts as endless; 2**24 at
            most.
        owners: owners of movable pages, by the names that the program gives them: `{"m0": owner}`
            for `movable m0 2`. See `mmcore.handles.MovableOps`. Pages without an owner here move
            at any time.

    Raises:
        InputError: if the program is not valid, an operation names a region, pin or page that no
            earlier operation makes, or an option is out of range. The message says what to change.
        MemoryError: if the host has no memory for this number of jobs or steps.
        MisuseError: if `seconds` is given inside a Hypothesis test: a failure that depends on the
            clock could not be reproduced.
    """
    if seconds is not None and _in_hypothesis():
        raise MisuseError(
            "a Hypothesis test must not depend on the clock: give schedules= instead of seconds="
        )
    # A sample has at least one schedule; an exhaustive search takes 0 for no limit.
    schedules = number("schedules", schedules, 0 if search == "exhaustive" else 1)
    seed = number("seed", seed)
    jobs = number("jobs", jobs, most=MAX_JOBS)
    shrink = number("shrink", shrink, most=_MOST)
    preemptions = number("preemptions", preemptions, most=_MOST)
    seconds = time_limit("seconds", seconds)
    program = Program.parse(program) if isinstance(program, str) else program
    if schedules is None:
        # If only `seconds` is given, the number of schedules must not end the search first.
        schedules = 0 if search == "exhaustive" else 20_000 if seconds is None else _ENDLESS
    options = machine_options(program, kernel, release, profile, mutation, max_steps) | {
        "schedules": schedules,
        "seed": seed,
        "search": search,
        "preemptions": preemptions,
        "jobs": jobs or len(os.sched_getaffinity(0)),
        "shrink": shrink,
    }
    # The options that repeat the search; `_ENDLESS` is not among them, the caller gave no limit.
    search_options = {**options, "seconds": seconds}
    if schedules == _ENDLESS:
        search_options["schedules"] = None
    with keeping(lambda report: Exploration.from_report(report, search_options)):
        report = call(
            _mmcore.explore,
            program.to_json(),
            json.dumps(options),
            seconds,
            STOP.get(),
            owners_of(program, owners),
        )
    return Exploration.from_report(report, search_options)


def shrink(
    program: Program | str,
    schedule: Schedule | Sequence[int] | str,
    *,
    kernel: Kernel | None = None,
    release: Release | None = None,
    profile: Chosen | None = None,
    mutation: str | None = None,
    max_steps: int | None = None,
    budget: int = 2_500,
    owners: Owners | None = None,
) -> Counterexample | None:
    """Shrinks a program and a schedule that break a rule; returns None if they break none.

    Args:
        program: the program, or its text.
        schedule: the thread that executes each step: a `Schedule`, thread numbers, or a text.
        kernel: the preset of the profile, instead of the program's.
        release: the release design, instead of the program's.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        mutation: the name of a known defect to switch on.
        max_steps: the bound on the steps of a schedule, beyond which it counts as endless; 2**24 at
            most.
        budget: the limit of the schedules run; if it is reached, `Counterexample.minimal` is False.
            0 leaves program and schedule as they are.
        owners: owners of movable pages, as for `explore`.

    Raises:
        InputError: if the program or the schedule is not valid, or an option is out of range.
        KeyboardInterrupt: on a signal; its `partial` is the smallest counterexample so far.
    """
    program = Program.parse(program) if isinstance(program, str) else program
    budget = number("budget", budget, most=_MOST)
    options = machine_options(program, kernel, release, profile, mutation, max_steps) | {
        "shrink": budget
    }

    def result(found: Any) -> Counterexample | None:
        return Counterexample.from_report(found, options) if found else None

    with keeping(result):
        found = call(
            _mmcore.shrink,
            program.to_json(),
            schedule_text(schedule),
            json.dumps(options),
            owners_of(program, owners),
        )
    return result(found)


def _in_hypothesis() -> bool:
    """Whether a Hypothesis test is running; does not import Hypothesis, which is optional."""
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and bool(hypothesis.currently_in_test_context())
