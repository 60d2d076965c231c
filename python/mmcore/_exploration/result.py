"""Results of searches: explorations, and the counterexamples that they found."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore import _refusals as refusals
from mmcore._errors import FindingError, InputError
from mmcore._exploration.replaying import Replay, replay_command
from mmcore.program import Program
from mmcore.reporting import Result

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from mmcore._exploration.pairs import Pairs
    from mmcore._refusals import Refused
    from mmcore.reporting import Part
    from mmcore.typing import Coverage, Status

__all__ = ["Counterexample", "Exploration", "RaceError"]


@dataclass(frozen=True, slots=True)
class Counterexample(Replay):
    """A schedule that breaks a rule, found by a search and shrunk.

    Attributes:
        rule: the broken rule.
        index: the number of schedules that the search ran before this one.
        switches: the number of switches from one thread to another.
        preemptions: the number of switches away from a thread that could have continued.
        shrink_runs: the number of schedules run to shrink program and schedule.
        minimal: whether nothing more can be removed from program and schedule; False if the budget
            for shrinking ran out first or was 0.
    """

    kind: ClassVar[str] = "counterexample"

    rule: str
    index: int = field(kw_only=True)
    switches: int = field(kw_only=True)
    preemptions: int = field(kw_only=True)
    shrink_runs: int = field(kw_only=True)
    minimal: bool = field(kw_only=True)

    _numbers: ClassVar[tuple[str, ...]] = (
        "index",
        "switches",
        "preemptions",
        "shrink_runs",
        "minimal",
    )

    @property
    def limit(self) -> str | None:
        """A remark if the budget for shrinking ran out; None if it did not, or was 0."""
        if self.minimal or not self.shrink_runs:
            return None
        more = 10 * self.shrink_runs
        return f"shrinking stopped after {self.shrink_runs:,} runs; `--shrink {more}` goes on"

    def content(self) -> dict[str, Any]:
        """All attributes as plain data, without the refusals that a broken rule leaves untold."""
        return {key: each for key, each in Replay.content(self).items() if key != "refused"}


class RaceError(FindingError):
    """A schedule breaks a rule. The message is the report: rule, program, schedule, steps, command.

    Attributes:
        counterexample: the program, the schedule and its steps.
    """

    # As the other exceptions: tracebacks and pickles name the public module.
    __module__ = "mmcore.errors"

    def __init__(self, counterexample: Counterexample) -> None:
        super().__init__(counterexample)
        self.counterexample = counterexample

    def __str__(self) -> str:
        """The report of the counterexample, with the table of its steps."""
        return str(self.counterexample)


@dataclass(frozen=True, slots=True)
class Exploration(Result):
    """The result of a search of the schedules of one program.

    Attributes:
        program: the program, with the machine that it was explored on.
        schedules: the number of schedules run.
        steps: the number of steps executed in all schedules.
        coverage: `complete` (every schedule), `bounded` (every schedule within the bound on
            preemptions), `sampled` (drawn schedules) or `incomplete` (the search stopped early).
        covered: the coverage in words, with the reason if the search stopped early.
        counterexample: the first schedule that breaks a rule, shrunk; None if none was found.
        options: the options of the search, by the names of the parameters of `explore`, without
            `jobs` and the choices of the machine. If `mmcore.testing.explore` replayed a schedule
            instead of searching, `search` is `replay`, and `replay` has the program and the
            schedule.
        refused: the operations that were refused in every schedule: the search tested none of
            their effects.
        pairs: the pairs of steps that the search interleaved; None if `explore` was not asked for
            them.
        unordered: the reason why the answers were not compared with orders of the operations (rule
            "answers and end are those of some order"); None if they were, or if `checks` is
            "state".
    """

    kind: ClassVar[str] = "exploration"

    program: Program
    schedules: int
    steps: int
    coverage: Coverage
    covered: str
    counterexample: Counterexample | None
    options: dict[str, Any]
    refused: tuple[Refused, ...] = ()
    pairs: Pairs | None = None
    unordered: str | None = None

    @classmethod
    def from_report(cls, report: dict[str, Any], options: dict[str, Any]) -> Exploration:
        """Makes an exploration from the core's report, decoded from JSON, and the options."""
        found = report["counterexample"]
        # The outcome does not depend on `jobs`, and the program names its machine: explorations
        # with the same outcome must have the same options.
        search_options = {
            key: value for key, value in options.items() if key not in {"jobs", "machine"}
        }
        pairs = report.get("pairs")
        return cls(
            program=Program.parse(report["program"]),
            schedules=report["schedules"],
            steps=report["steps"],
            coverage=report["coverage"],
            covered=report["covered"],
            counterexample=found and Counterexample.from_report(found, options),
            options=search_options,
            refused=refusals.read(report["refused"]),
            pairs=pairs and _pairs(pairs, _command(search_options)),
            unordered=report["unordered"],
        )

    @property
    def notes(self) -> list[str]:
        """Lines on refused operations, and on answers for which no order was searched."""
        lines = refusals.notes(self.refused, f"in all {self.schedules:,} schedules")
        if self.unordered is None:
            return lines
        return [*lines, f"note: no order was searched for the answers: {self.unordered}"]

    @property
    def is_exhaustive(self) -> bool:
        """True if the search ran every schedule within its bound on preemptions.

        A search that stopped at a limit of schedules or seconds proves nothing about the rest.
        """
        return self.coverage in {"complete", "bounded"}

    def check(self) -> Exploration:
        """Returns the exploration itself if no schedule broke a rule.

        Raises:
            RaceError: if a schedule broke a rule.
        """
        if self.counterexample is not None:
            raise RaceError(self.counterexample)
        return self

    @property
    def command(self) -> str:
        """The command line that repeats the search, for the program in a file `PROGRAM.mm`.

        If a schedule was replayed instead, the command line of this replay.
        """
        return _command(self.options)

    @property
    def seed(self) -> int | None:
        """The seed of the drawn schedules; None if a schedule was replayed instead."""
        return None if self.options["search"] == "replay" else int(self.options["seed"])

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row: schedules, steps, coverage, and the broken rule or None."""
        found = self.counterexample
        row = {name: getattr(self, name) for name in ("schedules", "steps", "coverage", "covered")}
        return [row | {"rule": found and found.rule}]

    @property
    def verdict(self) -> str:
        """The broken rule, or `no violation`."""
        return "no violation" if self.counterexample is None else self.counterexample.verdict

    @property
    def status(self) -> Status:
        """`finding` if a rule broke; `inconclusive` if an exhaustive search stopped early."""
        if self.counterexample is not None:
            return "finding"
        stopped = self.options["search"] == "exhaustive" and not self.is_exhaustive
        return "inconclusive" if stopped else "clean"

    @property
    def title(self) -> str:
        """The verdict."""
        return self.verdict

    def content(self) -> dict[str, Any]:
        """Program, options, coverage, refused operations and counterexample as plain data."""
        found = self.counterexample
        return {
            "program": self.program.text,
            "options": self.options,
            "schedules": self.schedules,
            "steps": self.steps,
            "coverage": self.coverage,
            "covered": self.covered,
            "refused": refusals.plain(self.refused),
            "unordered": self.unordered,
            "counterexample": found and found.content(),
            "pairs": self.pairs and self.pairs.content(),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the counterexample as a program file with its schedule.

        Raises:
            InputError: if no schedule broke a rule.
            OSError: if the file cannot be written.
        """
        if self.counterexample is None:
            raise InputError("no schedule broke a rule: there is nothing to save")
        self.counterexample.save(path)

    def parts(self) -> Iterator[Part]:
        """The summary and the notes, or the counterexample if there is one; then the pairs."""
        if self.counterexample is not None:
            yield from self.counterexample.parts()
        else:
            yield self.summary
            yield from self.notes
        if self.pairs is not None:
            yield ""
            yield from self.pairs.parts()

    @property
    def summary(self) -> str:
        """Verdict, schedules, steps and coverage on one line."""
        found = self.verdict if self.counterexample is None else "a violation"
        searched = f"{self.schedules:,} schedules, {self.steps:,} steps ({self.covered})"
        says_its_extent = self.is_exhaustive or "not exhaustive" in self.covered
        return f"{found} in {searched}{'' if says_its_extent else '; not exhaustive'}"


def _pairs(report: dict[str, Any], command: str) -> Pairs:
    # Imported here and not above: few searches are asked for their pairs.
    from mmcore._exploration.pairs import Pairs

    return Pairs.from_report(report, command)


def _command(options: dict[str, Any]) -> str:
    """The command line of a search or a replay with these options."""
    if options["search"] == "replay":
        mutation, max_steps = (options.get(name) for name in ("mutation", "max_steps"))
        return replay_command(options["replay"], mutation, max_steps)
    words = ["mmcore", "explore", "PROGRAM.mm"]
    for name, value in options.items():
        if name == "preemptions" and options["search"] != "exhaustive":
            continue
        if name == "pairs":
            words.append("--coverage")
            continue
        said = "all" if name == "preemptions" and value is None else value
        words += [] if said is None else [f"--{name.replace('_', '-')}", str(said)]
    return shlex.join(words)
