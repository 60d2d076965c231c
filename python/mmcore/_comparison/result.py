"""The result of a comparison, as text, page, plots and JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from mmcore._comparison import stats
from mmcore._comparison.figures import Figures
from mmcore._comparison.plots import plots
from mmcore._comparison.text import grid, preface, sentence
from mmcore.reporting import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcore.reporting import Part
    from mmcore.typing import Status

__all__ = ["Comparison"]


class Comparison(Figures, Result):
    """The result of `mmcore.compare`: `print` it, or take its parts."""

    kind: ClassVar[str] = "comparison"

    @property
    def verdict(self) -> str:
        """One line per variant: faster, slower, or no difference resolved."""
        if not self.conclusive:
            return (
                f"inconclusive: {2 * len(self.block_log_ratios(1))} trials are fewer"
                f" than {2 * stats.MIN_BLOCKS}; give more --seconds"
            )
        return "\n".join(
            sentence(label, self.labels[0], self.interval(index), self.plan.primary_text)
            for index, label in enumerate(self.labels)
            if index > 0
        )

    @property
    def status(self) -> Status:
        """`clean` if there are enough rounds for intervals, whatever they show."""
        return "clean" if self.conclusive else "inconclusive"

    @property
    def command(self) -> str:
        """The command line that repeats the comparison; with policies or fields, the call."""
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
            "stopped": taken.stopped,
            "elapsed_s": taken.elapsed,
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
        """The load in words, the table, the verdict and the plots."""
        yield from preface(self)
        yield ""
        yield grid(self)
        yield ""
        yield self.verdict
        yield plots(self)
