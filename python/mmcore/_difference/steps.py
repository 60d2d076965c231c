"""Programs without threads under two profiles: the first step whose observables differ."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore import _mmcore
from mmcore import _refusals as refusals
from mmcore._difference.sides import PerSide, TwoSides
from mmcore._recordings.compare import Difference, first_differences
from mmcore._recordings.rules import rule_of
from mmcore._waiting import heard
from mmcore.reporting import Grid, Listed
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mmcore._difference.sides import Side, Sides
    from mmcore._refusals import Refused
    from mmcore.program import Program
    from mmcore.reporting import Part

__all__ = ["StepDiff", "diff_steps"]

#: The findings of two sides that break no rule.
_NO_FINDINGS: PerSide[tuple[Mapping[str, Any], ...]] = PerSide((), ())

#: The limit of the differences printed.
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class StepDiff(TwoSides):
    """The difference of a program without threads under two profiles; `print` shows it.

    Attributes:
        labels: the names of the two sides.
        fields: the fields in which the profiles differ, with both values.
        command: the command line that repeats the comparison, for the program in a file.
        program: the text of the program.
        steps: the number of steps before the first difference.
        differences: the differences in the first step that has one; `recorded` is the value of the
            first side, `replayed` the value of the second.
        causes: for each difference the fields of the profile that cause it, each by itself: the
            first side, with the second side's value in this one field, shows the same difference.
        unsupported: the operation at which both sides ended because the core does not support it;
            None if they reached the end or differ.
        findings: the broken rules of each side.
        refused: the operations that were refused on both sides.
    """

    kind: ClassVar[str] = "step-diff"

    steps: int
    differences: tuple[Difference, ...] = ()
    causes: tuple[tuple[str, ...], ...] = ()
    unsupported: str | None = None
    findings: PerSide[tuple[Mapping[str, Any], ...]] = _NO_FINDINGS
    refused: tuple[Refused, ...] = ()

    @property
    def notes(self) -> list[str]:
        """One line for each operation that was refused on both sides."""
        return refusals.notes(self.refused, "on both sides")

    @property
    def verdict(self) -> str:
        """`same`, `differs`, or `inconclusive` if an unsupported operation ended both sides."""
        if self.differences:
            return "differs"
        return "same" if self.unsupported is None else "inconclusive"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each difference; `first` and `second` are the values of the sides."""
        return [
            {
                "step": found.step,
                "op": found.op,
                "field": found.field,
                "first": found.recorded,
                "second": found.replayed,
                "because": list(because),
                "rule": rule_of(found),
            }
            for found, because in zip(self.differences, self.causes, strict=True)
        ]

    def content(self) -> dict[str, Any]:
        """The program, the sides, and the differences in the first step that has one."""
        return {
            **TwoSides.content(self),
            "steps": self.steps,
            "differences": self.table,
            "unsupported": self.unsupported,
            "findings": [[dict(finding) for finding in side] for side in self.findings],
            "refused": refusals.plain(self.refused),
        }

    def parts(self) -> Iterator[Part]:
        """The first step that differs, the fields that cause the difference, and the notes."""
        first, second = self.labels
        head, *lines = self._summary().splitlines()
        yield head
        found = (
            (
                row["op"] or "the end",
                row["field"],
                repr(row["first"]),
                repr(row["second"]),
                ", ".join(row["because"]) or "several fields together",
                row["rule"],
            )
            for row in self.table
        )
        titles = ("operation", "field", first, second, "because of", "rule")
        differing = Grid(columns(*titles), tuple(found), "what differs")
        yield Listed("\n".join(lines), (differing, self.profiles(self._blamed())))
        yield from self.notes

    def _blamed(self) -> set[str]:
        """The fields that cause a difference, each by itself."""
        return {name for because in self.causes for name in because}

    def _summary(self) -> str:
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
        known = {name: self.fields[name].second for name in self._blamed()}
        if known:
            words = " ".join(f"--set {name}={value}" for name, value in sorted(known.items()))
            lines.append(f"to look past it, on both sides: {words}")
        return "\n".join(lines)


def diff_steps(program: Program, sides: Sides, tell: Callable[[int, int, str], None]) -> StepDiff:
    """Runs the program under both profiles and compares step by step.

    The program runs again for each differing field, to find the fields that cause a difference.

    Args:
        program: the program, without threads.
        sides: the two sides.
        tell: called before each run with the number of runs done, the number of all, and the side
            or the field.
    """
    text, fields = program.text, sides.fields(program)
    tell(0, 2, sides.first.label)
    first = _replay(text, sides.first)
    tell(1, 2, sides.second.label)
    second = _replay(text, sides.second)
    found = _parting(first, second)
    causes: list[tuple[str, ...]] = []
    if found:
        alone = {}
        for done, (name, values) in enumerate(fields.items(), 2):
            tell(done, 2 + len(fields), name)
            side = sides.first.with_field(name, values.second)
            alone[name] = _parting(first, _replay(text, side))
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
        findings=PerSide(tuple(first["findings"]), tuple(second["findings"])),
        refused=tuple(
            each
            for each in refusals.read(first["refused"])
            if any(each.i == other["i"] for other in second["refused"])
        ),
    )


def _replay(text: str, side: Side) -> dict[str, Any]:
    # One call of the core can run thousands of lines; `heard` lets a signal end the wait for it.
    replay: dict[str, Any] = json.loads(heard(_mmcore.replay_program, text, side.line))
    return replay


def _parting(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Returns the differences in the first step that has one; the end state counts as a step."""
    found = first_differences(first["steps"], second["steps"], everything=True)
    if found:
        return found
    lengths = len(first["steps"]), len(second["steps"])
    if lengths[0] != lengths[1]:
        # A rule broke on one side, and its replay ended there.
        longer = first if lengths[0] > lengths[1] else second
        step = min(lengths)
        broken = [side["findings"][-1:] or None for side in (first, second)]
        return (Difference(step, longer["steps"][step]["op"], "findings", broken[0], broken[1]),)
    one, other = (
        (side["final"] or {}) | {"findings": side["findings"]} for side in (first, second)
    )
    return tuple(
        Difference(lengths[0], "", f"final.{key}", one.get(key), other.get(key))
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    )
