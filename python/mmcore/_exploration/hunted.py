"""The result of a hunt for mutations, and the list of the mutations."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore._arguments import number
from mmcore._exploration.gathering import gather
from mmcore._exploration.hunting import BUDGET, defect, defects
from mmcore._exploration.hunting import hunt as hunt_each
from mmcore._mmcore import DEFAULT_SHRINK
from mmcore._spread import workers_of
from mmcore.reporting import Grid, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from mmcore._exploration.hunting import Defect, Hunt
    from mmcore._exploration.result import Counterexample
    from mmcore._spread import ExecutorChoice
    from mmcore.reporting import Part
    from mmcore.typing import Status

__all__ = ["HuntResult", "Mutations", "hunt"]


@dataclass(frozen=True, slots=True)
class Mutations(Result):
    """All mutations of the core; `print` shows them as a table.

    Attributes:
        known: the mutations, in the order of the core.
    """

    kind: ClassVar[str] = "mutations"

    known: tuple[Defect, ...]

    @property
    def command(self) -> str:
        """The command line that lists the mutations."""
        return "mmcore hunt --list"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each mutation: `mutation` (its name), `origin` and `defect`."""
        return [
            {"mutation": each.name, "origin": each.origin, "defect": each.text}
            for each in self.known
        ]

    @property
    def verdict(self) -> str:
        """The number of mutations."""
        return f"{len(self.known)} mutations"

    @property
    def status(self) -> Status:
        """Always `clean`."""
        return "clean"

    def content(self) -> dict[str, Any]:
        """The table under the key `mutations`."""
        return {"mutations": self.table}

    def parts(self) -> Iterator[Part]:
        """The table as a grid."""
        rows = tuple((each.name, each.origin, each.text) for each in self.known)
        yield Grid(columns("mutation", "origin", "defect"), rows)


@dataclass(frozen=True, slots=True)
class HuntResult(Result):
    """The result of a hunt: one search for each mutation; `print` shows it.

    Attributes:
        hunts: each mutation with the search for it.
        names: the mutations named by the caller; empty for all.
        wanted: the number of mutations to hunt; `hunts` has fewer after an interruption.
        options: the options of the searches, by their names on the command line.
        elapsed: the duration in seconds.
    """

    kind: ClassVar[str] = "hunt"

    hunts: tuple[Hunt, ...]
    names: tuple[str, ...]
    wanted: int
    options: Mapping[str, Any]
    elapsed: float

    @property
    def command(self) -> str:
        """The command line that repeats the hunt."""
        words = ["mmcore", "hunt", *self.names]
        for name, value in self.options.items():
            words += [] if value is None else [f"--{name}", str(value)]
        return shlex.join(words)

    @property
    def seed(self) -> int:
        """The seed of the drawn schedules."""
        return int(self.options["seed"])

    @property
    def missed(self) -> tuple[str, ...]:
        """The names of the mutations whose search found no broken rule."""
        return tuple(each.defect.name for each in self.hunts if not each.found)

    @property
    def left(self) -> int:
        """The number of mutations that the interrupted hunt did not reach."""
        return self.wanted - len(self.hunts)

    @property
    def counterexample(self) -> Counterexample | None:
        """The race of the mutation if only one was hunted; None otherwise."""
        alone = len(self.hunts) == self.wanted == 1
        return self.hunts[0].exploration.counterexample if alone else None

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each mutation: found or not, the broken rule, the schedules needed."""
        return [each.to_dict() for each in self.hunts]

    @property
    def verdict(self) -> str:
        """The numbers of mutations found, searched for and not reached."""
        found = f"{len(self.hunts) - len(self.missed)} of {len(self.hunts)} found"
        return f"{found}; incomplete: {self.left} were not looked for" if self.left else found

    @property
    def status(self) -> Status:
        """`finding` if a mutation was missed: the rules of the explorer then overlook a defect."""
        return "finding" if self.missed else "inconclusive" if self.left else "clean"

    def content(self) -> dict[str, Any]:
        """The options, the table, the number of mutations not reached, and the seconds."""
        return {
            "options": dict(self.options),
            "mutations": self.table,
            "not_begun": self.left,
            "seconds": round(self.elapsed, 1),
        }

    def parts(self) -> Iterator[Part]:
        """The table, the verdict, and the race if one mutation was hunted alone."""
        titles = columns("mutation", "origin", "rule violated", ">schedules")
        sizes = columns(">threads × operations × switches", ">minimum")
        yield Grid(titles + sizes, tuple(map(_row, self.hunts)))
        found, *more = self.verdict.split(";", 1)
        yield ";".join([f"{found} in {self.elapsed:.1f} s", *more])
        if self.counterexample is not None:
            yield ""
            yield from self.counterexample.parts()


def _row(each: Hunt) -> tuple[str, ...]:
    race = each.exploration.counterexample
    return (
        each.defect.name,
        each.defect.origin,
        "NOT FOUND" if race is None else str(race.rule),
        "" if each.schedules is None else f"{each.schedules:,}",
        str(each.size or ""),
        str(each.defect.minimum),
    )


def hunt(
    *names: str,
    schedules: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    shrink: int = DEFAULT_SHRINK,
    executor: ExecutorChoice | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[Hunt, int], None] | None = None,
) -> HuntResult:
    """Searches for mutations, each with the program that is kept for it.

    Args:
        names: the mutations; all if none is named.
        schedules: the limit of each search; 50,000 if left out.
        seed: the seed of the drawn schedules.
        jobs: threads of this process, each with one mutation at a time; one if left out.
        shrink: the limit of the schedules run to shrink a race.
        executor: the workers that share the mutations: an executor of `concurrent.futures`, or a
            function that makes one (docs/clusters.md). Not together with `jobs`.
        checkpoint: a file of finished searches, from which a later call goes on.
        progress: called after each search with the `Hunt` and the number of hunts.

    Raises:
        InputError: if no mutation has a name that was given, or an option is out of range.
        KeyboardInterrupt: on a signal; its `partial` is the result of the finished searches.
        OSError: if the checkpoint cannot be read or written.
        WorkersLostError: if the executor lost searches; its `partial` is the result of the others.
    """
    schedules = number("schedules", schedules, 1)
    wanted = len([defect(name) for name in names]) if names else len(defects())
    options = {"schedules": schedules, "seed": seed, "shrink": shrink}

    def tell(each: Hunt) -> bool:
        if progress is not None:
            progress(each, wanted)
        return True

    return gather(
        hunt_each(
            *names,
            schedules=schedules or BUDGET,
            seed=seed,
            shrink=shrink,
            workers=workers_of(executor, jobs, alone=True),
            checkpoint=checkpoint,
        ),
        lambda hunts, elapsed: HuntResult(hunts, names, wanted, options, elapsed),
        tell=tell,
    )
