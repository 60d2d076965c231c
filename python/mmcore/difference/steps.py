"""One sequence of operations under two profiles: the first step whose observables differ."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore, refusals
from mmcore._waiting import heard
from mmcore.environment import document
from mmcore.recordings.compare import Difference, first_differences
from mmcore.recordings.rules import rule_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcore.difference.sides import Side, Sides
    from mmcore.program import Program
    from mmcore.refusals import Refused

__all__ = ["StepDiff", "diff_steps"]

#: Differences that are printed.
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class StepDiff:
    """Where one sequence of operations parts: `print` it, or take its parts.

    Attributes:
        labels: the two sides' names.
        fields: the fields of the profile in which they differ, with both values.
        command: what repeats it, for the program in a file.
        program: the text.
        steps: how many steps were the same on both sides.
        differences: everything that differs in the first step that does; `recorded` is what the
            first side did, `replayed` the second.
        causes: for each difference the fields of the profile that bring it about alone, changed on
            the first side to what the second has.
        unsupported: the operation that the machine cannot do, if that is where both ended.
        findings: rules that broke, by side.
        refused: operations that did nothing of what they say, on either side.
    """

    labels: tuple[str, str]
    fields: Mapping[str, tuple[str, str]]
    command: str
    program: str
    steps: int
    differences: tuple[Difference, ...] = ()
    causes: tuple[tuple[str, ...], ...] = ()
    unsupported: str | None = None
    findings: tuple[tuple[Mapping[str, Any], ...], tuple[Mapping[str, Any], ...]] = ((), ())
    refused: tuple[Refused, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What neither side did, a line each."""
        return refusals.notes(self.refused, "on both sides")

    @property
    def verdict(self) -> str:
        """`same`, `differs`, or `inconclusive`: the machine cannot do the rest of the program."""
        if self.differences:
            return "differs"
        return "same" if self.unsupported is None else "inconclusive"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row a difference, as plain data."""
        first, second = self.labels
        return [
            {
                "step": found.step,
                "op": found.op,
                "field": found.field,
                first: found.recorded,
                second: found.replayed,
                "because": list(because),
                "rule": rule_of(found),
            }
            for found, because in zip(self.differences, self.causes, strict=True)
        ]

    def to_json(self) -> str:
        """One object with `"schema": 1`."""
        data: dict[str, Any] = {"program": self.program, "verdict": self.verdict}
        data |= {"sides": self.labels}
        data |= {"fields": self.fields, "steps": self.steps, "differences": self.table}
        data |= {"unsupported": self.unsupported, "findings": self.findings}
        data |= {"refused": refusals.plain(self.refused)}
        return json.dumps({**document("diff", self.command), **data}, indent=2)

    def __str__(self) -> str:
        return "\n".join([self._told(), *self.notes])

    def _told(self) -> str:
        first, second = self.labels
        if self.unsupported is not None and not self.differences:
            return (
                f"{first} and {second} are the same for {self.steps} steps;"
                f" then the machine cannot `{self.unsupported}`: inconclusive"
            )
        if not self.differences:
            return f"{first} and {second} are the same in all {self.steps} steps"
        head = self.differences[0]
        where = f"step {head.step}, {head.op}" if head.op else "the end"
        lines = [f"{first} and {second} part at {where} (rule {rule_of(head)})"]
        rows = zip(self.differences, self.causes, strict=True)
        for found, because in list(rows)[:_SHOWN]:
            lines.append(
                f"  {found.field}: {first} {found.recorded!r}, {second} {found.replayed!r}"
            )
            lines.append(f"      because of {', '.join(because) or 'several fields together'}")
        if len(self.differences) > _SHOWN:
            lines.append(f"  and {len(self.differences) - _SHOWN} more")
        known = {name: self.fields[name][1] for because in self.causes for name in because}
        if known:
            words = " ".join(f"--set {name}={value}" for name, value in sorted(known.items()))
            lines.append(f"to look past it, on both sides: {words}")
        return "\n".join(lines)


def diff_steps(program: Program, sides: Sides) -> StepDiff:
    """Runs the program on both sides and compares step by step."""
    text, fields = program.text, sides.fields(program)
    first, second = _replay(text, sides.first), _replay(text, sides.second)
    found = _parting(first, second)
    causes: list[tuple[str, ...]] = []
    if found:
        alone = {
            name: _parting(first, _replay(text, sides.first.with_field(name, values[1])))
            for name, values in fields.items()
        }
        causes = [tuple(name for name, part in alone.items() if each in part) for each in found]
    done = found[0].step if found else len(first["steps"])
    ended = not found and first["unsupported"] is not None
    return StepDiff(
        labels=sides.labels,
        fields=fields,
        command=sides.command(),
        program=text,
        steps=done,
        differences=found,
        causes=tuple(causes),
        unsupported=program.setup[done].text if ended else None,
        findings=(tuple(first["findings"]), tuple(second["findings"])),
        refused=tuple(
            each
            for each in refusals.read(first["refused"])
            if any(each.i == other["i"] for other in second["refused"])
        ),
    )


def _replay(text: str, side: Side) -> dict[str, Any]:
    # One call of the core: a program of thousands of lines takes its time.
    replay: dict[str, Any] = json.loads(heard(_mmcore.replay_program, text, side.line))
    return replay


def _parting(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Everything that differs in the first step that does, the end included."""
    found = first_differences(first["steps"], second["steps"], everything=True)
    if found:
        return found
    ends = len(first["steps"]), len(second["steps"])
    if ends[0] != ends[1]:
        # A rule broke on one side, and its replay ended there.
        longer = first if ends[0] > ends[1] else second
        step = min(ends)
        broken = [side["findings"][-1:] or None for side in (first, second)]
        return (Difference(step, longer["steps"][step]["op"], "findings", broken[0], broken[1]),)
    one, other = (
        (side["final"] or {}) | {"findings": side["findings"]} for side in (first, second)
    )
    return tuple(
        Difference(ends[0], "", f"final.{key}", one.get(key), other.get(key))
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    )
