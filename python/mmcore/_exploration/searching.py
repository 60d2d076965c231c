"""The searches and shrinks of the explorer, which call the core."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore
from mmcore._arguments import number, time_limit
from mmcore._errors import InputError, MisuseError, WorkersLostError
from mmcore._exploration.calling import call, machine_options, owners_of, schedule_text
from mmcore._exploration.planned import ENDLESS, Planned, explored
from mmcore._exploration.result import Counterexample, Exploration
from mmcore._interrupted import keeping, partial
from mmcore._mmcore import DEFAULT_SCHEDULES, DEFAULT_SHRINK, MAX_JOBS
from mmcore._spread import Checkpoint, spread, workers_of
from mmcore._waiting import keep
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmcore._chosen import Chosen
    from mmcore._exploration.calling import Owners
    from mmcore._exploration.schedule import Schedule
    from mmcore._spread import ExecutorChoice, Workers
    from mmcore.typing import Checks, Kernel, MemoryModel, Release, Search

__all__ = ["explore", "plan", "result_of", "shrink"]


#: The largest count of preemptions and of runs that the core takes, a 32-bit number.
_MOST = (1 << 32) - 1

#: Seconds for which a search waits for the last parts of its workers when its time is up.
_PATIENCE = 5.0


def explore(
    program: Program | str,
    *,
    schedules: int | None = None,
    seed: int = 0,
    search: Search = "portfolio",
    preemptions: int | None = 2,
    checks: Checks = "state",
    kernel: Kernel | None = None,
    release: Release | None = None,
    profile: Chosen | None = None,
    memory: MemoryModel | None = None,
    mutation: str | None = None,
    jobs: int | None = None,
    seconds: float | None = None,
    shrink: int = DEFAULT_SHRINK,
    max_steps: int | None = None,
    pairs: bool = False,
    owners: Owners | None = None,
    executor: ExecutorChoice | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Exploration:
    """Searches the schedules of a program for one that breaks a rule.

    Operations that were refused in every schedule are listed in `Exploration.refused`. A signal
    ends the search within a second: the exception that the signal's handler raises
    (KeyboardInterrupt) has the result so far as its attribute `partial`.

    The outcome depends on the arguments, but not on `jobs`, `executor`, the clock or the host,
    unless `seconds` ends the search: a slower host then runs fewer schedules, and the coverage is
    `incomplete`.

    Args:
        program: the program, or its text.
        schedules: the number of schedules to draw; 20,000 if neither this nor `seconds` is given.
            For an exhaustive search the limit of schedules; none if left out.
        seed: the seed of the drawn schedules.
        search: "portfolio" (random walks and PCT in turn), "random", "pct" or "exhaustive".
        preemptions: the bound on preemptions in an exhaustive search; None for every interleaving.
        checks: "state" checks the state of the machine at each step and at the end. "all" also
            checks the answers of the operations (each answer, and whether an order of the
            operations explains all of them), flushes, the lives of pages and the waits for them,
            the marks of a page at both ends of its life, the counters, and the order of each list
            and batch, and takes about twice the time. The standard set, `hunt`, `soak`,
            `mmcore.testing`, `shrink` and `replay` always check all.
        kernel: the preset of the profile, instead of the program's.
        release: the release design, instead of the program's.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        memory: the order in which threads see each other's stores, instead of the program's: "sc"
            is the order of the steps, "tso" that of x86: stores wait in a buffer of their thread.
        mutation: the name of a known defect to switch on; `mmcore hunt --list` lists the names.
        jobs: OS threads of this process that share a sample, 1,024 at most; left out: one for each
            processor. Not together with `executor`.
        seconds: the time after which the search stops early.
        shrink: the limit of the schedules run to shrink a counterexample; 0 leaves it as found.
        max_steps: the bound on the steps of a schedule, beyond which it counts as endless; 2**24 at
            most.
        pairs: gather the pairs of steps of different threads that the search interleaved
            (`Exploration.pairs`), which takes about twice the time.
        owners: owners of movable pages, by the names that the program gives them: `{"m0": owner}`
            for `movable m0 2`. See `mmcore.handles.MovableOps`. Pages without an owner here move
            at any time.
        executor: the workers that share a sample in blocks of 65,536 schedules: an executor of
            `concurrent.futures`, or a function that makes one (docs/clusters.md).
        checkpoint: a file of finished blocks, from which a later call goes on.
        progress: called after each block with the schedules run, and their number in all or None.

    Raises:
        OSError: if the checkpoint cannot be read or written.
        WorkersLostError: if the executor lost parts of the search; its `partial` is the result of
            the others.
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
    program = Program.of(program)
    planned = plan(
        program,
        schedules=schedules,
        seed=seed,
        search=search,
        preemptions=preemptions,
        checks=checks,
        kernel=kernel,
        release=release,
        profile=profile,
        memory=memory,
        mutation=mutation,
        jobs=jobs,
        seconds=seconds,
        shrink=shrink,
        max_steps=max_steps,
        pairs=pairs,
        owners=owners,
    )
    workers = None if executor is None else workers_of(executor, jobs)
    if checkpoint is not None and owners:
        raise InputError("a checkpoint cannot tell owners apart: leave out owners or checkpoint")
    what = {"program": planned.program, **planned.options, "jobs": None}
    with Checkpoint(checkpoint, "explore", what) as finished:
        return _spread(planned, workers, finished, progress)


def plan(
    program: Program,
    *,
    schedules: int | None = None,
    seed: int = 0,
    search: Search = "portfolio",
    preemptions: int | None = 2,
    checks: Checks = "state",
    kernel: Kernel | None = None,
    release: Release | None = None,
    profile: Chosen | None = None,
    memory: MemoryModel | None = None,
    mutation: str | None = None,
    jobs: int | None = None,
    seconds: float | None = None,
    shrink: int = DEFAULT_SHRINK,
    max_steps: int | None = None,
    pairs: bool = False,
    owners: Owners | None = None,
) -> Planned:
    """Checks the arguments of `explore`, and returns the search as plain data.

    Raises:
        InputError: if an argument is out of range.
    """
    # A sample has at least one schedule; an exhaustive search takes 0 for no limit.
    schedules = number("schedules", schedules, 0 if search == "exhaustive" else 1)
    seed = number("seed", seed)
    jobs = number("jobs", jobs, most=MAX_JOBS)
    shrink = number("shrink", shrink, most=_MOST)
    preemptions = number("preemptions", preemptions, most=_MOST)
    seconds = time_limit("seconds", seconds)
    if schedules is None:
        # If only `seconds` is given, the number of schedules must not end the search first.
        schedules = (
            0 if search == "exhaustive" else DEFAULT_SCHEDULES if seconds is None else ENDLESS
        )
    options = machine_options(program, kernel, release, profile, mutation, max_steps, memory) | {
        "schedules": schedules,
        "seed": seed,
        "search": search,
        "preemptions": preemptions,
        "jobs": jobs or len(os.sched_getaffinity(0)),
        "shrink": shrink,
    }
    if checks != "state":
        options["checks"] = checks
    if pairs:
        options["pairs"] = True
    return Planned(program.to_json(), options, owners_of(program, owners), seconds)


def result_of(planned: Planned, report: dict[str, Any]) -> Exploration:
    """The result of a planned search, from its report."""
    # The options that repeat the search; `ENDLESS` is not among them, the caller gave no limit.
    options = {**planned.options, "seconds": planned.seconds}
    if planned.wanted == ENDLESS:
        options["schedules"] = None
        # The core names the limit that it has not reached; the caller gave none.
        covered = report["covered"].replace(f" of {ENDLESS} schedules", " schedules")
        report = {**report, "covered": covered}
    return Exploration.from_report(report, options)


def _spread(
    planned: Planned,
    workers: Workers | None,
    finished: Checkpoint,
    progress: Callable[[int, int | None], None] | None,
) -> Exploration:
    """Does the parts of a search up to the first counterexample."""
    reports: list[dict[str, Any]] = []
    total = planned.wanted if 0 < planned.wanted < ENDLESS else None
    deadline = until = None
    if planned.seconds is not None:
        deadline, until = time.time() + planned.seconds, time.monotonic() + planned.seconds
    if workers is not None:
        # A worker does its part in one thread.
        planned = replace(planned, options={**planned.options, "jobs": 1})

    def result(last: dict[str, Any] | None = None) -> Exploration | None:
        every = reports if last is None else [*reports, last]
        return result_of(planned, planned.together(every)) if every else None

    parts = spread(
        explored,
        planned.parts(deadline),
        workers=workers,
        checkpoint=finished,
        until=until,
        patience=_PATIENCE,
        whole=planned.is_whole,
    )
    done = 0
    try:
        with keeping(result), closing(parts):
            for _, report in parts:
                if report is None:
                    continue
                reports.append(report)
                done += report["schedules"]
                if progress is not None:
                    progress(done, total)
                if report["counterexample"] is not None:
                    break
    except (KeyboardInterrupt, WorkersLostError, OSError) as stopped:
        if partial(stopped) is None:
            keep(stopped, result())
        raise
    return result() or result_of(planned, planned.nothing())


def shrink(
    program: Program | str,
    schedule: Schedule | Sequence[int] | str,
    *,
    kernel: Kernel | None = None,
    release: Release | None = None,
    profile: Chosen | None = None,
    memory: MemoryModel | None = None,
    mutation: str | None = None,
    max_steps: int | None = None,
    budget: int = DEFAULT_SHRINK,
    owners: Owners | None = None,
) -> Counterexample | None:
    """Shrinks a program and a schedule that break a rule; returns None if they break none.

    All is checked, as by `explore(checks="all")`.

    Args:
        program: the program, or its text.
        schedule: the thread that executes each step: a `Schedule`, thread numbers, or a text.
        kernel: the preset of the profile, instead of the program's.
        release: the release design, instead of the program's.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        memory: the order in which threads see each other's stores, instead of the program's: "sc"
            is the order of the steps, "tso" that of x86: stores wait in a buffer of their thread.
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
    program = Program.of(program)
    budget = number("budget", budget, most=_MOST)
    options = machine_options(program, kernel, release, profile, mutation, max_steps, memory) | {
        "shrink": budget,
        "checks": "all",
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
    """True if a Hypothesis test is running; does not import Hypothesis, which is optional."""
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and bool(hypothesis.currently_in_test_context())
