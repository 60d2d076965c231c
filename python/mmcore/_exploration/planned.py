"""The search of one program as plain data, divided into blocks of drawn schedules.

A sample of many schedules is drawn in blocks of 65,536. The first block has the seed of the
search, each other block a seed that follows from this seed and the number of the block. A block is
the part of a search that a worker of an executor does. A search without an executor draws the same
blocks one after another, so that both have the same result. An exhaustive search is one part.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcore import _mmcore
from mmcore._exploration.calling import call
from mmcore._interrupted import keeping
from mmcore._spread import STOP, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ENDLESS", "Planned", "explored"]

#: The schedules of a block.
_BLOCK = 1 << 16

#: The seconds left to a search whose time is up: the search only reads its program.
_INSTANT = 1e-9

#: The number of schedules of a search that only time ends: it is never reached.
ENDLESS = 1 << 48


@dataclass(frozen=True, slots=True)
class Planned:
    """The search of one program.

    Attributes:
        program: the program as JSON.
        options: the options of the core.
        owners: owners of movable pages that the caller has written; None for none.
        seconds: the time after which the search stops early; None for no limit.
    """

    program: str
    options: dict[str, Any]
    owners: dict[str, Any] | None = None
    seconds: float | None = None

    @property
    def is_sample(self) -> bool:
        """True if schedules are drawn."""
        return bool(self.options["search"] != "exhaustive")

    @property
    def wanted(self) -> int:
        """The number of schedules to run; for an exhaustive search its limit, 0 for none."""
        return int(self.options["schedules"])

    def parts(self, deadline: float | None = None) -> Iterator[Part]:
        """The parts of the search, each made when it is asked for.

        Args:
            deadline: the time of `time.time` at which parts end themselves; None for none.
        """
        common = {
            "program": self.program,
            "owners": self.owners,
            "seconds": self.seconds,
            "deadline": deadline,
        }
        if not self.is_sample:
            yield Part("the exhaustive search", {**common, "options": self.options})
            return
        seed = self.options["seed"]
        for number, first in enumerate(range(0, self.wanted, _BLOCK)):
            last = min(first + _BLOCK, self.wanted)
            own = {"schedules": last - first, "seed": _seed(seed, number)}
            label = f"schedules {first:,} to {last - 1:,}"
            yield Part(label, {**common, "options": self.options | own})

    def is_whole(self, report: dict[str, Any] | None) -> bool:
        """True if a report is that of a whole part, which no clock has cut short."""
        if report is None:
            return False
        found = report["counterexample"]
        if found is not None:
            # The clock can also end the shrinking.
            return bool(found["minimal"] or found["shrink_runs"] >= self.options["shrink"])
        limited = not self.is_sample and 0 < self.wanted <= report["schedules"]
        return bool(limited or report["coverage"] != "incomplete")

    def together(self, reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The report of the whole search, from those of its parts.

        The search ends at the first counterexample: later parts are not among `reports`.
        """
        report, *others = reports
        if not self.is_sample or (not others and self.wanted <= _BLOCK):
            return report
        schedules, steps = report["schedules"], report["steps"]
        refused = {_place(row): row for row in report["refused"]}
        for other in others:
            report = other
            here = {_place(row): row for row in other["refused"]}
            # An operation that had an effect in one part was not refused in all schedules.
            refused = {
                place: {**row, "errnos": sorted({*row["errnos"], *here[place]["errnos"]})}
                for place, row in refused.items()
                if place in here
            }
            found = other["counterexample"]
            if found is not None:
                report = {**other, "counterexample": {**found, "index": schedules + found["index"]}}
            schedules, steps = schedules + other["schedules"], steps + other["steps"]
        if "pairs" in report:
            # Imported here and not above: few searches are asked for their pairs.
            from mmcore._exploration.pairs import merged

            report = {**report, "pairs": merged(each["pairs"] for each in reports)}
        report = {**report, "schedules": schedules, "steps": steps, "refused": [*refused.values()]}
        if report["counterexample"] is None:
            full = schedules == self.wanted
            why = f"stopped after {schedules} of {self.wanted} schedules"
            report["coverage"] = "sampled" if full else "incomplete"
            report["covered"] = "drawn at random, not exhaustive" if full else why
        return report

    def nothing(self) -> dict[str, Any]:
        """The report of a search whose time was up before its first part had begun."""
        for part in self.parts():
            report = explored({**part.task, "seconds": _INSTANT})
            if report is not None:
                return self.together([report])
        raise AssertionError("a search has a part")

    def report(self) -> dict[str, Any]:
        """Searches in this thread, part by part, and returns the report.

        Raises:
            InputError: if the core refuses the program or an option.
            KeyboardInterrupt: on a signal; its `partial` is the report so far.
        """
        reports: list[dict[str, Any]] = []
        end = None if self.seconds is None else time.time() + self.seconds
        with keeping(lambda partial: self.together([*reports, partial])):
            for part in self.parts(end):
                report = explored(part.task)
                if report is None:
                    break
                reports.append(report)
                if report["counterexample"] is not None or report["coverage"] == "incomplete":
                    break
        return self.together(reports) if reports else self.nothing()


def explored(task: dict[str, Any]) -> dict[str, Any] | None:
    """Does one part of a search, in any process; None if its deadline has passed already.

    The deadline is the time of a clock that all computers share. A worker whose clock is wrong
    still ends after the seconds of the whole search.
    """
    seconds = task["seconds"]
    if task["deadline"] is not None:
        seconds = min(seconds, task["deadline"] - time.time())
        if seconds <= 0:
            return None
    report: dict[str, Any] = call(
        _mmcore.explore,
        task["program"],
        json.dumps(task["options"]),
        seconds,
        STOP.get(),
        task["owners"],
    )
    return report


def _place(row: dict[str, Any]) -> tuple[str, int]:
    """Section and number of a refused operation."""
    return row["section"], row["i"]


def _seed(seed: int, block: int) -> int:
    """The seed of a block; the first block has the seed of the search."""
    if block == 0:
        return seed
    # Imported here and not above: few searches have a second block.
    from hashlib import blake2b

    digest = blake2b(f"{seed},{block}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
