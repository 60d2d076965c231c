"""`mmcore explore`: searches the interleavings of a program."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import Annotated

from cyclopts import Parameter

import mmcore
from mmcore._cli import inputs, showing
from mmcore._errors import InputError
from mmcore._mmcore import DEFAULT_SHRINK
from mmcore.typing import Checks, MemoryModel, Search  # noqa: TC001 - the command line reads the annotations


def explore(
    program: str,
    /,
    *,
    search: Search | None = None,
    schedules: int | None = None,
    seed: int = 0,
    exhaustive: Annotated[bool, Parameter(negative=())] = False,
    preemptions: inputs.Preemptions | None = None,
    checks: Checks = "state",
    seconds: float | None = None,
    jobs: int | None = None,
    shrink: int = DEFAULT_SHRINK,
    max_steps: int | None = None,
    memory: MemoryModel | None = None,
    mutation: str | None = None,
    coverage: Annotated[bool, Parameter(negative=())] = False,
    checkpoint: Path | None = None,
    machine: inputs.MachineWords | None = None,
    view: showing.RaceView | None = None,
) -> int:
    """Search the interleavings of a program for one that breaks a rule.

    Exit code 0: no rule breaks; 1: one does; 3: an exhaustive search stopped before its end.

    Args:
        program: a program file, or - for the standard input.
        search: portfolio (random walks and PCT in turn), random, pct or exhaustive; portfolio if
            left out.
        schedules: the number of schedules, 20000 if left out; the limit of an exhaustive search.
        seed: seed of the random choice of schedules.
        exhaustive: the same as --search exhaustive.
        preemptions: the bound of an exhaustive search, 2 if left out; all for every interleaving.
            Given without --search, it makes the search exhaustive.
        checks: state checks the state of the machine; all also checks the answers of the
            operations (each answer, and whether an order of the operations explains all of them),
            flushes, the lives and marks of pages, the counters and the order of each list, and
            takes about twice the time.
        seconds: end the search after this many seconds.
        jobs: OS threads of the search, one for each processor if left out; their number does not
            change the result.
        shrink: the most schedules run to make a counterexample smaller; 0 leaves it as found.
        max_steps: the most steps of a schedule; a longer one counts as endless, a broken rule.
        memory: sc, where all threads see a store at once, or tso, the memory of x86, where stores
            wait in a buffer of their thread; instead of the program's.
        mutation: put this defect into the core, to see whether the program finds it;
            `mmcore hunt --list` lists all defects.
        coverage: print which lines of the core and which pairs of steps of two threads the search
            has interleaved; it then takes about twice the time.
        checkpoint: keep each finished block of 65,536 schedules in this file; the same command with
            this file goes on.
        machine: the profile of the machine.
        view: the options by which the result is printed and saved.
    """
    view, words = view or showing.RaceView(), machine or inputs.MachineWords()
    if exhaustive and search not in (None, "exhaustive"):
        raise InputError(
            f"--exhaustive and --search {search} contradict each other: leave one of them out"
        )
    if exhaustive or (preemptions is not None and search is None):
        search = "exhaustive"
    view.check()
    what, options = inputs.program(program), words.options
    return showing.report(
        "exploring",
        lambda bar: mmcore.explore(
            what,
            search=search or "portfolio",
            schedules=schedules,
            seed=seed,
            preemptions=inputs.bound(2 if preemptions is None else preemptions),
            checks=checks,
            seconds=seconds,
            jobs=jobs,
            shrink=shrink,
            max_steps=max_steps,
            memory=memory,
            mutation=mutation,
            pairs=coverage,
            checkpoint=checkpoint,
            progress=lambda done, of: bar.update(
                done=done, of=of, note=bar.rate(done, "schedules")
            ),
            **options,
        ),
        view,
        seconds=seconds,
        note=inputs.extent(search, schedules, preemptions, seconds),
    )
