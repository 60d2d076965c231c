"""Searches of many programs: the standard set and the soak, with their results."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from mmcore import _refusals as refusals
from mmcore._arguments import number, time_limit
from mmcore._chosen import DESIGNS, chosen, set_options
from mmcore._errors import InputError
from mmcore._exploration import soak as soaking
from mmcore._exploration import standard as standard_set
from mmcore._exploration.gathering import gather
from mmcore._spread import workers_of
from mmcore.reporting import Result

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from mmcore._chosen import Chosen
    from mmcore._exploration.result import Counterexample
    from mmcore._exploration.soak import Soaked
    from mmcore._exploration.standard import Explored
    from mmcore._spread import ExecutorChoice
    from mmcore.reporting import Part
    from mmcore.typing import Kernel, Release, Status

__all__ = ["SoakResult", "StandardResult", "soak", "standard"]


_Search = TypeVar("_Search", "Explored", "Soaked")


@dataclass(frozen=True, slots=True)
class _Many(Result, Generic[_Search]):
    """The result of searching many programs.

    Attributes:
        searches: each program with its exploration.
        wanted: the number of searches planned (standard set), or of schedules (soak).
        options: the options of the searches, by their names on the command line.
        elapsed: the duration in seconds.
    """

    searches: tuple[_Search, ...]
    wanted: int
    options: Mapping[str, Any]
    elapsed: float

    @property
    def command(self) -> str:
        """The command line that repeats the searches."""
        words = ["mmcore", self.kind]
        for name, value in self.options.items():
            if name == "set":
                words += set_options(value)
            elif value not in (None, ""):
                words += [f"--{name}", str(value)]
        return shlex.join(words)

    @property
    def schedules(self) -> int:
        """The number of schedules run, of all programs."""
        return sum(each.exploration.schedules for each in self.searches)

    @property
    def steps(self) -> int:
        """The number of steps executed in all schedules."""
        return sum(each.exploration.steps for each in self.searches)

    @property
    def found(self) -> tuple[_Search, ...]:
        """The searches that found a counterexample."""
        return tuple(each for each in self.searches if each.exploration.counterexample is not None)

    @property
    def counterexample(self) -> Counterexample | None:
        """The first counterexample, which `save` writes; None if no program breaks a rule."""
        return self.found[0].exploration.counterexample if self.found else None

    @property
    def notes(self) -> list[str]:
        """Lines on kinds of refused operations, and on answers for which no order was searched."""
        cases = ((each.label, each.exploration.refused) for each in self.searches)
        return refusals.together(cases) + self._unordered()

    def _unordered(self) -> list[str]:
        """One line for each reason why no order was searched for the answers of programs."""
        reasons = Counter(each.exploration.unordered for each in self.searches)
        return [
            f"note: no order was searched for the answers of {count:,} programs: {reason}"
            for reason, count in sorted(reasons.items(), key=lambda row: -row[1])
            if reason is not None
        ]

    def content(self) -> dict[str, Any]:
        """The sums, one row for each program, and the counterexamples."""
        return {
            "options": dict(self.options),
            "programs": len(self.searches),
            "schedules": self.schedules,
            "steps": self.steps,
            "seconds": round(self.elapsed, 1),
            "table": self.table,
            "violations": [
                {"label": each.label, "exploration": each.exploration.content()}
                for each in self.found
            ],
            "notes": self.notes,
        }


@dataclass(frozen=True, slots=True)
class StandardResult(_Many["Explored"]):
    """The result of exploring the standard set; `print` shows it.

    Attributes:
        searches: each program in each release design.
        wanted: the number of searches planned; `searches` has fewer if `seconds` ran out.
        options: the options of the searches, by their names on the command line.
        elapsed: the duration in seconds.
    """

    kind: ClassVar[str] = "standard"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each program and release design: names, schedules, steps, coverage, rule."""
        return [
            {"program": each.name, "release": each.design, **each.exploration.table[0]}
            for each in self.searches
        ]

    @property
    def incomplete(self) -> list[str]:
        """One line for each search that stopped early, and one for the programs not reached."""
        lines = [
            f"{each.label}: {each.exploration.covered}"
            for each in self.searches
            if each.exploration.counterexample is None and not each.exploration.is_exhaustive
        ]
        left = self.wanted - len(self.searches)
        return [*lines, *([f"{left} of {self.wanted} programs were not finished"] if left else [])]

    @property
    def verdict(self) -> str:
        """The number of violations, and the bound on preemptions."""
        bound = self.options["preemptions"]
        within = "every interleaving" if bound == "all" else f"to {bound} preemptions"
        return f"{len(self.found)} violations ({within})"

    @property
    def status(self) -> Status:
        """`finding` for a violation; `inconclusive` if a search stopped early; else `clean`."""
        return "finding" if self.found else "inconclusive" if self.incomplete else "clean"

    @property
    def notes(self) -> list[str]:
        """Operations of threads that were refused in every schedule, one line for each kind.

        Refused operations of the `finally` section are left out. The section uses and gives back
        all pages that a program can have left, and in most programs some of them are gone already.
        """
        cases = (
            (each.label, [no for no in each.exploration.refused if no.section != "finally"])
            for each in self.searches
        )
        return refusals.together(cases) + self._unordered()

    def content(self) -> dict[str, Any]:
        """The sums, one row for each program, the counterexamples, and the incomplete searches."""
        return {**_Many.content(self), "incomplete": self.incomplete}

    @property
    def by_rule(self) -> dict[str, list[Explored]]:
        """The searches that found a race, by the broken rule; the smallest race first.

        The rule with the smallest race comes first, too. A race is smaller if it has fewer steps,
        or as many and fewer switches.
        """
        groups: dict[str, list[Explored]] = {}
        for each in sorted(self.found, key=_size):
            race = each.exploration.counterexample
            groups.setdefault("" if race is None else race.rule, []).append(each)
        return groups

    @property
    def counterexample(self) -> Counterexample | None:
        """The smallest race, which `save` writes; None if no program breaks a rule."""
        found = min(self.found, key=_size, default=None)
        return None if found is None else found.exploration.counterexample

    def parts(self) -> Iterator[Part]:
        """For each rule its smallest race, then the sums, notes, and incomplete searches."""
        for rule, (smallest, *others) in self.by_rule.items():
            yield f"{rule}: {len(others) + 1} programs break it; the smallest race is"
            yield smallest.label
            yield from smallest.exploration.parts()
            yield from (f"  also {each.label}" for each in others)
            yield ""
        yield (
            f"{len(self.searches):,} programs, {self.schedules:,} schedules, {self.steps:,} steps,"
            f" {self.elapsed:.1f} s: {self.verdict}"
        )
        yield from self.notes
        for line in self.incomplete:
            yield f"incomplete: {line}"


def _size(each: Explored) -> tuple[int, int]:
    """The steps and the switches of the race that a search found."""
    race = each.exploration.counterexample
    return (0, 0) if race is None else (len(race.trace), race.switches)


@dataclass(frozen=True, slots=True)
class SoakResult(_Many["Soaked"]):
    """The result of a soak: long programs drawn at random, explored; `print` shows it.

    Attributes:
        searches: each program; if one breaks a rule, it is the last.
        wanted: the number of schedules to run, of all programs.
        options: the options of the soak, by their names on the command line.
        elapsed: the duration in seconds.
    """

    kind: ClassVar[str] = "soak"

    @property
    def seed(self) -> int:
        """The seed of the first program; each next program has the next number."""
        return int(self.options["seed"])

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each program: seeds, release design, schedules, coverage, rule, new pairs."""
        return [
            {
                "seed": each.seed,
                "parent": each.parent,
                "release": each.design,
                **each.exploration.table[0],
                "new_pairs": each.new_pairs,
            }
            for each in self.searches
        ]

    @property
    def pairs(self) -> int:
        """The number of pairs of steps that the programs covered together."""
        return sum(each.new_pairs for each in self.searches)

    @property
    def verdict(self) -> str:
        """The broken rule, or the absence of one in the drawn schedules."""
        first = self.counterexample
        return "no violation; not exhaustive" if first is None else first.verdict

    @property
    def status(self) -> Status:
        """`finding` for a broken rule; `inconclusive` if no program was finished; else `clean`."""
        return "finding" if self.found else "clean" if self.searches else "inconclusive"

    def content(self) -> dict[str, Any]:
        """The sums, one row for each program, the counterexample, and the schedules wanted."""
        return {**_Many.content(self), "wanted": self.wanted, "pairs": self.pairs}

    def parts(self) -> Iterator[Part]:
        """The counterexample, the notes, and the sums."""
        for each in self.found:
            yield each.label
            yield from each.exploration.parts()
            yield ""
        yield from self.notes
        explored = f"{len(self.searches):,} programs, {self.schedules:,} schedules"
        covered = f"{self.steps:,} steps, {self.pairs:,} pairs of steps covered"
        yield f"{explored}, {covered}, {self.elapsed:.1f} s: {self.verdict}"


def _machine(
    kernel: Kernel | None, release: Release | None, profile: Chosen | None
) -> tuple[Kernel | None, Release | None, dict[str, str]]:
    """Returns the preset, the release design, and the other fields.

    A release design among the fields is the one design of the search: the searches set the field
    `release` themselves, design by design, and would overwrite it without a word.
    """
    preset, fields = chosen(kernel, profile)
    own = fields.pop("release", None)
    if own is not None and release not in (None, own):
        raise InputError(f"release is {release}, and {own} in the profile: leave one out")
    # `chosen` has checked the value.
    return preset, release or cast("Release | None", own), fields


def standard(
    *,
    preemptions: int | None = 2,
    schedules: int | None = None,
    matching: str = "",
    jobs: int | None = None,
    seconds: float | None = None,
    kernel: Kernel | None = None,
    release: Release | None = None,
    profile: Chosen | None = None,
    executor: ExecutorChoice | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[Explored, int], None] | None = None,
) -> StandardResult:
    """Explores the standard set exhaustively, in every release design but `mine`.

    Args:
        preemptions: the bound on preemptions of a schedule; None for every interleaving.
        schedules: the limit of the schedules of one program; a search that reaches it is
            incomplete. Left out: no limit.
        matching: text in the names of the programs to explore; empty for all programs.
        jobs: threads of this process, each with one program at a time; left out: one for each
            processor.
        seconds: the time after which the exploration stops early.
        kernel: the preset of the profile.
        release: one release design instead of all.
        profile: a whole `Profile`, or fields by name that override the preset.
        executor: the workers that share the programs: an executor of `concurrent.futures`, or a
            function that makes one (docs/clusters.md). Not together with `jobs`.
        checkpoint: a file of finished programs, from which a later call goes on.
        progress: called after each search with its program and the number of all searches.

    Raises:
        InputError: if an option is out of range or contradicts another, or no program matches.
        KeyboardInterrupt: on a signal; its `partial` is the result of the finished searches.
        OSError: if the checkpoint cannot be read or written.
        WorkersLostError: if the executor lost searches; likewise.
    """
    preset, release, fields = _machine(kernel, release, profile)
    seconds = time_limit("seconds", seconds)
    limit = number("schedules", schedules)
    designs = DESIGNS if release is None else (release,)
    wanted = len([name for name in standard_set.load() if matching in name]) * len(designs)
    if not wanted:
        raise InputError(f"no program of the standard set has {matching!r} in its name")
    options = {
        "kernel": preset,
        "release": release,
        "preemptions": "all" if preemptions is None else preemptions,
        "schedules": limit,
        "matching": matching,
        "set": fields,
    }
    searches = standard_set.run(
        designs=designs,
        preemptions=preemptions,
        limit=limit or 0,
        matching=matching,
        kernel=preset,
        profile=fields,
        workers=workers_of(executor, jobs),
        checkpoint=checkpoint,
        until=None if seconds is None else time.monotonic() + seconds,
    )

    def tell(each: Explored) -> bool:
        if progress is not None:
            progress(each, wanted)
        return True

    return gather(
        searches,
        lambda done, elapsed: StandardResult(done, wanted, options, elapsed),
        tell=tell,
    )


def soak(
    schedules: int = soaking.SCHEDULES,
    *,
    seed: int = 0,
    jobs: int | None = None,
    seconds: float | None = None,
    kernel: Kernel | None = None,
    release: Release | None = None,
    profile: Chosen | None = None,
    executor: ExecutorChoice | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[Soaked], bool] | None = None,
) -> SoakResult:
    """Explores long programs drawn at random, until `schedules` were run or a rule breaks.

    Args:
        schedules: the number of schedules, of all programs together.
        seed: the seed of the first program; each next program has the next number. Programs that
            cover new pairs of steps are kept, and later programs are made from them.
        jobs: threads of this process, each with one program at a time; left out: one for each
            processor.
        seconds: the time after which the soak stops early.
        kernel: the preset of the profile.
        release: one release design instead of all in turn.
        profile: a whole `Profile`, or fields by name that override the preset.
        executor: the workers that share the programs: an executor of `concurrent.futures`, or a
            function that makes one (docs/clusters.md). Not together with `jobs`.
        checkpoint: a file of finished programs, from which a later call goes on.
        progress: called after each program with its search; the soak stops if it returns False.

    Raises:
        InputError: if an option is out of range or contradicts another.
        KeyboardInterrupt: on a signal; its `partial` is the result of the finished programs.
        OSError: if the checkpoint cannot be read or written.
        WorkersLostError: if the executor lost programs; likewise.
    """
    seconds = time_limit("seconds", seconds)
    wanted = number("schedules", schedules, 1)
    preset, release, fields = _machine(kernel, release, profile)
    options = {
        "kernel": preset,
        "release": release,
        "schedules": wanted,
        "seed": number("seed", seed),
        "set": fields,
    }
    return gather(
        soaking.soak(
            wanted,
            seed=seed,
            kernel=preset,
            release=release,
            profile=fields,
            workers=workers_of(executor, jobs),
            checkpoint=checkpoint,
            until=None if seconds is None else time.monotonic() + seconds,
        ),
        lambda done, elapsed: SoakResult(done, wanted, options, elapsed),
        tell=progress or (lambda _: True),
    )
