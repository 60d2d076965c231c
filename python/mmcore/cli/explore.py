"""`mmcore explore`: searches interleavings, replays them, hunts planted defects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

import mmcore
from mmcore import _output
from mmcore.arguments import time_limit
from mmcore.cli import exploring, inputs, signals
from mmcore.cli import output as shown
from mmcore.errors import InputError
from mmcore.exploration.hunting import defect
from mmcore.exploration.result import Counterexample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcore.exploration import Exploration

#: Exit codes: see `mmcore.cli`.
CLEAN, FOUND, INCONCLUSIVE = 0, 1, 3

_Switch = Annotated[bool, Parameter(negative=())]


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """What becomes of a result."""

    save: Annotated[
        Path | None, Parameter(help="write the counterexample: its program and schedule")
    ] = None
    html: Annotated[Path | None, Parameter(help="write a page with the timeline")] = None
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="print JSON")] = False


def explore(
    program: str | None = None,
    /,
    *,
    search: Literal["portfolio", "random", "pct", "exhaustive"] | None = None,
    schedules: int | None = None,
    seed: int = 0,
    exhaustive: _Switch = False,
    preemptions: int | Literal["all"] | None = None,
    seconds: float | None = None,
    jobs: int | None = None,
    kernel: str | None = None,
    release: str | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    shrink: int = 2_500,
    max_steps: int | None = None,
    mutation: str | None = None,
    all_mutations: _Switch = False,
    list_mutations: _Switch = False,
    standard: _Switch = False,
    soak: _Switch = False,
    matching: str = "",
    replay: str | None = None,
    output: Output | None = None,
) -> int:
    """Search the interleavings of a program for one that breaks a rule.

    Exit code 0: none found; 1: found; 3: an exhaustive search stopped before its end.

    Args:
        program: a program file, or - for the standard input. With --mutation it may be left out.
        search: portfolio (random walks and PCT in turn), random, pct or exhaustive.
        schedules: how many to draw, 20000 if left out; of an exhaustive search the limit.
        seed: decides which are drawn.
        exhaustive: the same as --search exhaustive.
        preemptions: the bound of an exhaustive search, 2 if left out; all for every interleaving.
        seconds: end the search after so long.
        jobs: OS threads; what is found does not depend on it.
        kernel: the preset of the profile, instead of the program's.
        release: the release design, instead of the program's.
        set_: FIELD=VALUE: a further field of the profile.
        shrink: schedules that may be run to make a counterexample smaller.
        max_steps: a schedule of more steps counts as endless.
        mutation: give the core this defect, and look for it.
        all_mutations: look for every defect, and print the table.
        list_mutations: list the defects.
        standard: explore the standard set exhaustively, in every release design (or --release).
        soak: explore long programs drawn at random, --schedules in all; each seed is logged.
        matching: only programs of the standard set whose name contains this.
        replay: run one schedule: a schedule of PROGRAM, a file that --save wrote, or
            'PROGRAM @ SCHEDULE' as a counterexample prints it.
        output: what becomes of the result.
    """
    output = output or Output()
    time_limit("seconds", seconds)
    _output.check(output.save, output.html)
    jobs_of_their_own = {
        "--list-mutations": list_mutations,
        "--all-mutations": all_mutations,
        "--soak": soak,
        "--standard": standard,
    }
    searched = search or ("exhaustive" if exhaustive else None)
    _one_job(
        [name for name, asked in jobs_of_their_own.items() if asked],
        {
            "a program": program,
            "--replay": replay,
            "--mutation": mutation,
            "--search": searched if not standard or searched != "exhaustive" else None,
        },
    )
    if all_mutations or list_mutations:
        machine_options = {"--kernel": kernel, "--release": release, "--set": set_ or None}
        _one_job(["--all-mutations" if all_mutations else "--list-mutations"], machine_options)
    if exhaustive and search not in (None, "exhaustive"):
        raise InputError(f"--exhaustive and --search {search} are two searches: say one")
    if matching and not standard:
        raise InputError("--matching chooses from the standard set: say --standard too")
    if preemptions is not None and search is None:
        exhaustive = True
    search = "exhaustive" if exhaustive else search or "portfolio"
    machine: dict[str, Any] = {"kernel": kernel, "release": release, "profile": inputs.fields(set_)}
    bound = None if preemptions == "all" else 2 if preemptions is None else preemptions
    if list_mutations:
        return exploring.list_mutations(as_json=output.as_json)
    if all_mutations:
        return exploring.hunt_all(schedules, seed, jobs, shrink, as_json=output.as_json)
    if soak:
        return exploring.soak(schedules, seed, jobs, seconds, machine, output)
    if standard:
        return exploring.standard(machine, bound, schedules, matching, jobs, seconds, output)
    if replay is not None:
        return _replay(
            program, replay, machine | {"mutation": mutation, "max_steps": max_steps}, output
        )
    what = _program(program, mutation)

    def work() -> Exploration:
        with exploring.status("exploring"):
            return mmcore.explore(
                what,
                search=search,
                schedules=schedules,
                seed=seed,
                preemptions=bound,
                seconds=seconds,
                jobs=jobs,
                shrink=shrink,
                max_steps=max_steps,
                mutation=mutation,
                **machine,
            )

    def show(result: Exploration) -> int:
        shown.show(result.to_json() if output.as_json else _told(result))
        exploring.write(result, output)
        if result.counterexample is not None:
            return FOUND
        return INCONCLUSIVE if search == "exhaustive" and not result.is_exhaustive else CLEAN

    return signals.report(work, show)


def _one_job(jobs: list[str], others: Mapping[str, object]) -> None:
    """What a job takes no account of is refused, not passed over."""
    said = [name for name, value in others.items() if value is not None]
    if jobs and len(jobs) + len(said) > 1:
        raise InputError(f"{jobs[0]} does not go with {', '.join([*jobs[1:], *said])}")


def _told(result: Exploration) -> str:
    if result.counterexample is not None:
        return str(result)
    more = "" if result.is_exhaustive or "not exhaustive" in result.covered else "; not exhaustive"
    return "\n".join([f"{result.summary}{more}", *result.notes])


def _program(path: str | None, mutation: str | None) -> mmcore.Program:
    if path is not None:
        return inputs.program(path)
    if mutation is None:
        raise InputError("say what to explore: PROGRAM.mm, --mutation NAME, --standard or --soak")
    return defect(mutation).program


def _replay(program: str | None, what: str, options: dict[str, Any], output: Output) -> int:
    # With a program an empty schedule is one: each thread in turn to its end.
    if program is None and not what.strip():
        raise InputError("--replay takes a schedule, a saved file, or 'PROGRAM @ SCHEDULE'")
    if program is not None:
        played = mmcore.replay(inputs.program(program), what, **options)
    elif "@" in what:
        played = Counterexample.of_line(what, **options)
    else:
        played = Counterexample.load(what, **options)
    shown.show(played.to_json() if output.as_json else played.table())
    exploring.write(played, output)
    return FOUND if played.rule else CLEAN
