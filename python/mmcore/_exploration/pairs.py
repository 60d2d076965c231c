"""The coverage of a search: the pairs of steps and the lines of the core that it interleaved."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmcore.reporting import Grid, Result
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcore.reporting import Part
    from mmcore.typing import Status

__all__ = ["CoveredLine", "Pair", "Pairs", "merged"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two functions of the core whose steps on one object came one right after the other.

    The two steps are of different threads, they are neighbours among the accesses to one word or
    lock, and at least one of them changes it.

    Attributes:
        object: the kind of the word or lock, such as `page word` or `lruvec lock`.
        first: the function of one step; for a lock the function that took it.
        second: the function of the other step. It may be the same function.
        first_then_second: the number of schedules in which the step of `first` came first. All
            schedules if both steps are of one function.
        second_then_first: the number of schedules in which the step of `second` came first.
    """

    object: str
    first: str
    second: str
    first_then_second: int
    second_then_first: int

    @property
    def name(self) -> tuple[str, str, str]:
        """Object and functions, which tell one pair from another."""
        return self.object, self.first, self.second

    @property
    def is_one_way(self) -> bool:
        """True if two different functions were seen in one order alone."""
        return self.first != self.second and 0 in (self.first_then_second, self.second_then_first)


@dataclass(frozen=True, slots=True)
class CoveredLine:
    """A line of the core that took steps.

    Attributes:
        place: the file and the line, `migrate/one.rs:120`.
        function: the function around it.
        schedules: the number of schedules in which the line took a step.
        interleaved: the number of schedules in which a step of the line was in a pair.
    """

    place: str
    function: str
    schedules: int
    interleaved: int


@dataclass(frozen=True, slots=True)
class Pairs(Result):
    """The pairs of steps that a search interleaved; `print` shows them.

    A pair that a search has not seen was not tested, even if no rule broke. The counts are of the
    schedules up to a counterexample; those that shrink it are not counted.

    Attributes:
        pairs: the pairs, by object and functions.
        lines: the lines of the core that took steps, by file.
        command: the command line that repeats the search.
    """

    kind: ClassVar[str] = "pairs"

    pairs: tuple[Pair, ...]
    lines: tuple[CoveredLine, ...]
    command: str

    @classmethod
    def from_report(cls, report: dict[str, Any], command: str) -> Pairs:
        """Makes the pairs from their part of the core's report."""
        pairs = tuple(Pair(**row) for row in report["pairs"])
        return cls(pairs, tuple(CoveredLine(**row) for row in report["lines"]), command)

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each pair, with the attributes of `Pair`."""
        return [asdict(pair) for pair in self.pairs]

    @property
    def verdict(self) -> str:
        """The numbers of pairs and of lines."""
        one_way = sum(pair.is_one_way for pair in self.pairs)
        interleaved = sum(line.interleaved > 0 for line in self.lines)
        return (
            f"{len(self.pairs):,} pairs of steps interleaved, {one_way:,} of them in one order"
            f" only; {interleaved:,} of the {len(self.lines):,} lines with steps are in a pair"
        )

    @property
    def status(self) -> Status:
        """`clean`: a pair is no finding."""
        return "clean"

    @property
    def title(self) -> str:
        """The number of pairs."""
        return f"{len(self.pairs):,} pairs of steps"

    def content(self) -> dict[str, Any]:
        """The pairs and the lines as plain data."""
        return {"pairs": self.table, "lines": [asdict(line) for line in self.lines]}

    def parts(self) -> Iterator[Part]:
        """The numbers, the pairs and the lines."""
        yield self.verdict
        yield ""
        yield Grid(
            columns("word or lock", "first", "second", ">first, second", ">second, first"),
            tuple(
                (*pair.name, _count(pair.first_then_second), _reverse(pair)) for pair in self.pairs
            ),
            "Pairs of steps, and the number of schedules with each order",
        )
        yield ""
        yield Grid(
            columns("line", "in", ">schedules", ">in a pair"),
            tuple(
                (line.place, line.function, _count(line.schedules), _count(line.interleaved))
                for line in self.lines
            ),
            "Lines of the core with steps, and the number of schedules",
        )


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _reverse(pair: Pair) -> str:
    return "" if pair.first == pair.second else _count(pair.second_then_first)


def merged(reports: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Adds up the pairs and lines in the reports of the parts of a search."""
    pairs: dict[tuple[str, ...], Counter[str]] = {}
    lines: dict[tuple[str, ...], Counter[str]] = {}
    for report in reports:
        for rows, sums, keys in (
            (report["pairs"], pairs, ("object", "first", "second")),
            (report["lines"], lines, ("place", "function")),
        ):
            for row in rows:
                counts = sums.setdefault(tuple(row[key] for key in keys), Counter())
                counts.update({name: n for name, n in row.items() if name not in keys})
    return {
        "pairs": [
            {"object": key[0], "first": key[1], "second": key[2], **counts}
            for key, counts in sorted(pairs.items())
        ],
        "lines": [
            {"place": key[0], "function": key[1], **counts} for key, counts in sorted(lines.items())
        ],
    }
