"""Prints what the benchmarks measured beside the targets of `docs/performance.md`, in one table.

    python benches/table.py --criterion FOLDER --gungraun FOLDER --python FILE

`make bench` runs the benchmarks first, and gives the folders and the file in which they leave their
figures. A figure that is worse than its target is shown as missed; a row whose benchmark did not
run says so.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: The design of a machine for which none is chosen.
DEFAULT = "split"

#: The pages that the benchmark of instructions moves, there and back.
PAGES_THERE_AND_BACK = 2 * 310


@dataclass(frozen=True)
class Figure:
    """A measured value with its interval of 95 %, if it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    def inverse(self) -> "Figure":
        """Speed from time, or the other way round."""
        if self.low is None or self.high is None:
            return Figure(1 / self.value)
        return Figure(1 / self.value, 1 / self.high, 1 / self.low)

    def times(self, factor: float) -> "Figure":
        """The figure in another unit."""
        if self.low is None or self.high is None:
            return Figure(factor * self.value)
        return Figure(factor * self.value, factor * self.low, factor * self.high)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Row:
    """A row of the table: what is measured, in which unit, and the target.

    Attributes:
        what: the measured quantity, with its unit.
        measured: the figure; None if its benchmark did not run.
        target: the bound; None for a figure without one.
        most: whether the target is the most that is allowed; otherwise it is the least.
    """

    what: str
    measured: Figure | None
    target: float | None = None
    most: bool = False

    @property
    def verdict(self) -> str:
        """Tells in words if the target is met. The figure decides, not its interval."""
        if self.measured is None:
            return "not measured"
        if self.target is None:
            return ""
        value = self.measured.value
        return "met" if (value <= self.target if self.most else value >= self.target) else "MISSED"

    @property
    def bound(self) -> str:
        """The target in words."""
        if self.target is None:
            return ""
        return f"{'at most' if self.most else 'at least'} {self.target:.4g}"


class Results:
    """The figures that the harnesses have left."""

    def __init__(self, criterion: Path, gungraun: Path, python: Path) -> None:
        self._criterion = criterion
        self._gungraun = gungraun
        self._python = python

    def criterion(self, group: str, name: str) -> Figure | None:
        """The median of a benchmark of Criterion, in the unit of its measurement."""
        path = self._criterion / group / name / "new" / "estimates.json"
        if not path.exists():
            return None
        median = json.loads(path.read_text())["median"]
        interval = median["confidence_interval"]
        return Figure(median["point_estimate"], interval["lower_bound"], interval["upper_bound"])

    def instructions(self, design: str) -> Figure | None:
        """The instructions of a migrated page, counted by callgrind."""
        for path in sorted(self._gungraun.rglob("summary.json")):
            summary = json.loads(path.read_text())
            if summary["function_name"] == design:
                return Figure(counted(summary) / PAGES_THERE_AND_BACK)
        return None

    def python(self, name: str, extra: str | None = None) -> Figure | None:
        """The calls a second of a benchmark of pytest-benchmark, in the median.

        Args:
            name: the name of the benchmark.
            extra: the key of `extra_info` that says how much a call does; left out: one.
        """
        if not self._python.exists():
            return None
        for each in json.loads(self._python.read_text())["benchmarks"]:
            if each["name"] == name:
                done = 1 if extra is None else each["extra_info"][extra]
                return Figure(done / each["stats"]["median"])
        return None


def counted(summary: dict) -> int:
    """The instructions in a summary of gungraun."""
    return summary["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"]["new"]


def having(figure: Figure | None, change: Callable[[Figure], Figure]) -> Figure | None:
    return None if figure is None else change(figure)


def rows(results: Results) -> list[Row]:
    """All rows, in the order of the documents."""

    def speed(group: str, name: str) -> Figure | None:
        return having(results.criterion(group, name), Figure.inverse)

    def rate(group: str, name: str) -> Figure | None:
        # From nanoseconds each to millions a second.
        return having(results.criterion(group, name), lambda f: f.inverse().times(1e3))

    twice = speed("threads", "memcpy")
    both = 1.7 if twice is None else min(1.7, twice.value)
    table = [
        Row("migration of cold pages, x memcpy", speed("migrate", DEFAULT), 1.25),
        Row("the same, x the best copy", speed("migrate beside copy", DEFAULT), 0.8),
        Row("the same by two threads, x one", speed("threads", DEFAULT), both),
        Row("memcpy by two threads, x one", twice),
        Row(
            "the protocol alone, cold, ns a page", results.criterion("protocol", "cold"), 150, True
        ),
        Row("the protocol alone, warm, ns a page", results.criterion("protocol", "warm"), 70, True),
        Row("instructions a migrated page", results.instructions(DEFAULT), 1302, True),
        Row("get and put, x a bare pair", results.criterion("references", "alone"), 1.15, True),
        Row("the same, contended", results.criterion("references", "contended"), 1.15, True),
    ]
    for pages in ("310", "65536", "262144"):
        what = f"last put of one of {int(pages):,} pages, ns"
        table.append(Row(what, results.criterion("last put", pages), 40, True))
    isolated = results.criterion("isolate and put back", "262144")
    on_nodes = speed("isolate and put back on two nodes", "262144")
    two_by_two = rate("a schedule", "mmcore, uniform walk")
    one_call = having(
        results.python("test_schedules_of_one_call", "schedules"), lambda f: f.times(1e-6)
    )

    def beside_libcachesim(policy: str, peer: str) -> Figure | None:
        ours = results.python(f"test_replay[{policy}]", "requests")
        theirs = results.python(f"test_libcachesim[{peer}]", "requests")
        return None if ours is None or theirs is None else ours.times(1 / theirs.value)

    return [
        *table,
        Row("isolate and put back, ns a page", isolated, 15, True),
        Row("the same by two threads on two nodes, x one", on_nodes, 1.7),
        Row(
            "machine of 2^28 frames, processor seconds",
            having(results.criterion("machine", "268435456"), lambda f: f.times(1e-9)),
            1,
            True,
        ),
        Row("2 x 2 get and put, M schedules/s", two_by_two, 5),
        Row("long get and put, M steps/s", rate("a step", "mmcore, 100 pairs, uniform walk"), 50),
        Row("the same from one Python call, M schedules/s", one_call, 1.5),
        Row("replay of lru, x libCacheSim", beside_libcachesim("lru", "lru"), 4),
        Row("replay of clock, x libCacheSim", beside_libcachesim("clock", "clock"), 4),
        Row("replay of two_list, x libCacheSim's lru", beside_libcachesim("two_list", "lru"), 2),
        # Without a benchmark yet.
        Row("migration, x pages/s of the kernel's compaction", None, 3),
        Row("one Python method, x an empty PyO3 method", None, 1.3, True),
        Row("NumPy batch call, x native", None, 1.1, True),
        Row("cost a page by frames, mappings, regions and threads, x memory's", None, 1, True),
    ]


def text(table: list[Row]) -> str:
    """The table as Markdown, its columns aligned."""
    lines = [("what", "measured (95 %)", "target", "")]
    lines += [
        (row.what, "" if row.measured is None else str(row.measured), row.bound, row.verdict)
        for row in table
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    lines.insert(1, tuple("-" * max(3, width) for width in widths))
    padded = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    return "\n".join(f"| {line} |" for line in padded)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--criterion", type=Path, required=True)
    parser.add_argument("--gungraun", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    options = parser.parse_args()
    table = rows(Results(options.criterion, options.gungraun, options.python))
    print(text(table))
    missed = sum(row.verdict == "MISSED" for row in table)
    unknown = sum(row.verdict == "not measured" for row in table)
    print(f"\n{missed} targets missed, {unknown} not measured, of {len(table)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
