"""What an exploration found: data, and its way to a file and back."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from mmcore import _output, refusals
from mmcore._input import read_text
from mmcore._mmcore import __version__
from mmcore.errors import FindingError, InputError
from mmcore.exploration.schedule import Schedule
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcore.refusals import Refused

__all__ = ["Counterexample", "Exploration", "Race", "TraceStep"]

#: Ends the first lines of a saved counterexample; a comment for every reader of programs.
_SCHEDULE = "# schedule: "
_MUTATION = "# mutation: "
_MAX_STEPS = "# max steps: "


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step of a schedule.

    Attributes:
        thread: the thread's number in the schedule.
        name: the thread's name in the program.
        i: the number of the operation in its thread.
        op: the operation.
        kind: what the step was: a load, a compare-exchange, a lock, ...
        object: what it touched.
        before: the word before the step.
        after: the word after it.
        function: the function of the core that took the step; of an unlock, the one that took the
            lock.
        place: its line, as `migrate/one.rs:120`.
    """

    thread: int
    name: str
    i: int
    op: str
    kind: str
    object: str
    before: str
    after: str
    function: str
    place: str


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A program, a schedule, and what they lead to.

    Attributes:
        program: the program, with the machine that it runs on.
        schedule: who executes each step.
        mutation: the defect that the core had, if any.
        rule: the rule that broke; None if none did.
        detail: what was found.
        trace: what happened. The last step breaks the rule, unless `at_end`.
        at_end: all threads had ended: the audit found it.
        max_steps: how many steps counted as endless, if that was said.
        hash: the same for the same steps with the same values, on every machine; None if it was
            not replayed.
        index: schedules run before this one was found; None for a replay.
        switches: changes of the thread; None for a replay.
        preemptions: changes away from a thread that could go on; None for a replay.
        shrink_runs: schedules run to make it smaller; None for a replay.
        minimal: nothing more can go from program and schedule; False if the schedules that it could
            be made smaller with were used up before, or none were wanted; None for a replay.
    """

    program: Program
    schedule: Schedule
    mutation: str | None
    rule: str | None
    detail: str
    trace: tuple[TraceStep, ...]
    at_end: bool
    max_steps: int | None = None
    hash: int | None = None
    index: int | None = None
    switches: int | None = None
    preemptions: int | None = None
    shrink_runs: int | None = None
    minimal: bool | None = None

    @classmethod
    def from_report(cls, report: dict[str, Any], options: Mapping[str, Any]) -> Counterexample:
        """Makes one from the core's JSON, and from how it was found."""
        names = ("hash", "index", "switches", "preemptions", "shrink_runs")
        numbers: dict[str, Any] = {name: report.get(name) for name in names}
        return cls(
            program=Program.parse(report["program"]),
            schedule=Schedule.parse(report["schedule"]),
            mutation=options.get("mutation"),
            max_steps=options.get("max_steps"),
            rule=report["rule"],
            detail=report["detail"] or "",
            trace=tuple(TraceStep(**row) for row in report["trace"]),
            at_end=report["at_end"],
            minimal=report.get("minimal"),
            **numbers,
        )

    @property
    def limit(self) -> str | None:
        """What to know of its size, in words: that making it smaller stopped early."""
        if self.minimal is not False or not self.shrink_runs:
            return None
        more = 10 * self.shrink_runs
        return f"shrinking stopped after {self.shrink_runs:,} runs; `--shrink {more}` goes on"

    @property
    def line(self) -> str:
        """Program and schedule on one line, for `mmcore explore --replay`."""
        lines = (line.strip() for line in self.program.text.splitlines())
        return f"{' ; '.join(lines)} @ {self.schedule}"

    @property
    def command(self) -> str:
        """The command that replays it."""
        mutation = f" --mutation {self.mutation}" if self.mutation else ""
        bound = f" --max-steps {self.max_steps}" if self.max_steps else ""
        return f"mmcore explore{mutation}{bound} --replay {shlex.quote(self.line)}"

    def table(self) -> str:
        """Program, schedule, rule and what happened, as text."""
        from mmcore.exploration.text import table

        return table(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        rows = [asdict(step) for step in self.trace]
        plain = {"program": self.program.text, "schedule": str(self.schedule), "trace": rows}
        return {field.name: getattr(self, field.name) for field in fields(self)} | plain

    def to_json(self) -> str:
        """The same as JSON with `"schema": 1`."""
        return json.dumps({"schema": 1, **self.to_dict()}, indent=2)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One self-contained page: a column a thread, time downward. Also written to `path`."""
        from mmcore.exploration.page import page

        html = page(self)
        if path is not None:
            _output.write(path, html)
        return html

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a program file that also says the schedule; `load` and `--replay` read it."""
        said = (
            ("# breaks: ", self.rule),
            (_MUTATION, self.mutation),
            (_MAX_STEPS, self.max_steps),
            (_SCHEDULE, str(self.schedule)),
        )
        head = "".join(f"{key}{value}\n" for key, value in said if value is not None)
        _output.write(path, head + self.program.text)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Counterexample:
        """Reads what `save` wrote, and replays it; `options` are those of `mmcore.replay`.

        Raises:
            InputError: if the file cannot be read or says no schedule.
        """
        from mmcore.exploration import replay

        name, text = os.fspath(path), read_text(path)
        said = {
            key: line.removeprefix(key).strip()
            for line in text.splitlines()
            for key in (_SCHEDULE, _MUTATION, _MAX_STEPS)
            if line.startswith(key.rstrip())
        }
        if _SCHEDULE not in said:
            raise InputError(f"{name} says no schedule: a line '{_SCHEDULE}0x3,1' is missing")
        kept: dict[str, Any] = {"mutation": said.get(_MUTATION)}
        if _MAX_STEPS in said:
            kept["max_steps"] = _steps(name, said[_MAX_STEPS])
        given = {key: value for key, value in options.items() if value is not None}
        return replay(Program.parse(text, name), said[_SCHEDULE], **{**kept, **given})

    @classmethod
    def of_line(cls, line: str, **options: Any) -> Counterexample:
        """Replays what `line` says; `options` are those of `mmcore.replay`."""
        from mmcore.exploration import replay

        program, at, schedule = line.rpartition("@")
        if not at:
            raise InputError("PROGRAM @ SCHEDULE is expected, lines of the program joined by ' ; '")
        text = "\n".join(part.strip() for part in program.split(";"))
        return replay(text, schedule.strip(), **options)


def _steps(name: str, text: str) -> int:
    """The bound on steps that a saved file says."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise InputError(f"{name}: {_MAX_STEPS.strip()} takes a number of steps, not {text[:40]!r}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a search found.

    Attributes:
        program: the program, with the machine that it was explored on.
        schedules: schedules run.
        steps: steps executed.
        coverage: `complete`, `bounded`, `sampled` or `incomplete`.
        covered: what was covered, or why the search stopped early, in words.
        counterexample: the first schedule that breaks a rule, made smaller; None if none was found.
        options: how it was searched.
        refused: operations that did nothing of what they say, in any schedule.
    """

    program: Program
    schedules: int
    steps: int
    coverage: str
    covered: str
    counterexample: Counterexample | None
    options: dict[str, Any]
    refused: tuple[Refused, ...] = ()

    @classmethod
    def from_report(cls, report: dict[str, Any], options: dict[str, Any]) -> Exploration:
        """Makes one from the core's JSON."""
        found = report["counterexample"]
        # What the outcome does not depend on is no part of it; the program says its machine.
        told = {key: value for key, value in options.items() if key not in {"jobs", "machine"}}
        return cls(
            program=Program.parse(report["program"]),
            schedules=report["schedules"],
            steps=report["steps"],
            coverage=report["coverage"],
            covered=report["covered"],
            counterexample=found and Counterexample.from_report(found, options),
            options=told,
            refused=refusals.read(report["refused"]),
        )

    @property
    def notes(self) -> list[str]:
        """What no schedule could do, a line each."""
        return refusals.notes(self.refused, f"in all {self.schedules:,} schedules")

    @property
    def is_exhaustive(self) -> bool:
        """Whether everything within the search's bound was seen: a limit reached is no pass."""
        return self.coverage in {"complete", "bounded"}

    def check(self) -> Exploration:
        """Returns the exploration itself if no schedule broke a rule.

        Raises:
            Race: if one did.
        """
        if self.counterexample is not None:
            raise Race(self.counterexample)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain data with `"schema": 1`."""
        found = self.counterexample
        return {
            "schema": 1,
            "mmcore": __version__,
            "program": self.program.text,
            "options": self.options,
            "schedules": self.schedules,
            "steps": self.steps,
            "coverage": self.coverage,
            "covered": self.covered,
            "refused": refusals.plain(self.refused),
            "counterexample": found and found.to_dict(),
        }

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the counterexample as a program file with its schedule.

        Raises:
            InputError: if there is none.
        """
        if self.counterexample is None:
            raise InputError("no schedule broke a rule: there is nothing to save")
        self.counterexample.save(path)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One self-contained page: a column a thread, time downward. Also written to `path`."""
        from mmcore.exploration.page import page

        html = page(self)
        if path is not None:
            _output.write(path, html)
        return html

    def __str__(self) -> str:
        """A line, and one for each operation never done; or the counterexample's table."""
        if self.counterexample is not None:
            return self.counterexample.table()
        return "\n".join([self.summary, *self.notes])

    @property
    def summary(self) -> str:
        """What was searched, on one line."""
        return (
            f"no violation in {self.schedules:,} schedules, {self.steps:,} steps ({self.covered})"
        )


class Race(FindingError):  # noqa: N818 - it is what it is called
    """A schedule breaks a rule. The message is the table of what happened.

    Attributes:
        counterexample: program, schedule and trace.
    """

    def __init__(self, counterexample: Counterexample) -> None:
        super().__init__(counterexample)
        self.counterexample = counterexample

    def __str__(self) -> str:
        """The table."""
        return self.counterexample.table()
