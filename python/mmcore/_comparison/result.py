"""The result of a comparison, as text, page, plots and JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from mmcore import _output
from mmcore._comparison import work
from mmcore._comparison.figures import Figures
from mmcore._comparison.gates import Gates
from mmcore._comparison.markdown import as_markdown
from mmcore._comparison.plots import plots
from mmcore._comparison.text import grid, preface, time_verdict, work_verdict
from mmcore.reporting import Result

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from mmcore._comparison.gates import Outcome
    from mmcore._comparison.runner import Measurement
    from mmcore.reporting import Part
    from mmcore.typing import Status

__all__ = ["Comparison"]


class Comparison(Figures, Result):
    """The result of `mmcore.compare`: `print` it, or take its parts."""

    kind: ClassVar[str] = "comparison"

    def __init__(self, measurement: Measurement, gates: Gates | None = None) -> None:
        super().__init__(measurement)
        self._gates = gates or Gates()

    @property
    def work(self) -> list[str]:
        """The verdict about work, one line per variant: the same in every run on every machine."""
        return work_verdict(self)

    @property
    def time(self) -> list[str]:
        """The verdict about time on this machine: faster, slower, not resolved, or inconclusive."""
        return time_verdict(self)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcome of each gate for each variant; empty without gates."""
        return self._gates.judge(self)

    @property
    def verdict(self) -> str:
        """The lines of `work`, `time` and `outcomes`; each begins with its kind."""
        lines = [f"work: {line}" for line in self.work]
        lines += [f"time: {line}" for line in self.time]
        return "\n".join([*lines, *map(str, self.outcomes)])

    @property
    def status(self) -> Status:
        """`finding` if a gate is closed, `inconclusive` if a gate or the precision is not decided.

        Without gates: `clean` if the time verdict says something about each variant.
        """
        results = {outcome.result for outcome in self.outcomes}
        if "worse" in results:
            return "finding"
        decided = not self.missed if self._gates.names else self.conclusive
        return "clean" if decided and "inconclusive" not in results else "inconclusive"

    @property
    def command(self) -> str:
        """The command line that repeats the comparison; with policies, the call in Python."""
        return str(self.plan.command)

    @property
    def seed(self) -> int:
        """The seed of the loads and of the order of the variants."""
        return int(self.plan.options.seed)

    @property
    def title(self) -> str:
        """The heading of the web page: the labels of the variants."""
        return f"mmcore compare: {' · '.join(self.labels)}"

    def content(self) -> dict[str, Any]:
        """The configurations, the table and the report of each turn, as plain data for JSON."""
        taken, plan = self.measurement, self.plan
        return {
            "load": plan.options.load,
            "trace": None if plan.trace is None else plan.trace.facts(),
            "configurations": [plan.config(variant) for variant in plan.variants],
            "confidence": 0.95,
            "work": self.work,
            "time": self.time,
            "gates": [outcome.as_dict() for outcome in self.outcomes],
            "builds": [build.as_dict() for build in plan.builds],
            "stopped": taken.stopped,
            "elapsed_s": taken.elapsed,
            "others_cpus": taken.others,
            "dropped_rounds": taken.dropped,
            "table": self.table,
            "verified": taken.verified,
            "samples": [
                {
                    "trial": sample.trial,
                    "round": sample.round,
                    "variant": self.labels[sample.variant],
                    "seed": sample.seed,
                    **sample.report.as_dict(),
                }
                for sample in taken.samples
            ],
        }

    def parts(self) -> Iterator[Part]:
        """The load in words, the table, the verdicts and the plots."""
        yield from preface(self)
        yield ""
        yield grid(self)
        yield ""
        yield self.verdict
        if self.plan.timed:
            yield plots(self)

    def to_markdown(self, path: str | os.PathLike[str] | None = None) -> str:
        """Formats the verdict and the table for a pull request; writes `path` if one is given.

        Raises:
            OSError: if the file cannot be written.
        """
        text = as_markdown(
            self, status=self.status, outcomes=self.outcomes, work=self.work, time=self.time
        )
        if path is not None:
            _output.write(path, text)
        return text

    def save_work(self, path: str | os.PathLike[str]) -> None:
        """Writes the counts to a file that a later comparison is held to.

        Raises:
            OSError: if the file cannot be written.
        """
        work.write(path, self.plan, self.measurement.operations)
