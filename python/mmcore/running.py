"""Programs on real threads: one pass, or pass after pass until a rule breaks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore
from mmcore.errors import InputError
from mmcore.program import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RunResult", "StressResult", "run", "stress"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one pass has seen.

    Attributes:
        program: the text.
        steps: every operation that ended: its section, number and line, and what it did, under the
            names that recordings of real kernels use.
        findings: broken rules.
        held: what the program still held at the end.
    """

    program: str
    steps: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]
    held: tuple[str, ...]

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
        data = {"schema": 1, "program": self.program, "clean": self.clean}
        return json.dumps(
            {**data, "steps": self.steps, "findings": self.findings, "held": self.held}
        )


@dataclass(frozen=True, slots=True)
class StressResult:
    """What pass after pass has seen.

    Attributes:
        program: the text.
        rounds: passes, each over a fresh machine.
        outcomes: for each operation what it came to, and how often.
        broken: the number of the pass that broke a rule, from 0.
        found: that pass.
    """

    program: str
    rounds: int
    outcomes: tuple[Mapping[str, Any], ...]
    broken: int | None = None
    found: RunResult | None = None

    @property
    def clean(self) -> bool:
        """Whether no rule was broken."""
        return self.found is None

    def to_json(self) -> str:
        """One object with `"schema": 1`."""
        data: dict[str, Any] = {"schema": 1, "program": self.program, "clean": self.clean}
        data |= {"rounds": self.rounds, "outcomes": self.outcomes, "broken": self.broken}
        return json.dumps({**data, "found": self.found and json.loads(self.found.to_json())})


def run(
    program: Program | str,
    *,
    kernel: str | None = None,
    patience: float = 10.0,
    **fields: str | int,
) -> RunResult:
    """Runs a program once: set-up, its threads on real threads, what comes after them, audit.

    Args:
        program: the program or its text.
        kernel: the profile, instead of the program's.
        patience: seconds without any progress after which waiting threads are given up.
        fields: other words of the `machine` line, such as `release="packed"` or `pages=64`.

    Raises:
        InputError: if it is no program, or none that can be run.
    """
    text = _text(program)
    return _result(text, json.loads(_mmcore.run_program(text, _machine(kernel, fields), patience)))


def stress(
    program: Program | str,
    *,
    seconds: float,
    kernel: str | None = None,
    patience: float = 10.0,
    **fields: str | int,
) -> StressResult:
    """Runs a program again and again on fresh machines, until a rule breaks or time is up.

    Args:
        program: the program or its text.
        seconds: how long.
        kernel: the profile, instead of the program's.
        patience: seconds without any progress after which waiting threads are given up.
        fields: other words of the `machine` line.

    Raises:
        InputError: if it is no program, or none that can be run.
    """
    text = _text(program)
    data = json.loads(_mmcore.stress_program(text, _machine(kernel, fields), patience, seconds))
    outcomes = tuple(data["outcomes"])
    if data["broken"] is None:
        return StressResult(text, data["rounds"], outcomes)
    number, found = data["broken"]
    return StressResult(text, data["rounds"], outcomes, number, _result(text, found))


def _text(program: Program | str) -> str:
    return (Program.parse(program) if isinstance(program, str) else program).text


def _machine(kernel: str | None, fields: Mapping[str, str | int]) -> str:
    words = fields if kernel is None else {"kernel": kernel, **fields}
    for word in (f"{name}={value}" for name, value in words.items()):
        if not word.isprintable() or " " in word or "#" in word:
            raise InputError(f"{word!r} is no FIELD=VALUE")
    return (
        "machine " + " ".join(f"{name}={value}" for name, value in words.items()) if words else ""
    )


def _result(text: str, data: dict[str, Any]) -> RunResult:
    return RunResult(text, tuple(data["steps"]), tuple(data["findings"]), tuple(data["held"]))
