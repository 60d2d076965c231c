"""Mutations: known defects that the explored build can switch on, and the programs that find them.

Each mutation has a program that finds it (`data/mutations/NAME.mm`). `data/mutations.json` records
the rule that the mutation breaks and its minimum: the smallest program and schedule that break the
rule, by an exhaustive search of everything smaller. `make minima` writes that file.
"""

from __future__ import annotations

import functools
import json
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from mmcore import _mmcore
from mmcore._arguments import nearest, number
from mmcore._errors import InputError
from mmcore._exploration import gathering, searching
from mmcore._exploration.schedule import Schedule
from mmcore._mmcore import DEFAULT_SHRINK
from mmcore._spread import Checkpoint
from mmcore.program import Program

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

    from mmcore._exploration.result import Exploration
    from mmcore._spread import Workers
    from mmcore.typing import Release

__all__ = ["Defect", "Hunt", "Minimum", "RaceSize", "defect", "defects", "hunt", "minimum"]

#: The limit of the schedules in which the kept program must find its mutation.
BUDGET = 50_000

#: The limit of the schedules that the search for a minimum runs for each part of a program.
MINIMUM_BUDGET = 3_000_000


class RaceSize(NamedTuple):
    """The size of a race; the smaller of two races has the smaller tuple.

    Attributes:
        threads: the number of threads of the program.
        operations: the number of operations in all threads.
        switches: the number of switches from one thread to another in the schedule.
    """

    threads: int
    operations: int
    switches: int

    def __str__(self) -> str:
        """`threads × operations × switches`."""
        return " × ".join(map(str, self))


@dataclass(frozen=True, slots=True)
class Minimum:
    """The smallest race that shows a mutation.

    Attributes:
        program: the program with the fewest operations in its threads.
        schedule: the schedule of this program with the fewest switches.
        threads: the number of threads.
        operations: the number of operations in all threads.
        switches: the number of switches from one thread to another.
        preemptions: the number of switches away from a thread that could have continued.
        proven: whether everything smaller was searched without a race: each part of the program
            with fewer operations, to two preemptions, and each schedule with fewer switches.
    """

    program: Program
    schedule: Schedule
    threads: int
    operations: int
    switches: int
    preemptions: int
    proven: bool

    @property
    def size(self) -> RaceSize:
        """Threads, operations and switches."""
        return RaceSize(self.threads, self.operations, self.switches)

    def __str__(self) -> str:
        """`threads × operations × switches`."""
        return str(self.size)

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain data, program and schedule as text."""
        return {
            "threads": self.threads,
            "operations": self.operations,
            "switches": self.switches,
            "preemptions": self.preemptions,
            "proven": self.proven,
            "program": self.program.text,
            "schedule": str(self.schedule),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Minimum:
        """Makes a minimum from the data of `to_dict`."""
        program, schedule = Program.parse(data["program"]), Schedule.parse(data["schedule"])
        return cls(**{**data, "program": program, "schedule": schedule})


@dataclass(frozen=True, slots=True)
class Defect:
    """A mutation: a known defect that the explored build can switch on.

    Attributes:
        name: the name on the command line.
        origin: the kernel commit that fixed the defect, with its number in
            `docs/kernel-bugs.md`; or the part of the core that the defect is in.
        text: a description of the defect.
        program: a program that finds the mutation.
        rule: the rule that the mutation breaks; other schedules can break another rule.
        minimum: the smallest known race.
    """

    name: str
    origin: str
    text: str
    program: Program
    rule: str
    minimum: Minimum


@dataclass(frozen=True, slots=True)
class Hunt:
    """The search for one mutation.

    Attributes:
        defect: the mutation.
        exploration: the result of the search.
    """

    defect: Defect
    exploration: Exploration

    @property
    def found(self) -> bool:
        """True if the mutation broke a rule. The program breaks none without the mutation."""
        return self.exploration.counterexample is not None

    @property
    def schedules(self) -> int | None:
        """The number of schedules up to the first that broke a rule; None if none did."""
        found = self.exploration.counterexample
        return None if found is None or found.index is None else found.index + 1

    @property
    def size(self) -> RaceSize | None:
        """Threads, operations and switches of the shrunk counterexample; None without one."""
        found = self.exploration.counterexample
        if found is None or found.switches is None:
            return None
        threads = found.program.threads
        operations = sum(len(thread.ops) for thread in threads)
        return RaceSize(len(threads), operations, found.switches)

    def to_dict(self) -> dict[str, Any]:
        """One row of the table: mutation, result of the search, and minimum, as plain data."""
        found = self.exploration.counterexample
        return {
            "mutation": self.defect.name,
            "origin": self.defect.origin,
            "defect": self.defect.text,
            "found": self.found,
            "rule": found and found.rule,
            "schedules": self.schedules,
            "counterexample": found and found.content(),
            "minimum": self.defect.minimum.to_dict(),
        }


def _programs() -> dict[str, Program]:
    folder = files("mmcore").joinpath("data", "mutations")
    return {
        name: Program.parse(folder.joinpath(f"{name}.mm").read_text(encoding="utf-8"))
        for name, _, _ in _mmcore.mutations()
    }


@functools.cache
def defects() -> tuple[Defect, ...]:
    """All mutations of the core."""
    data = files("mmcore").joinpath("data", "mutations.json").read_text(encoding="utf-8")
    recorded, programs = json.loads(data)["mutations"], _programs()
    return tuple(
        Defect(
            name=name,
            origin=origin,
            text=text,
            program=programs[name],
            rule=recorded[name]["rule"],
            minimum=Minimum.from_dict(recorded[name]["minimum"]),
        )
        for name, origin, text in _mmcore.mutations()
    )


def defect(name: str) -> Defect:
    """Returns the mutation of this name.

    Raises:
        InputError: if no mutation has this name.
    """
    for known in defects():
        if known.name == name:
            return known
    near = nearest(name, [each.name for each in defects()])
    raise InputError(f"there is no mutation {name!r}{near or '; mmcore hunt --list lists them'}")


def hunt(
    *names: str,
    schedules: int = BUDGET,
    seed: int = 0,
    release: Release | None = None,
    shrink: int = DEFAULT_SHRINK,
    workers: Workers | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Generator[Hunt, None, None]:
    """Searches for the named mutations, or for all, each with the program that is kept for it.

    Args:
        names: the mutations; all if none is named.
        schedules: the limit of each search.
        seed: the seed of the drawn schedules.
        release: the release design, instead of the program's.
        shrink: the limit of the schedules run to shrink a race.
        workers: the workers that share the mutations; None for this thread alone.
        checkpoint: a file of finished searches, from which a later call goes on.

    Yields:
        Each mutation with its search, in the order of the names.

    Raises:
        InputError: if no mutation has a name that was given, or an option is out of range.
    """
    wanted = [defect(name) for name in names] if names else list(defects())
    planned = (
        (
            which,
            which.name,
            searching.plan(
                which.program,
                mutation=which.name,
                checks="all",
                schedules=schedules,
                seed=seed,
                jobs=1,
                release=release,
                shrink=shrink,
            ),
        )
        for which in wanted
    )
    what = {"mutations": [which.name for which in wanted], "schedules": schedules, "seed": seed}
    with Checkpoint(checkpoint, "hunt", {**what, "release": release, "shrink": shrink}) as finished:
        done = gathering.searches(planned, workers=workers, checkpoint=finished)
        with closing(done):
            for which, found in done:
                yield Hunt(which, found)


def minimum(
    name: str, program: Program, rule: str, *, limit: int = MINIMUM_BUDGET
) -> Minimum | None:
    """Finds the smallest race in which a program, or a part of it, breaks `rule`.

    The search is exhaustive up to `limit`.

    Args:
        name: the mutation.
        program: the program; its parts are programs with some of its operations.
        rule: the rule.
        limit: the limit of the schedules run for each part; a minimum found after a search that
            reached it is not `proven`.

    Returns:
        The minimum, or None if no part breaks the rule.
    """
    limit = number("limit", limit, 1)
    options = json.dumps({"mutation": name, "checks": "all"})
    found = json.loads(_mmcore.minimum(program.to_json(), rule, options, limit))
    if found is None:
        return None
    race = found["found"]
    return Minimum(
        program=Program.parse(race["program"]),
        schedule=Schedule.parse(race["schedule"]),
        threads=found["threads"],
        operations=found["operations"],
        switches=race["switches"],
        preemptions=race["preemptions"],
        proven=found["proven"],
    )


def minima() -> str:
    """Computes the text of `data/mutations.json` by searching for every minimum.

    Raises:
        InputError: if a mutation is not found by its program.
    """
    found_minima = {}
    for name, program in _programs().items():
        search = searching.explore(program, mutation=name, checks="all", schedules=BUDGET, jobs=1)
        found = search.counterexample
        if found is None or found.rule is None:
            raise InputError(
                f"the mutation {name} is not found in {BUDGET} schedules of its program"
            )
        least = minimum(name, program, found.rule)
        if least is None:
            raise InputError(f"no exhaustive search of {name}'s program breaks {found.rule!r}")
        found_minima[name] = {"rule": found.rule, "minimum": least.to_dict()}
    return json.dumps({"schema": 1, "mutations": found_minima}, indent=2) + "\n"
