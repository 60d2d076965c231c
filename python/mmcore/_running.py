"""Runs programs on real threads: one pass, or passes until a rule breaks."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore import _mmcore
from mmcore import _refusals as refusals
from mmcore._arguments import time_limit
from mmcore._choices import as_text
from mmcore._chosen import chosen
from mmcore._errors import InputError
from mmcore._interrupted import keeping
from mmcore.program import Program
from mmcore.reporting import Grid, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mmcore._chosen import Chosen
    from mmcore._refusals import Refused
    from mmcore.reporting import Part
    from mmcore.typing import FieldValue, Kernel, Status

__all__ = ["RunResult", "StressResult", "run", "stress"]


@dataclass(frozen=True, slots=True)
class RunResult(Result):
    """The result of one pass.

    Attributes:
        program: the text.
        command: the command line that repeats the pass, for the text in a file.
        steps: every operation that ended: its section, number and line, and what it did, under the
            names that recordings of real kernels use.
        findings: broken rules.
        held: the handles that the program still held at the end.
        refused: operations that had no effect.
        interrupted: true if the pass was stopped before its end.
    """

    kind: ClassVar[str] = "run"

    program: str
    command: str
    steps: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]
    held: tuple[str, ...]
    refused: tuple[Refused, ...] = ()
    interrupted: bool = False

    @property
    def clean(self) -> bool:
        """True if no rule was broken."""
        return not self.findings

    @property
    def unsupported(self) -> tuple[str, ...]:
        """The operations that this machine cannot do."""
        return tuple(step["op"] for step in self.steps if step.get("problem") == "unsupported")

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each operation: its section, number, line and result."""
        return [dict(step) for step in self.steps]

    @property
    def verdict(self) -> str:
        """The result of the audit, or the reason why there was none."""
        if self.findings:
            return f"rules broken: {len(self.findings)}"
        return "interrupted before the end: not audited" if self.interrupted else "audit: clean"

    @property
    def status(self) -> Status:
        """`inconclusive` if the pass was stopped, or if the machine cannot do all operations."""
        if self.findings:
            return "finding"
        return "inconclusive" if self.interrupted or self.unsupported else "clean"

    def content(self) -> dict[str, Any]:
        """The whole result, as plain data."""
        return {
            "program": self.program,
            "clean": self.clean,
            "steps": self.table,
            "findings": [dict(finding) for finding in self.findings],
            "held": list(self.held),
            "refused": refusals.plain(self.refused),
            "interrupted": self.interrupted,
        }

    def parts(self) -> Iterator[Part]:
        """The operations, the handles still held, the broken rules, the verdict."""
        rows = (
            (step["section"], step["op"], str(step["ret"]), _came_to(step)) for step in self.steps
        )
        yield Grid(columns("section", "operation", "ret", "outcome"), tuple(rows))
        for held in self.held:
            yield f"held: {held}"
        for finding in self.findings:
            place = "" if finding["pfn"] is None else f"page {finding['pfn']:#x}: "
            yield f"broken: {finding['rule']}: {place}{finding['detail']}"
        yield self.verdict
        yield from self.notes
        if self.unsupported:
            yield f"{len(self.unsupported)} operations were not done: see above"

    @property
    def notes(self) -> list[str]:
        """The operations that had no effect, a line each."""
        return refusals.notes(self.refused)


@dataclass(frozen=True, slots=True)
class StressResult(Result):
    """The result of many passes.

    Attributes:
        program: the text.
        command: the command line that repeats the passes, for the text in a file.
        rounds: passes, each over a fresh machine.
        outcomes: for each operation its outcomes, each with its number of times.
        broken: the number of the pass that broke a rule, from 0.
        found: the pass that broke a rule.
        refused: operations that had no effect in any pass.
        interrupted: true if the run was stopped; its last, unfinished pass is not counted.
    """

    kind: ClassVar[str] = "stress"

    program: str
    command: str
    rounds: int
    outcomes: tuple[Mapping[str, Any], ...]
    broken: int | None = None
    found: RunResult | None = None
    refused: tuple[Refused, ...] = ()
    interrupted: bool = False

    @property
    def clean(self) -> bool:
        """True if no rule was broken."""
        return self.found is None

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each operation: its section, number and line, and a count of each outcome."""
        return [dict(row) for row in self.outcomes]

    @property
    def verdict(self) -> str:
        """The rounds, and whether one broke a rule."""
        if self.found is not None:
            return f"round {self.broken} breaks a rule"
        if not self.rounds:
            return "no round was done"
        return f"{self.rounds} rounds, each audited: clean"

    @property
    def status(self) -> Status:
        """`inconclusive` if no round had ended when the run was stopped."""
        if self.found is not None:
            return "finding"
        return "clean" if self.rounds else "inconclusive"

    def content(self) -> dict[str, Any]:
        """The whole result, as plain data."""
        return {
            "program": self.program,
            "clean": self.clean,
            "rounds": self.rounds,
            "outcomes": self.table,
            "broken": self.broken,
            "refused": refusals.plain(self.refused),
            "interrupted": self.interrupted,
            "found": None if self.found is None else self.found.content(),
        }

    def parts(self) -> Iterator[Part]:
        """The operations, the verdict, and the round that broke a rule."""
        rows = (
            (row["section"], row["op"], ", ".join(f"{name} {n}" for name, n in row["seen"].items()))
            for row in self.outcomes
        )
        yield Grid(columns("section", "operation", "outcomes"), tuple(rows))
        yield from self.notes
        if self.interrupted:
            yield "interrupted: the round that it stopped in is not counted"
        yield self.verdict if self.found is None else f"{self.verdict}:"
        if self.found is not None:
            yield from self.found.parts()

    @property
    def notes(self) -> list[str]:
        """The operations that had no effect in any pass, a line each."""
        return refusals.notes(self.refused, f"in all {self.rounds:,} rounds")


def run(
    program: Program | str,
    *,
    kernel: Kernel | None = None,
    profile: Chosen | None = None,
    patience: float = 10.0,
    **fields: FieldValue,
) -> RunResult:
    """Runs a program once: its set-up, its threads on real threads, its end, and the audit.

    All threads end with the call, also those that wait for ever. An exception of a signal's handler
    (KeyboardInterrupt) ends the call within a second; its `partial` is the result so far.

    Args:
        program: the program or its text.
        kernel: the preset of the profile, instead of the program's.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        patience: seconds without any progress after which waiting threads are stopped, which is
            a finding.
        fields: other words of the `machine` line, such as `release="packed"` or `pages=64`.

    Raises:
        InputError: if the program is not valid or cannot be run: it names an object that no
            operation makes, or has more threads than can still use machines.
    """
    text, words = _read(program, kernel, profile, fields)
    patience = time_limit("patience", patience)
    with keeping(lambda data: _result(text, _command(words), data)), _naming(words):
        data = json.loads(_mmcore.run_program(text, _machine(words), patience))
    return _result(text, _command(words), data)


def stress(
    program: Program | str,
    *,
    seconds: float,
    kernel: Kernel | None = None,
    profile: Chosen | None = None,
    patience: float = 10.0,
    **fields: FieldValue,
) -> StressResult:
    """Runs a program again and again on fresh machines, until a rule breaks or time is up.

    There is one pass at least. Threads and signals: see `run`.

    Args:
        program: the program or its text.
        seconds: the time for which passes are begun.
        kernel: the preset of the profile, instead of the program's.
        profile: a whole `Profile` instead of a preset, or fields of it by name.
        patience: seconds without any progress after which waiting threads are stopped.
        fields: other words of the `machine` line.

    Raises:
        InputError: if the program is not valid or cannot be run.
    """
    text, words = _read(program, kernel, profile, fields)
    seconds, patience = time_limit("seconds", seconds), time_limit("patience", patience)

    def result(data: dict[str, Any]) -> StressResult:
        number, found = data["broken"] or (None, None)
        return StressResult(
            text,
            _command(words, f"--stress={seconds:g}"),
            data["rounds"],
            tuple(data["outcomes"]),
            number,
            None if found is None else _result(text, _command(words), found),
            refusals.read(data["refused"]),
            data["interrupted"],
        )

    with keeping(result), _naming(words):
        data = json.loads(_mmcore.stress_program(text, _machine(words), patience, seconds))
    return result(data)


def _came_to(step: Mapping[str, Any]) -> str:
    """The result of an operation in words."""
    runs = [f"{n}×{value}" for n, value in (*step.get("status", ()), *step.get("acc", ()))]
    if "isolated" in step:
        runs.append("anon {} file {}".format(*step["isolated"]))
    if "why" in step:
        runs.append(f"{step['problem']}: {step['why']}")
    return ", ".join(runs)


def _read(
    program: Program | str,
    kernel: Kernel | None,
    profile: Chosen | None,
    fields: Mapping[str, FieldValue],
) -> tuple[str, list[str]]:
    """The program's text, and the words of the `machine` line that change its machine."""
    program = Program.of(program)
    preset, settings = chosen(kernel, profile, program)
    named = settings | {name: as_text(value) for name, value in fields.items()}
    words = [] if preset is None else [f"kernel={preset}"]
    words += [f"{name}={value}" for name, value in named.items()]
    for word in words:
        if not word.isprintable() or " " in word or "#" in word:
            raise InputError(f"a field is FIELD=VALUE without blanks and without #, not {word!r}")
    return program.text, words


def _machine(words: list[str]) -> str:
    return " ".join(["machine", *words]) if words else ""


@contextmanager
def _naming(words: list[str]) -> Iterator[None]:
    """Makes errors about the line of `_machine` name the faulty word instead of a column."""
    try:
        yield
    except InputError as error:
        # The program itself has been read before: the core refuses a word of this line.
        found = re.match(r"line 1, column ([0-9]+): ", str(error))
        if found is None:
            raise
        number = _machine(words)[: int(found[1]) - 1].count(" ") - 1
        raise InputError(f"{words[number]}: {str(error)[found.end() :]}") from None


def _command(words: list[str], *options: str) -> str:
    sets = [f"--set={word}" for word in words]
    return shlex.join(["mmcore", "run", "PROGRAM.mm", *options, *sets])


def _result(text: str, command: str, data: dict[str, Any]) -> RunResult:
    return RunResult(
        text,
        command,
        tuple(data["steps"]),
        tuple(data["findings"]),
        tuple(data["held"]),
        refusals.read(data.get("refused", ())),
        data.get("interrupted", False),
    )
