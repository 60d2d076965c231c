"""Threads under two profiles: the outcomes that only one of them reaches."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore, refusals
from mmcore._interrupted import keeping, partial
from mmcore._waiting import keep
from mmcore.difference.states import flattened
from mmcore.environment import document
from mmcore.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcore.difference.sides import Side, Sides
    from mmcore.program import Program
    from mmcore.refusals import Refused

__all__ = ["Outcome", "OutcomeDiff", "Reached", "diff_outcomes"]

#: Outcomes and differences that are printed.
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome of a program that one side has and the other has not.

    Attributes:
        side: whose it is.
        proven: the other side's search was exhaustive: within its bound the outcome is not there.
        rule: the rule that broke, if one did.
        detail: what was found.
        schedule: the first schedule that leads there: `mmcore explore --replay` shows it.
        times: in how many of the side's schedules.
        nearest: what is not the same in the outcome of the other side that is most like it, with
            both values: of operations (`A#0 move r0 node=1.status`), pages (`r0:0.node`), counters.
    """

    side: str
    proven: bool
    rule: str | None
    detail: str | None
    schedule: str
    times: int
    nearest: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Reached:
    """What one side's search saw.

    Attributes:
        label: the side.
        outcomes: how many there are.
        schedules: schedules run.
        coverage: `complete`, `bounded` or `incomplete`.
        covered: the same in words.
        refused: operations that did nothing of what they say, in any of its schedules.
    """

    label: str
    outcomes: int
    schedules: int
    coverage: str
    covered: str
    refused: tuple[Refused, ...] = ()

    @property
    def is_exhaustive(self) -> bool:
        """Whether everything within the search's bound was seen: a limit reached is no pass."""
        return self.coverage in {"complete", "bounded"}


@dataclass(frozen=True, slots=True)
class OutcomeDiff:
    """Where a program with threads parts: `print` it, or take its parts.

    Attributes:
        labels: the two sides' names.
        fields: the fields of the profile in which they differ, with both values.
        command: what repeats it, for the program in a file.
        program: the text.
        reached: what each search saw.
        outcomes: those that one side alone has.
        common: how many both have.
    """

    labels: tuple[str, str]
    fields: Mapping[str, tuple[str, str]]
    command: str
    program: str
    reached: tuple[Reached, Reached]
    outcomes: tuple[Outcome, ...]
    common: int

    @property
    def verdict(self) -> str:
        """`same`, `differs`, or `inconclusive`: a search stopped early, and nothing is proven."""
        if any(outcome.proven for outcome in self.outcomes):
            return "differs"
        return "same" if all(side.is_exhaustive for side in self.reached) else "inconclusive"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row an outcome, as plain data."""
        return [
            {
                "side": outcome.side,
                "proven": outcome.proven,
                "rule": outcome.rule,
                "detail": outcome.detail,
                "schedule": outcome.schedule,
                "times": outcome.times,
                "nearest": outcome.nearest,
            }
            for outcome in self.outcomes
        ]

    def to_json(self) -> str:
        """One object with `"schema": 1`."""
        reached = [
            {
                "side": side.label,
                "outcomes": side.outcomes,
                "schedules": side.schedules,
                "coverage": side.coverage,
                "covered": side.covered,
                "refused": refusals.plain(side.refused),
            }
            for side in self.reached
        ]
        data: dict[str, Any] = {"program": self.program, "verdict": self.verdict}
        data |= {"sides": self.labels}
        data |= {"fields": self.fields, "reached": reached, "common": self.common}
        return json.dumps(
            {**document("diff", self.command), **data, "outcomes": self.table}, indent=2
        )

    def __str__(self) -> str:
        lines = [
            f"{side.label}: {side.outcomes:,} outcomes"
            f" in {side.schedules:,} schedules ({side.covered})"
            for side in self.reached
        ]
        lines.append(f"both: {self.common:,}; one alone: {len(self.outcomes):,}; {self.verdict}")
        for outcome in self.outcomes[:_SHOWN]:
            lines += _lines(outcome, self.labels)
        if len(self.outcomes) > _SHOWN:
            lines.append(f"and {len(self.outcomes) - _SHOWN} more")
        return "\n".join([*lines, *self.notes])

    @property
    def notes(self) -> list[str]:
        """What no schedule of a side could do, a line each."""
        sides = (
            refusals.notes(side.refused, f"in all {side.schedules:,} schedules of {side.label}")
            for side in self.reached
        )
        return [note for notes in sides for note in notes]


def _lines(outcome: Outcome, labels: tuple[str, str]) -> list[str]:
    other = labels[outcome.side == labels[0]]
    known = "" if outcome.proven else f", not yet under {other}"
    first = outcome.schedule or "(empty)"
    head = f"only {outcome.side}{known}, {outcome.times:,} schedules, first {first}"
    if outcome.rule is not None:
        return [head, f"    breaks a rule: {outcome.rule}: {outcome.detail}"]
    lines = [head]
    for name, (mine, theirs) in list(outcome.nearest.items())[:_SHOWN]:
        lines.append(f"    {name}: {mine!r}, the nearest under {other} {theirs!r}")
    if len(outcome.nearest) > _SHOWN:
        lines.append(f"    and {len(outcome.nearest) - _SHOWN} more")
    return lines


def diff_outcomes(
    program: Program,
    sides: Sides,
    preemptions: int | None,
    schedules: int,
    seconds: float | None,
) -> OutcomeDiff:
    """Gathers the outcomes on both sides and compares the two sets."""
    request = {"search": "exhaustive", "preemptions": preemptions, "schedules": schedules}
    options = [f"--preemptions={'all' if preemptions is None else preemptions}"]
    options.append(f"--schedules={schedules}")

    def compared(first: dict[str, Any], second: dict[str, Any]) -> OutcomeDiff:
        return _compared(program, sides, sides.command(*options), (first, second))

    with keeping(lambda part: compared(part, _NOTHING)):
        one = _gather(program, sides.first, request, seconds)
    try:
        with keeping(lambda part: compared(one, part)):
            other = _gather(program, sides.second, request, seconds)
    except KeyboardInterrupt as interruption:
        if partial(interruption) is None:
            keep(interruption, compared(one, _NOTHING))
        raise
    return compared(one, other)


#: A side that was not begun when the other was interrupted.
_NOTHING: dict[str, Any] = {
    "outcomes": [],
    "schedules": 0,
    "coverage": "incomplete",
    "covered": "not begun",
    "refused": [],
}


def _compared(
    program: Program,
    sides: Sides,
    command: str,
    found: tuple[dict[str, Any], dict[str, Any]],
) -> OutcomeDiff:
    names = tuple(thread.name for thread in program.threads)
    lines = tuple(tuple(op.text for op in thread.ops) for thread in program.threads)
    lines += (tuple(op.text for op in program.finally_),)
    states = [
        {
            _key(outcome): flattened(outcome["state"], (*names, "finally"), lines)
            for outcome in side["outcomes"]
        }
        for side in found
    ]
    reached = [
        Reached(
            label,
            len(side["outcomes"]),
            side["schedules"],
            side["coverage"],
            side["covered"],
            refusals.read(side["refused"]),
        )
        for label, side in zip(sides.labels, found, strict=True)
    ]
    alone = [
        _alone(outcome, label, states[1 - number], reached[1 - number], states[number])
        for number, (label, side) in enumerate(zip(sides.labels, found, strict=True))
        for outcome in side["outcomes"]
        if _key(outcome) not in states[1 - number]
    ]
    return OutcomeDiff(
        labels=sides.labels,
        fields=sides.fields(program),
        command=command,
        program=program.text,
        reached=(reached[0], reached[1]),
        outcomes=tuple(alone),
        common=len(states[0].keys() & states[1].keys()),
    )


def _gather(
    program: Program, side: Side, request: Mapping[str, Any], seconds: float | None
) -> dict[str, Any]:
    machine = {"kernel": side.kernel, "profile": dict(side.fields)}
    try:
        answer = _mmcore.outcomes(
            program.to_json(), json.dumps({**request, "machine": machine}), seconds
        )
    except (ValueError, OverflowError) as error:
        raise InputError(f"{side.label}: {' '.join(str(error).split())}") from None
    gathered: dict[str, Any] = json.loads(answer)
    return gathered


def _key(outcome: Mapping[str, Any]) -> str:
    """The same for the same outcome: a rule that broke is one, wherever it broke."""
    return json.dumps(outcome["rule"] or outcome["state"], sort_keys=True)


def _alone(
    outcome: Mapping[str, Any],
    label: str,
    others: Mapping[str, Mapping[str, Any]],
    other: Reached,
    mine: Mapping[str, Mapping[str, Any]],
) -> Outcome:
    nearest: Mapping[str, tuple[Any, Any]] = {}
    state = mine[_key(outcome)]
    for candidate in others.values():
        if not state or not candidate:
            continue
        parts = _parts(state, candidate)
        if not nearest or len(parts) < len(nearest):
            nearest = parts
    return Outcome(
        side=label,
        proven=other.is_exhaustive,
        rule=outcome["rule"],
        detail=outcome["detail"],
        schedule=outcome["schedule"],
        times=outcome["times"],
        nearest=nearest,
    )


def _parts(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    }
