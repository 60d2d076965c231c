"""What came of replaying recordings."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcore.environment import document
from mmcore.recordings.rules import rule_of

if TYPE_CHECKING:
    from mmcore.recordings.compare import Comparison

__all__ = ["Conformance", "Replayed"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One recording and what came of it.

    Attributes:
        name: the recording's name.
        kernel: the profile under which it was replayed.
        comparison: the outcome.
        total: how many steps the recording has.
        matches: whether it counts as matching.
    """

    name: str
    kernel: str
    comparison: Comparison
    total: int
    matches: bool


@dataclass(frozen=True, slots=True)
class Conformance:
    """Recordings of real kernels against the machine: `print` it, or take its parts.

    Attributes:
        rows: one for each recording, in the order given.
        until_unsupported: whether what the machine cannot do ends a recording without fault.
        paths: the files and folders that were named.
        unread: a line for each recording that could not be compared: its file, and why.
        complete: whether all were looked at; an interruption leaves some out.
    """

    rows: tuple[Replayed, ...]
    until_unsupported: bool = False
    paths: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    complete: bool = True

    @property
    def verdict(self) -> str:
        """`match` if every recording matches, `differs` if one does not.

        `unread` if some could not be compared, and the others match; `incomplete` if an
        interruption has left some out, and the others match.
        """
        if not all(row.matches for row in self.rows):
            return "differs"
        return "unread" if self.unread else "match" if self.complete else "incomplete"

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row a recording, as plain data: its name, kernel, verdict, and how far it went."""
        return [_row(row) for row in self.rows]

    @property
    def fields(self) -> dict[str, int]:
        """By field: in how many recordings it is the first that differs."""
        first = (row.comparison.differences[:1] for row in self.rows)
        return dict(Counter(found[0].name for found in first if found).most_common())

    @property
    def unsupported(self) -> dict[str, int]:
        """By reason: how many recordings end at something that the machine cannot do."""
        reasons = (row.comparison.reason for row in self.rows)
        return dict(Counter(reason for reason in reasons if reason is not None).most_common())

    def to_json(self) -> str:
        """One object with `"schema": 1`."""
        option = ["--until-unsupported"] if self.until_unsupported else []
        command = shlex.join(["mmcore", "conformance", *self.paths, *option])
        data = document("conformance", command) | {"verdict": self.verdict}
        data |= {"until_unsupported": self.until_unsupported, "recordings": self.table}
        data |= {"unread": self.unread, "complete": self.complete}
        return json.dumps(data | {"fields": self.fields, "unsupported": self.unsupported})

    def __str__(self) -> str:
        lines: list[str] = []
        for row in self.rows:
            lines.extend(_lines(row))
        matching = sum(row.matches for row in self.rows)
        lines.append(f"{matching} of {len(self.rows)} recordings match")
        if self.fields:
            lines.append("first to differ: " + _counted(self.fields))
        if self.unread:
            lines.append(f"{len(self.unread)} could not be compared")
        if not self.complete:
            lines.append("incomplete: interrupted before the last recording")
        if self.unsupported:
            lines.append("not built: " + _counted(self.unsupported))
        return "\n".join(lines)


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
    return data


def _lines(row: Replayed) -> list[str]:
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
