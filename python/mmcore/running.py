"""Programs on real threads: one pass, or pass after pass until a rule breaks."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore, refusals
from mmcore._interrupted import keeping
from mmcore.arguments import time_limit
from mmcore.environment import document
from mmcore.errors import InputError
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcore.refusals import Refused

__all__ = ["RunResult", "StressResult", "run", "stress"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one pass has seen.

    Attributes:
        program: the text.
        command: what repeats the pass, for the text in a file.
        steps: every operation that ended: its section, number and line, and what it did, under the
            names that recordings of real kernels use.
        findings: broken rules.
        held: what the program still held at the end.
        refused: operations that did nothing of what they say.
        interrupted: it was stopped before its end.
    """

    program: str
    command: str
    steps: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]
    held: tuple[str, ...]
    refused: tuple[Refused, ...] = ()
    interrupted: bool = False

    @property
    def clean(self) -> bool:
        """Whether no rule was broken."""
        return not self.findings

    @property
    def unsupported(self) -> tuple[str, ...]:
        """The operations that this machine cannot do."""
        return tuple(step["op"] for step in self.steps if step.get("problem") == "unsupported")

    def to_json(self) -> str:
        """One object with `"schema": 1`."""
        return json.dumps({**document("run", self.command), **self._seen()})

    def _seen(self) -> dict[str, Any]:
        seen = {"program": self.program, "clean": self.clean, "steps": self.steps}
        seen |= {"findings": self.findings, "held": self.held}
        return {**seen, "refused": refusals.plain(self.refused), "interrupted": self.interrupted}

    @property
    def notes(self) -> list[str]:
        """What was not done, a line each."""
        return refusals.notes(self.refused)


@dataclass(frozen=True, slots=True)
class StressResult:
    """What pass after pass has seen.

    Attributes:
        program: the text.
        command: what repeats it, for the text in a file.
        rounds: passes, each over a fresh machine.
        outcomes: for each operation what it came to, and how often.
        broken: the number of the pass that broke a rule, from 0.
        found: that pass.
        refused: operations that did nothing of what they say, in any pass.
        interrupted: it was stopped; the pass that it stopped in is not counted.
    """

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
        """Whether no rule was broken."""
        return self.found is None

    def to_json(self) -> str:
        """One object with `"schema": 1`."""
        seen = {"program": self.program, "clean": self.clean, "rounds": self.rounds}
        seen |= {"outcomes": self.outcomes, "broken": self.broken}
        seen |= {"refused": refusals.plain(self.refused), "interrupted": self.interrupted}
        found = None if self.found is None else self.found._seen()
        return json.dumps({**document("stress", self.command), **seen, "found": found})

    @property
    def notes(self) -> list[str]:
        """What was never done, a line each."""
        return refusals.notes(self.refused, f"in all {self.rounds:,} rounds")


def run(
    program: Program | str,
    *,
    kernel: str | None = None,
    patience: float = 10.0,
    **fields: str | int,
) -> RunResult:
    """Runs a program once: set-up, its threads on real threads, what comes after them, audit.

    All threads end with the call, also those that wait for ever. What a signal's handler raises
    (KeyboardInterrupt) comes within a second, and has the result so far as its `partial`.

    Args:
        program: the program or its text.
        kernel: the profile, instead of the program's.
        patience: seconds without any progress after which waiting threads are stopped, and told of
            as a finding.
        fields: other words of the `machine` line, such as `release="packed"` or `pages=64`.

    Raises:
        InputError: if it is no program, or none that can be run: it names what nothing makes, or
            has more threads than can use machines beside those that do.
    """
    text, words = _text(program), _words(kernel, fields)
    patience = time_limit("patience", patience)
    with keeping(lambda data: _result(text, _command(words), data)):
        data = json.loads(_mmcore.run_program(text, _machine(words), patience))
    return _result(text, _command(words), data)


def stress(
    program: Program | str,
    *,
    seconds: float,
    kernel: str | None = None,
    patience: float = 10.0,
    **fields: str | int,
) -> StressResult:
    """Runs a program again and again on fresh machines, until a rule breaks or time is up.

    There is one pass at least. Threads and signals: see `run`.

    Args:
        program: the program or its text.
        seconds: how long.
        kernel: the profile, instead of the program's.
        patience: seconds without any progress after which waiting threads are stopped.
        fields: other words of the `machine` line.

    Raises:
        InputError: if it is no program, or none that can be run.
    """
    text, words = _text(program), _words(kernel, fields)
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

    with keeping(result):
        data = json.loads(_mmcore.stress_program(text, _machine(words), patience, seconds))
    return result(data)


def _text(program: Program | str) -> str:
    return (Program.parse(program) if isinstance(program, str) else program).text


def _words(kernel: str | None, fields: Mapping[str, str | int]) -> list[str]:
    named = fields if kernel is None else {"kernel": kernel, **fields}
    words = [f"{name}={value}" for name, value in named.items()]
    for word in words:
        if not word.isprintable() or " " in word or "#" in word:
            raise InputError(f"{word!r} is no FIELD=VALUE")
    return words


def _machine(words: list[str]) -> str:
    return " ".join(["machine", *words]) if words else ""


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
