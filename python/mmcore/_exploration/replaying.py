"""Replays of one schedule of a program: run by the core, saved to files and loaded."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mmcore import _mmcore, _output
from mmcore import _refusals as refusals
from mmcore._errors import InputError
from mmcore._exploration.calling import call, machine_options, owners_of, schedule_text
from mmcore._exploration.chrome import chrome
from mmcore._exploration.lanes import lanes
from mmcore._exploration.schedule import Schedule
from mmcore._exploration.step import TraceStep
from mmcore._exploration.text import steps
from mmcore._exploration.timeline import timeline
from mmcore._input import read_text
from mmcore.program import Program
from mmcore.reporting import Code, Drawing, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mmcore._chosen import Chosen
    from mmcore._exploration.calling import Owners
    from mmcore._refusals import Refused
    from mmcore.reporting import Part
    from mmcore.typing import Kernel, MemoryModel, Release, Status

__all__ = ["Replay", "recorded", "replay", "replay_command"]

#: The comment lines at the head of a saved counterexample that `load` reads. The schedule is the
#: last of them; other readers of programs skip them.
_SCHEDULE = "# schedule: "
_MUTATION = "# mutation: "
_MAX_STEPS = "# max steps: "


@dataclass(frozen=True, slots=True)
class Replay(Result):
    """One schedule of a program and its steps; `str` is a report with the table of the steps.

    Attributes:
        program: the program, with the machine that it runs on.
        schedule: the thread that executes each step.
        mutation: the mutation that was switched on; None for the sound core.
        rule: the broken rule; None if no rule broke.
        detail: the evidence for the broken rule; empty if no rule broke.
        trace: the steps. The last step breaks the rule, unless `at_end`.
        at_end: whether all threads had ended before the audit found the broken rule.
        max_steps: the bound on steps beyond which a schedule counts as endless; None for the
            default.
        hash: a hash of the steps and their values, equal on every machine; None if a search ran
            the schedule.
        refused: the operations that were refused in the schedule, which tested none of them; empty
            if a rule broke.
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
    refused: tuple[Refused, ...] = ()

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
            refused=refusals.read(report.get("refused", ())),
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
        return replay_command(self.line, self.mutation, self.max_steps)

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

    @property
    def notes(self) -> list[str]:
        """One line for each operation that was refused in the schedule."""
        return refusals.notes(self.refused, "in this schedule")

    def content(self) -> dict[str, Any]:
        """All attributes as plain data."""
        plain = {
            "program": self.program.text,
            "schedule": str(self.schedule),
            "trace": self.table,
            "refused": refusals.plain(self.refused),
        }
        return {each.name: getattr(self, each.name) for each in fields(self)} | plain

    def parts(self) -> Iterator[Part]:
        """Rule, notes, program, schedule, steps with the breaking one marked, and the command."""
        yield f"{self.rule}: {self.detail}" if self.rule else self.verdict
        yield from self.notes
        yield ""
        yield Code(self.program.text, "the program")
        yield ""
        yield f"schedule {str(self.schedule) or '(empty: each thread runs to its end)'}"
        yield ""
        yield Drawing(
            lambda: timeline(self.program, self.trace, self.rule, at_end=self.at_end),
            title="The steps, from the top down; a line joins the steps that race",
            live=lambda: lanes(self.program, self.trace, self.rule, at_end=self.at_end),
        )
        yield steps(self.trace, breaks=self.rule is not None and not self.at_end)
        if self.rule and self.at_end:
            yield f">>> all threads have ended: {self.rule}"
        yield ""
        if self.limit is not None:
            yield self.limit
        yield f"replay: {self.command}"

    def to_chrome(self, path: str | os.PathLike[str] | None = None) -> str:
        """The steps in the format that Perfetto (ui.perfetto.dev) and chrome://tracing open.

        A step lasts a microsecond. Each thread is a track with its operations and their steps; an
        arrow joins two steps that race; the references of each page are a counter.

        Args:
            path: the file to write; None to write none.

        Returns:
            The steps as JSON.

        Raises:
            OSError: if the file cannot be written.
        """
        return chrome(self.program, self.trace, self.rule, path)

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
            InputError: if the file cannot be read, has no schedule, or an option is out of range.
            ProgramError: if the text is no program.
        """
        program, schedule, saved = _saved(path)
        given = {key: value for key, value in options.items() if value is not None}
        return replay(program, schedule, **{**saved, **given})

    @staticmethod
    def of_line(line: str, **options: Any) -> Replay:
        """Replays a program and a schedule that stand on one line.

        Args:
            line: `PROGRAM @ SCHEDULE`, the lines of the program joined by semicolons.
            **options: options of `mmcore.replay`.

        Raises:
            InputError: if the line has no `@`, the schedule is malformed, or an option is out of
                range.
            ProgramError: if the part before the last `@` is no program.
        """
        program, schedule = _on_one_line(line)
        return replay(program, schedule, **options)


def replay(
    program: Program | str,
    schedule: Schedule | Sequence[int] | str,
    *,
    kernel: Kernel | None = None,
    release: Release | None = None,
    profile: Chosen | None = None,
    memory: MemoryModel | None = None,
    mutation: str | None = None,
    max_steps: int | None = None,
    owners: Owners | None = None,
) -> Replay:
    """Runs one schedule of a program and returns its steps; `rule` is None if no rule broke.

    All is checked, as by `explore(checks="all")`.

    Args:
        program: the program, or its text.
        schedule: the thread that executes each step: a `Schedule`, thread numbers, or a text.
        kernel: the preset of the profile, instead of the program's.
        release: the release design, instead of the program's.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        memory: the order in which threads see each other's stores, as for `explore`.
        mutation: the name of a known defect to switch on.
        max_steps: the bound on the steps of a schedule, beyond which it counts as endless; 2**24 at
            most.
        owners: owners of movable pages, as for `explore`.

    Raises:
        InputError: if the program or the schedule is not valid, an option is out of range, or an
            owner answers differently when the schedule runs again.
    """
    program = Program.of(program)
    options = machine_options(program, kernel, release, profile, mutation, max_steps, memory) | {
        "checks": "all"
    }
    brought = owners_of(program, owners)
    text = schedule_text(schedule)
    played = call(_mmcore.replay, program.to_json(), text, json.dumps(options), brought)
    return Replay.from_report(played, options)


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
        raise InputError(
            f"{name} has no schedule: give one after the name, such as 0x3,1, or write the line"
            f" '{_SCHEDULE}0x3,1' into the file"
        )
    options: dict[str, Any] = {"mutation": said.get(_MUTATION)}
    if _MAX_STEPS in said:
        options["max_steps"] = _steps(name, said[_MAX_STEPS])
    return Program.parse(text, name), said[_SCHEDULE], options


def _on_one_line(line: str) -> tuple[Program, str]:
    """Reads the program and the schedule of a line `PROGRAM @ SCHEDULE`."""
    program, at, schedule = line.rpartition("@")
    if not at:
        raise InputError(
            "a replay line is PROGRAM @ SCHEDULE, the lines of the program joined by ' ; '"
        )
    text = "\n".join(part.strip() for part in program.split(";"))
    return Program.parse(text), schedule.strip()


def replay_command(line: str, mutation: str | None, max_steps: int | None) -> str:
    """The command line that replays a schedule, given as `PROGRAM @ SCHEDULE`."""
    words = ["mmcore", "replay"]
    words += ["--mutation", mutation] if mutation else []
    words += ["--max-steps", str(max_steps)] if max_steps else []
    return shlex.join([*words, line])


def _steps(name: str, text: str) -> int:
    """Reads the bound on steps in a saved file; anything but a decimal number is an InputError."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise InputError(f"{name}: {_MAX_STEPS.strip()} takes a number of steps, not {text[:40]!r}")
    return int(text)
