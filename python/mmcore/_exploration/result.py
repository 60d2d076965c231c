"""Results of searches: explorations, and the counterexamples that they found."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore import _refusals as refusals
from mmcore._errors import FindingError, InputError
from mmcore._exploration.replaying import Replay
from mmcore.program import Program
from mmcore.reporting import Result

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from mmcore._refusals import Refused
    from mmcore.reporting import Part
    from mmcore.typing import Coverage, Status

__all__ = ["Counterexample", "Exploration", "Replay", "recorded"]

#: The comment lines at the head of a saved counterexample. The schedule is the last of them; other
#: readers of programs skip all three.
_SCHEDULE = "# schedule: "
_MUTATION = "# mutation: "
_MAX_STEPS = "# max steps: "


@dataclass(frozen=True, slots=True)
class Replay(Result):
    """One schedule of a program and its steps; `str` is the table of the steps.

    Attributes:
        program: the program, with the machine that it runs on.
        schedule: the thread that executes each step.
        mutation: the mutation that was switched on; None for the sound core.
        rule: the broken rule; None if no rule broke.
        detail: the evidence for the broken rule; empty if no rule broke.
        trace: the steps. The last step breaks the rule, unless `at_end`.
        at_end: whether the audit found the broken rule after all threads had ended.
        max_steps: the bound on steps beyond which a schedule counts as endless; None for the
            default.
        hash: a hash of the steps and their values, equal on every machine; None if a search ran
            the schedule.
    """

    kind: ClassVar[str] = "replay"

    program: Program
    schedule: Schedule
    mutation: str | None
    rule: str | None
    detail: str
    trace: tuple[TraceStep, ...]
    at_end: bool
    max_steps: int | None = None
    hash: int | None = None

    @classmethod
    def from_report(cls, report: dict[str, Any], options: Mapping[str, Any]) -> Self:
        """Makes a replay from the core's report and the options of the run.

        Args:
            report: the report, decoded from JSON.
            options: `mutation` and `max_steps` of the run; other keys are ignored.
        """
        more = {name: report[name] for name in cls._numbers if name in report}
        return cls(
            program=Program.parse(report["program"]),
            schedule=Schedule.parse(report["schedule"]),
            mutation=options.get("mutation"),
            max_steps=options.get("max_steps"),
            rule=report["rule"],
            detail=report["detail"] or "",
            trace=tuple(TraceStep(**row) for row in report["trace"]),
            at_end=report["at_end"],
            **more,
        )

    #: Attributes that the core reports for this class and not for its base class.
    _numbers: ClassVar[tuple[str, ...]] = ("hash",)

    @property
    def limit(self) -> str | None:
        """A remark about the size of the counterexample; None for a replay."""
        return None

    @property
    def line(self) -> str:
        """Program and schedule on one line, `PROGRAM @ SCHEDULE`, for `mmcore replay`."""
        lines = (line.strip() for line in self.program.text.splitlines())
        return f"{' ; '.join(lines)} @ {self.schedule}"

    @property
    def command(self) -> str:
        """The command line that replays the schedule."""
        return _replay_command(self.line, self.mutation, self.max_steps)

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each step, with the attributes of `TraceStep`."""
        return [asdict(step) for step in self.trace]

    @property
    def verdict(self) -> str:
        """The broken rule, or `no rule broke`."""
        return self.rule or "no rule broke"

    @property
    def status(self) -> Status:
        """`finding` if a rule broke, else `clean`."""
        return "finding" if self.rule else "clean"

    @property
    def title(self) -> str:
        """The verdict."""
        return self.verdict

    def content(self) -> dict[str, Any]:
        """All attributes as plain data."""
        plain = {"program": self.program.text, "schedule": str(self.schedule), "trace": self.table}
        return {each.name: getattr(self, each.name) for each in fields(self)} | plain

    def parts(self) -> Iterator[Part]:
        """Rule, program, schedule, steps with the breaking one marked, and the command line."""
        yield f"{self.rule}: {self.detail}" if self.rule else self.verdict
        yield ""
        yield Code(self.program.text)
        yield ""
        yield f"schedule {self.schedule}"
        yield ""
        yield steps(self.trace, breaks=self.rule is not None and not self.at_end)
        if self.rule and self.at_end:
            yield f">>> all threads have ended: {self.rule}"
        yield Drawing(lambda: timeline(self.program, self.trace, self.rule, at_end=self.at_end))
        yield ""
        if self.limit is not None:
            yield self.limit
        yield f"replay: {self.command}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a program file with the schedule in its head, for `load` and `mmcore replay`.

        Raises:
            OSError: if the file cannot be written.
        """
        said = (
            ("# breaks: ", self.rule),
            (_MUTATION, self.mutation),
            (_MAX_STEPS, self.max_steps),
            (_SCHEDULE, str(self.schedule)),
        )
        head = "".join(f"{key}{value}\n" for key, value in said if value is not None)
        _output.write(path, head + self.program.text)

    @staticmethod
    def load(path: str | os.PathLike[str], **options: Any) -> Replay:
        """Reads a file that `save` wrote, and replays its schedule.

        Args:
            path: the file.
            **options: options of `mmcore.replay`; they replace the values in the file.

        Raises:
            InputError: if the file cannot be read or has no schedule.
        """
        from mmcore._exploration.searching import replay

        program, schedule, kept = _saved(path)
        given = {key: value for key, value in options.items() if value is not None}
        return replay(program, schedule, **{**kept, **given})

    @staticmethod
    def of_line(line: str, **options: Any) -> Replay:
        """Replays a program and a schedule that stand on one line.

        Args:
            line: `PROGRAM @ SCHEDULE`, the lines of the program joined by ` ; `.
            **options: options of `mmcore.replay`.

        Raises:
            InputError: if the line is no program and schedule.
        """
        from mmcore._exploration.searching import replay

        program, schedule = _on_one_line(line)
        return replay(program, schedule, **options)


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
        """A remark if the budget for shrinking ran out; None if it did not."""
        if self.minimal or not self.shrink_runs:
            return None
        more = 10 * self.shrink_runs
        return f"shrinking stopped after {self.shrink_runs:,} runs; `--shrink {more}` goes on"


def recorded(what: str) -> tuple[Program, str, dict[str, Any]]:
    """Reads a schedule and its program without running it.

    Args:
        what: `PROGRAM @ SCHEDULE`, as a counterexample prints it, or a file that `Replay.save`
            wrote.

    Returns:
        The program, the schedule, and the options `mutation` and `max_steps` that a file names.

    Raises:
        InputError: if the file cannot be read, or what was read is no program and schedule.
    """
    return (*_on_one_line(what), {}) if "@" in what else _saved(what)


def _saved(path: str | os.PathLike[str]) -> tuple[Program, str, dict[str, Any]]:
    """Reads the program, the schedule and the options of a file that `Replay.save` wrote."""
    name, text = os.fspath(path), read_text(path)
    said = {
        key: line.removeprefix(key).strip()
        for line in text.splitlines()
        for key in (_SCHEDULE, _MUTATION, _MAX_STEPS)
        if line.startswith(key.rstrip())
    }
    if _SCHEDULE not in said:
        raise InputError(f"{name} has no schedule: a line '{_SCHEDULE}0x3,1' is missing")
    kept: dict[str, Any] = {"mutation": said.get(_MUTATION)}
    if _MAX_STEPS in said:
        kept["max_steps"] = _steps(name, said[_MAX_STEPS])
    return Program.parse(text, name), said[_SCHEDULE], kept


def _on_one_line(line: str) -> tuple[Program, str]:
    """Reads the program and the schedule of a line `PROGRAM @ SCHEDULE`."""
    program, at, schedule = line.rpartition("@")
    if not at:
        raise InputError(
            "a replay line is PROGRAM @ SCHEDULE, the lines of the program joined by ' ; '"
        )
    text = "\n".join(part.strip() for part in program.split(";"))
    return Program.parse(text), schedule.strip()


def _replay_command(line: str, mutation: str | None, max_steps: int | None) -> str:
    words = ["mmcore", "replay"]
    words += ["--mutation", mutation] if mutation else []
    words += ["--max-steps", str(max_steps)] if max_steps else []
    return shlex.join([*words, line])


def _steps(name: str, text: str) -> int:
    """Reads the bound on steps in a saved file; anything but a decimal number is an InputError."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise InputError(f"{name}: {_MAX_STEPS.strip()} takes a number of steps, not {text[:40]!r}")
    return int(text)


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
        options: the options of the search. If `mmcore.testing.explore` replayed a schedule instead
            of searching, `search` is `replay`, and `replay` has the program and the schedule.
        refused: the operations that were refused in every schedule: the search tested none of
            their effects.
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

    @classmethod
    def from_report(cls, report: dict[str, Any], options: dict[str, Any]) -> Exploration:
        """Makes an exploration from the core's report, decoded from JSON, and the options."""
        found = report["counterexample"]
        # The outcome does not depend on `jobs`, and the program names its machine: explorations
        # with the same outcome must have the same options.
        search_options = {
            key: value for key, value in options.items() if key not in {"jobs", "machine"}
        }
        return cls(
            program=Program.parse(report["program"]),
            schedules=report["schedules"],
            steps=report["steps"],
            coverage=report["coverage"],
            covered=report["covered"],
            counterexample=found and Counterexample.from_report(found, options),
            options=search_options,
            refused=refusals.read(report["refused"]),
        )

    @property
    def notes(self) -> list[str]:
        """One line for each operation that was refused in every schedule."""
        return refusals.notes(self.refused, f"in all {self.schedules:,} schedules")

    @property
    def is_exhaustive(self) -> bool:
        """Whether the search ran every schedule within its bound on preemptions.

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
        if self.options["search"] == "replay":
            mutation, max_steps = (self.options.get(name) for name in ("mutation", "max_steps"))
            return _replay_command(self.options["replay"], mutation, max_steps)
        words = ["mmcore", "explore", "PROGRAM.mm"]
        for name, value in self.options.items():
            if name == "preemptions" and self.options["search"] != "exhaustive":
                continue
            said = "all" if name == "preemptions" and value is None else value
            words += [] if said is None else [f"--{name.replace('_', '-')}", str(said)]
        return shlex.join(words)

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
            "counterexample": found and found.content(),
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
        """The summary and the notes; instead of them the counterexample, if there is one."""
        if self.counterexample is not None:
            yield from self.counterexample.parts()
            return
        yield self.summary
        yield from self.notes

    @property
    def summary(self) -> str:
        """Verdict, schedules, steps and coverage on one line."""
        found = self.verdict if self.counterexample is None else "a violation"
        searched = f"{self.schedules:,} schedules, {self.steps:,} steps ({self.covered})"
        says_its_extent = self.is_exhaustive or "not exhaustive" in self.covered
        return f"{found} in {searched}{'' if says_its_extent else '; not exhaustive'}"
