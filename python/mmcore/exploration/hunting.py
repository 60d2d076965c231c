"""Mutations: real defects, put back into the explored build, and the programs that find them.

For each defect mmcore keeps a program that finds it (`data/mutations/NAME.mm`), and in
`data/mutations.json` the rule that it breaks and its minimum: the smallest program and schedule,
below which an exhaustive search finds nothing. `make minima` writes that file.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore
from mmcore.arguments import number
from mmcore.errors import InputError
from mmcore.exploration.schedule import Schedule
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcore.exploration.result import Exploration

__all__ = ["Defect", "Hunt", "Minimum", "defect", "defects", "hunt", "minimum"]

#: Schedules within which the kept program must find its defect.
BUDGET = 50_000

#: Schedules of each part of a program that the search for a minimum runs, at most.
MINIMUM_BUDGET = 3_000_000


@dataclass(frozen=True, slots=True)
class Minimum:
    """The smallest race that shows a defect.

    Attributes:
        program: the smallest program: fewest operations in its threads.
        schedule: its schedule with the fewest switches.
        threads: threads of the program.
        operations: operations of its threads.
        switches: changes of the thread.
        preemptions: those away from a thread that could go on.
        proven: everything smaller was searched: every program of some of the operations with up to
            two preemptions, every schedule with fewer switches.
    """

    program: Program
    schedule: Schedule
    threads: int
    operations: int
    switches: int
    preemptions: int
    proven: bool

    def __str__(self) -> str:
        """`threads × operations × switches`."""
        return f"{self.threads} × {self.operations} × {self.switches}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
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
    def from_dict(cls, kept: dict[str, Any]) -> Minimum:
        """Reads what `to_dict` made."""
        program, schedule = Program.parse(kept["program"]), Schedule.parse(kept["schedule"])
        return cls(**{**kept, "program": program, "schedule": schedule})


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect that the core can be given.

    Attributes:
        name: its name on the command line.
        origin: the kernel commit that fixed it, or where in the protocol it is.
        text: what is wrong.
        program: a program that finds it.
        rule: the rule that breaks; with other schedules it may be another one.
        minimum: the smallest race.
    """

    name: str
    origin: str
    text: str
    program: Program
    rule: str
    minimum: Minimum


@dataclass(frozen=True, slots=True)
class Hunt:
    """One defect, looked for.

    Attributes:
        defect: which.
        exploration: what the search found.
    """

    defect: Defect
    exploration: Exploration

    @property
    def found(self) -> bool:
        """Whether the defect broke a rule; the sound core breaks none with its program."""
        return self.exploration.counterexample is not None

    @property
    def schedules(self) -> int | None:
        """The schedules needed."""
        found = self.exploration.counterexample
        return None if found is None or found.index is None else found.index + 1

    @property
    def size(self) -> tuple[int, int, int] | None:
        """Threads, operations and switches of what was found and made smaller."""
        found = self.exploration.counterexample
        if found is None or found.switches is None:
            return None
        threads = found.program.threads
        return len(threads), sum(len(thread.ops) for thread in threads), found.switches

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        found = self.exploration.counterexample
        return {
            "mutation": self.defect.name,
            "origin": self.defect.origin,
            "defect": self.defect.text,
            "found": self.found,
            "rule": found and found.rule,
            "schedules": self.schedules,
            "counterexample": found and found.to_dict(),
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
    """All defects that the core can be given."""
    data = files("mmcore").joinpath("data", "mutations.json").read_text(encoding="utf-8")
    kept, programs = json.loads(data)["mutations"], _programs()
    return tuple(
        Defect(
            name=name,
            origin=origin,
            text=text,
            program=programs[name],
            rule=kept[name]["rule"],
            minimum=Minimum.from_dict(kept[name]["minimum"]),
        )
        for name, origin, text in _mmcore.mutations()
    )


def defect(name: str) -> Defect:
    """The defect of that name.

    Raises:
        InputError: if there is none.
    """
    for known in defects():
        if known.name == name:
            return known
    raise InputError(f"there is no mutation {name!r}; mmcore explore --list-mutations lists them")


def hunt(
    *names: str,
    schedules: int = BUDGET,
    seed: int = 0,
    jobs: int = 1,
    release: str | None = None,
    shrink: int = 2_500,
) -> Iterator[Hunt]:
    """Looks for defects by their kept programs; for all if no name is given."""
    from mmcore.exploration import explore

    for which in (defect(name) for name in names) if names else defects():
        yield Hunt(
            which,
            explore(
                which.program,
                mutation=which.name,
                schedules=schedules,
                seed=seed,
                jobs=jobs,
                release=release,
                shrink=shrink,
            ),
        )


def minimum(
    name: str, program: Program, rule: str, *, limit: int = MINIMUM_BUDGET
) -> Minimum | None:
    """The smallest race by which a program, or a part of it, breaks `rule`; by exhaustive search.

    Args:
        name: the mutation.
        program: the program.
        rule: the rule.
        limit: schedules of each part that are run, at most; beyond it the result is not `proven`.
    """
    limit = number("limit", limit, 1)
    options = json.dumps({"mutation": name})
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
    """The text of `data/mutations.json`, made anew."""
    from mmcore.exploration import explore

    kept = {}
    for name, program in _programs().items():
        found = explore(program, mutation=name, schedules=BUDGET, jobs=1).counterexample
        if found is None or found.rule is None:
            raise InputError(f"{name} is not found in {BUDGET} schedules of its program")
        least = minimum(name, program, found.rule)
        if least is None:
            raise InputError(f"no exhaustive search of {name}'s program breaks {found.rule!r}")
        kept[name] = {"rule": found.rule, "minimum": least.to_dict()}
    return json.dumps({"schema": 1, "mutations": kept}, indent=2) + "\n"
