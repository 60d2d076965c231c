"""Compares a program with threads under two profiles: outcomes that only one of them reaches."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from mmcore import _mmcore
from mmcore import _refusals as refusals
from mmcore._difference.sides import PerSide, TwoSides
from mmcore._difference.states import flattened
from mmcore._errors import InputError
from mmcore._interrupted import keeping, partial
from mmcore._waiting import keep
from mmcore.reporting import Grid, Listed
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mmcore._difference.sides import Side, Sides
    from mmcore._refusals import Refused
    from mmcore.program import Program
    from mmcore.reporting import Part
    from mmcore.typing import Coverage

__all__ = ["NearestValues", "Outcome", "OutcomeDiff", "Reached", "diff_outcomes"]

#: The most outcomes that the text shows, and the most differences that it shows of each.
_SHOWN = 8


class NearestValues(NamedTuple):
    """One result in which an outcome and the nearest outcome of the other side differ.

    The nearest outcome is the one that differs in the fewest results.

    Attributes:
        own: the value in the outcome; None if the outcome has no such result.
        nearest: the value in the nearest outcome; None if that outcome has no such result.
    """

    own: Any
    nearest: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome of a program that only one side reaches.

    Attributes:
        side: the name of the side that reaches the outcome.
        proven: whether the search of the other side was exhaustive, so that the other side cannot
            reach the outcome within the bound on preemptions.
        rule: the broken rule; None if no rule broke.
        detail: the evidence for the broken rule; None if no rule broke.
        schedule: the first schedule with this outcome, for `mmcore replay`.
        times: the number of the side's schedules with this outcome.
        nearest: the differences from the nearest outcome of the other side: names of results of
            operations (`A#0 move r0 node=1.status`), of pages (`r0:0.node`) and of counters, each
            with both values. Empty if a rule broke, or the other side has no outcome to compare.
    """

    side: str
    proven: bool
    rule: str | None
    detail: str | None
    schedule: str
    times: int
    nearest: Mapping[str, NearestValues]


@dataclass(frozen=True, slots=True)
class Reached:
    """The search of one side.

    Attributes:
        label: the name of the side.
        outcomes: the number of different outcomes.
        schedules: the number of schedules run.
        coverage: `complete` for all schedules, `bounded` for all within the bound on preemptions,
            `incomplete` for a search that stopped early.
        covered: the coverage in words.
        refused: the operations that were refused in every schedule of the side.
    """

    label: str
    outcomes: int
    schedules: int
    coverage: Coverage
    covered: str
    refused: tuple[Refused, ...] = ()

    @property
    def is_exhaustive(self) -> bool:
        """True if the search ran every schedule within its bound on preemptions."""
        return self.coverage in {"complete", "bounded"}


@dataclass(frozen=True, slots=True)
class OutcomeDiff(TwoSides):
    """The difference of a program with threads under two profiles; `print` shows it.

    Attributes:
        labels: the names of the two sides.
        fields: the fields in which the profiles differ, with both values.
        command: the command line that repeats the comparison, for the program in a file.
        program: the text of the program.
        reached: the search of each side.
        outcomes: the outcomes that only one side reaches.
        common: the number of outcomes that both sides reach.
    """

    kind: ClassVar[str] = "outcome-diff"

    reached: PerSide[Reached]
    outcomes: tuple[Outcome, ...]
    common: int

    @property
    def verdict(self) -> str:
        """`differs`, `same` or `inconclusive`.

        `differs`: one side reaches an outcome that the other side is proven not to reach. `same`:
        no such outcome, and both searches ran to their end. `inconclusive`: no such outcome, and a
        search stopped early.
        """
        if any(outcome.proven for outcome in self.outcomes):
            return "differs"
        return "same" if all(side.is_exhaustive for side in self.reached) else "inconclusive"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each outcome, with the attributes of `Outcome`."""
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

    def content(self) -> dict[str, Any]:
        """The program, both searches, and the outcomes that only one side reaches."""
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
        return {
            **TwoSides.content(self),
            "reached": reached,
            "common": self.common,
            "outcomes": self.table,
        }

    def parts(self) -> Iterator[Part]:
        """Both searches, the first outcomes that only one side reaches, and the notes."""
        for side in self.reached:
            yield (
                f"{side.label}: {side.outcomes:,} outcomes"
                f" in {side.schedules:,} schedules ({side.covered})"
            )
        yield f"both: {self.common:,}; one alone: {len(self.outcomes):,}; {self.verdict}"
        lines = [line for each in self.outcomes[:_SHOWN] for line in _lines(each, self.labels)]
        if len(self.outcomes) > _SHOWN:
            lines.append(f"and {len(self.outcomes) - _SHOWN} more")
        yield Listed("\n".join(lines), (*_tables(self.outcomes), self.profiles()))
        yield from self.notes

    @property
    def notes(self) -> list[str]:
        """One line for each operation that was refused in every schedule of a side."""
        sides = (
            refusals.notes(side.refused, f"in all {side.schedules:,} schedules of {side.label}")
            for side in self.reached
        )
        return [note for notes in sides for note in notes]


def _tables(outcomes: tuple[Outcome, ...]) -> tuple[Grid, Grid]:
    """The outcomes, and where each differs from the nearest of the other side, as tables."""
    found, nearest = [], []
    for number, outcome in enumerate(outcomes, 1):
        rule = "" if outcome.rule is None else f"{outcome.rule}: {outcome.detail}"
        known = "proven" if outcome.proven else "not yet elsewhere"
        schedule = outcome.schedule or "(empty)"
        found.append((str(number), outcome.side, known, f"{outcome.times:,}", schedule, rule))
        nearest += [
            (str(number), name, repr(values.own), repr(values.nearest))
            for name, values in outcome.nearest.items()
        ]
    titles = (">outcome", "only under", "search", ">schedules", "first schedule", "broken rule")
    return (
        Grid(columns(*titles), tuple(found), "outcomes of one side alone"),
        Grid(
            columns(">outcome", "result", "here", "nearest on the other side"),
            tuple(nearest),
            "where an outcome parts from the nearest of the other side",
        ),
    )


def _lines(outcome: Outcome, labels: PerSide[str]) -> list[str]:
    other = labels[outcome.side == labels[0]]
    known = "" if outcome.proven else f", not yet under {other}"
    first = outcome.schedule or "(empty)"
    head = f"only {outcome.side}{known}, {outcome.times:,} schedules, first {first}"
    if outcome.rule is not None:
        return [head, f"    breaks a rule: {outcome.rule}: {outcome.detail}"]
    lines = [head]
    for name, values in list(outcome.nearest.items())[:_SHOWN]:
        lines.append(f"    {name}: {values.own!r}, the nearest under {other} {values.nearest!r}")
    if len(outcome.nearest) > _SHOWN:
        lines.append(f"    and {len(outcome.nearest) - _SHOWN} more")
    return lines


def diff_outcomes(
    program: Program,
    sides: Sides,
    preemptions: int | None,
    schedules: int,
    seconds: float | None,
    tell: Callable[[int, int, str], None],
) -> OutcomeDiff:
    """Gathers the outcomes of each side by an exhaustive search and compares the two sets.

    Args:
        program: the program, with threads.
        sides: the two sides.
        preemptions: the bound on preemptions; None for every interleaving.
        schedules: the limit of schedules for each side; 0 for no limit.
        seconds: the time after which the search of each side stops early; None for no limit.
        tell: called before each search with the number of searches done, the number of all, and the
            name of the side.

    Raises:
        InputError: if a side cannot run the program.
        KeyboardInterrupt: on a signal; its `partial` has the outcomes gathered so far.
    """
    request = {"search": "exhaustive", "preemptions": preemptions, "schedules": schedules}
    options = [f"--preemptions={'all' if preemptions is None else preemptions}"]
    options.append(f"--schedules={schedules}")

    def compared(first: dict[str, Any], second: dict[str, Any]) -> OutcomeDiff:
        return _compared(program, sides, sides.command(*options), (first, second))

    tell(0, 2, sides.first.label)
    with keeping(lambda part: compared(part, _NOTHING)):
        one = _gather(program, sides.first, request, seconds)
    try:
        tell(1, 2, sides.second.label)
        with keeping(lambda part: compared(one, part)):
            other = _gather(program, sides.second, request, seconds)
    except KeyboardInterrupt as interruption:
        if partial(interruption) is None:
            keep(interruption, compared(one, _NOTHING))
        raise
    return compared(one, other)


#: The report of a side that the interrupted comparison did not reach.
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
        reached=PerSide(*reached),
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
    """Returns a text that is equal for equal outcomes: the broken rule, or else the end state.

    A broken rule alone is the key: schedules that break one rule are one outcome.
    """
    return json.dumps(outcome["rule"] or outcome["state"], sort_keys=True)


def _alone(
    outcome: Mapping[str, Any],
    label: str,
    others: Mapping[str, Mapping[str, Any]],
    other: Reached,
    mine: Mapping[str, Mapping[str, Any]],
) -> Outcome:
    nearest: Mapping[str, NearestValues] = {}
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


def _parts(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, NearestValues]:
    return {
        name: NearestValues(one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    }
