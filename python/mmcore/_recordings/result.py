"""The result of replaying recordings: one row per recording, and their sums."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore._chosen import profile_text, set_options
from mmcore._recordings.compare import Comparison, Difference
from mmcore._recordings.passes import CompactionPass
from mmcore._recordings.rules import rule_of
from mmcore.reporting import Grid, Listed, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mmcore.program import FieldSetting
    from mmcore.reporting import Part
    from mmcore.typing import Status

__all__ = ["Conformance", "Replayed", "from_plain", "plain"]

_STATUS: dict[str, Status] = {
    "match": "clean",
    "differs": "finding",
    "unread": "unusable",
    "incomplete": "inconclusive",
}


@dataclass(frozen=True, slots=True)
class Replayed:
    """One recording with the outcome of its comparison.

    Attributes:
        name: the name of the recording.
        kernel: the preset under which the recording was replayed.
        comparison: the outcome of the comparison.
        total: the number of steps of the recording.
        matches: whether the recording counts as matching.
        passes: its compaction passes, each on a machine arranged by the layout recorded before it.
    """

    name: str
    kernel: str
    comparison: Comparison
    total: int
    matches: bool
    passes: tuple[CompactionPass, ...] = ()


def plain(row: Replayed) -> dict[str, Any]:
    """The attributes of a row as plain data, as JSON has them."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(row)))
    return data


def from_plain(data: Mapping[str, Any]) -> Replayed:
    """The row from the data of `plain`."""
    outcome = data["comparison"]
    comparison = {
        **outcome,
        "differences": _differences(outcome),
        "findings": tuple(outcome["findings"]),
    }
    passes = ({**each, "differences": _differences(each)} for each in data["passes"])
    return Replayed(
        **{
            **data,
            "comparison": Comparison(**comparison),
            "passes": tuple(CompactionPass(**each) for each in passes),
        }
    )


def _differences(data: Mapping[str, Any]) -> tuple[Difference, ...]:
    return tuple(Difference(**each) for each in data["differences"])


@dataclass(frozen=True, slots=True)
class Conformance(Result):
    """The result of `mmcore.conformance`: `print` it, or take its parts.

    Attributes:
        rows: one row per recording, in the order of the call.
        until_unsupported: whether a recording with an operation that the machine cannot do still
            counts as matching, if all steps before the operation match.
        paths: the files and folders of the call.
        unread: one line for each file that could not be compared, with the reason.
        complete: whether all recordings were compared; False after an interruption.
        kernel: the preset for all recordings; None if each has the preset of its own kernel.
        fields_set: the profile fields that are set over the preset.
    """

    kind: ClassVar[str] = "conformance"

    rows: tuple[Replayed, ...]
    until_unsupported: bool = False
    paths: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    complete: bool = True
    kernel: str | None = None
    fields_set: tuple[FieldSetting, ...] = ()

    @property
    def verdict(self) -> str:
        """`match` if every recording matches, `differs` if one does not.

        If all compared recordings match: `unread` if a file could not be compared, or `incomplete`
        if an interruption left recordings out.
        """
        if not all(row.matches for row in self.rows):
            return "differs"
        return "unread" if self.unread else "match" if self.complete else "incomplete"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row per recording, as plain data: name, kernel, verdict, matching and total steps."""
        return [_row(row) for row in self.rows]

    @property
    def fields(self) -> dict[str, int]:
        """For each field, the number of recordings in which it is the first to differ."""
        first = (row.comparison.differences[:1] for row in self.rows)
        return dict(Counter(found[0].name for found in first if found).most_common())

    @property
    def unsupported(self) -> dict[str, int]:
        """For each reason, the number of recordings that end at an unsupported operation."""
        reasons = (row.comparison.reason for row in self.rows)
        return dict(Counter(reason for reason in reasons if reason is not None).most_common())

    @property
    def passes(self) -> tuple[int, int]:
        """The number of compaction passes that match move by move, and of all comparable passes."""
        passes = [each for row in self.rows for each in row.passes if not each.reason]
        return sum(each.matches for each in passes), len(passes)

    @property
    def command(self) -> str:
        """The command line that repeats the comparison; with a whole profile, the call."""
        fields = dict(self.fields_set)
        if self.kernel is not None:
            until = ", until_unsupported=True" if self.until_unsupported else ""
            profile = profile_text(self.kernel, fields)
            return f"mmcore.conformance({list(self.paths)!r}, profile={profile}{until})"
        option = ["--until-unsupported"] if self.until_unsupported else []
        return shlex.join(["mmcore", "conformance", *self.paths, *set_options(fields), *option])

    @property
    def status(self) -> Status:
        """The verdict as one of the four words that all results share."""
        return _STATUS[self.verdict]

    def content(self) -> dict[str, Any]:
        """The rows, the unread files, and the counts by field and reason, as plain data."""
        return {
            "until_unsupported": self.until_unsupported,
            "recordings": self.table,
            "unread": list(self.unread),
            "complete": self.complete,
            "fields": self.fields,
            "unsupported": self.unsupported,
            "passes": dict(zip(("matching", "of"), self.passes, strict=True)),
        }

    def parts(self) -> Iterator[Part]:
        """Each recording with its first differences, then the sums."""
        lines = [line for row in self.rows for line in _lines(row)]
        unread = Grid(columns("could not be compared"), tuple((each,) for each in self.unread))
        yield Listed("\n".join(lines), (*_tables(self.rows), unread))
        matching = sum(row.matches for row in self.rows)
        yield f"{matching} of {len(self.rows)} recordings match"
        same, passes = self.passes
        if passes:
            yield f"{same} of {passes} compaction passes match move by move"
        if self.fields:
            yield f"first to differ: {_counted(self.fields)}"
        if self.unread:
            yield f"{len(self.unread)} could not be compared"
        if not self.complete:
            yield "incomplete: interrupted before the last recording"
        if self.unsupported:
            yield f"not built: {_counted(self.unsupported)}"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _row(row: Replayed) -> dict[str, Any]:
    outcome = row.comparison
    data: dict[str, Any] = {"name": row.name, "kernel": row.kernel, "verdict": outcome.verdict}
    data |= {"matches": row.matches, "steps": outcome.steps, "of": row.total}
    if outcome.differences:
        data["differences"] = [
            {
                "step": found.step,
                "op": found.op,
                "field": found.field,
                "recorded": found.recorded,
                "replayed": found.replayed,
                "rule": rule_of(found),
            }
            for found in outcome.differences
        ]
    if outcome.unsupported is not None:
        data |= {"unsupported": outcome.unsupported, "reason": outcome.reason}
    if outcome.findings:
        data["findings"] = list(outcome.findings)
    if row.passes:
        data["passes"] = [
            {
                "step": each.step,
                "op": each.op,
                "moves": each.moves,
                "matching": each.matching,
                "matches": each.matches,
                "differences": [
                    {"field": d.field, "recorded": d.recorded, "replayed": d.replayed}
                    for d in each.differences
                ],
                **({"reason": each.reason} if each.reason else {}),
            }
            for each in row.passes
        ]
    return data


def _lines(row: Replayed) -> list[str]:
    return [*_script_lines(row), *(line for each in row.passes for line in _pass_lines(each))]


def _pass_lines(each: CompactionPass) -> list[str]:
    if each.reason:
        return [f"  pass at step {each.step}, {each.op}: not comparable: {each.reason}"]
    head = f"  pass at step {each.step}, {each.op}: {each.matching} of {each.moves} moves"
    return [
        head if each.matches else f"{head}, then it differs",
        *(
            f"    {found.field}: recorded {found.recorded!r}, replayed {found.replayed!r}"
            for found in each.differences
        ),
    ]


def _tables(rows: tuple[Replayed, ...]) -> tuple[Grid, ...]:
    """The recordings, their differences, and their compaction passes, as tables of a page."""
    compared, parted, passed = [], [], []
    for row in rows:
        outcome, name = row.comparison, f"{row.kernel} {row.name}"
        ends = ""
        if outcome.unsupported is not None:
            ends = f"{outcome.unsupported}: {outcome.reason}"
        elif outcome.differences:
            ends = outcome.differences[0].op or "the end"
        steps = f"{outcome.steps:,} of {row.total:,}"
        compared.append((name, outcome.verdict, steps, ends))
        parted += [
            (name, str(d.step), d.op or "the end", d.field, *_sides(d), rule_of(d))
            for d in outcome.differences
        ]
        for each in row.passes:
            moves = each.reason or f"{each.matching} of {each.moves}"
            passed.append((name, str(each.step), each.op, moves))
            parted += [
                (name, str(each.step), each.op, d.field, *_sides(d), "") for d in each.differences
            ]
    sides = ("recorded", "replayed")
    return (
        Grid(columns("recording", "verdict", ">steps", "ends at"), tuple(compared), "recordings"),
        Grid(
            columns("recording", ">step", "operation", "field", *sides, "rule"),
            tuple(parted),
            "what differs",
        ),
        Grid(columns("recording", ">step", "operation", ">moves"), tuple(passed), "compactions"),
    )


def _sides(difference: Difference) -> tuple[str, str]:
    return repr(difference.recorded), repr(difference.replayed)


def _script_lines(row: Replayed) -> list[str]:
    outcome = row.comparison
    head = f"{row.kernel} {row.name}: {outcome.verdict}"
    if outcome.verdict == "match":
        return [head]
    if outcome.unsupported is not None:
        where = f"step {outcome.steps} of {row.total}, {outcome.unsupported}"
        return [f"{head} at {where}: {outcome.reason}"]
    first = outcome.differences[0]
    lines = [f"{head} at step {first.step}, {first.op or 'the end'} (rule {rule_of(first)})"]
    lines.extend(
        f"  {found.field}: recorded {found.recorded!r}, replayed {found.replayed!r}"
        for found in outcome.differences[:8]
    )
    if len(outcome.differences) > 8:
        lines.append(f"  and {len(outcome.differences) - 8} more")
    return lines
