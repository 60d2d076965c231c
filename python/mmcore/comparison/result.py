"""The outcome of a comparison."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore import _output
from mmcore.comparison import stats
from mmcore.comparison.histogram import Histogram
from mmcore.comparison.text import as_text, sentence
from mmcore.environment import document

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from mmcore.comparison.runner import Measurement

__all__ = ["Comparison"]

QUANTILES = {"p50_ns": 0.5, "p99_ns": 0.99, "p99.9_ns": 0.999}


class Comparison:
    """What `mmcore.compare` found: `print` it, or take its parts.

    Attributes:
        measurement: everything that was observed, turn by turn.
    """

    def __init__(self, measurement: Measurement) -> None:
        self.measurement = measurement

    @property
    def plan(self) -> Any:
        """What was asked for."""
        return self.measurement.plan

    @property
    def labels(self) -> list[str]:
        """The variants' names, the baseline first."""
        return [variant.label for variant in self.plan.variants]

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        """One row a variant, as plain numbers.

        Keys: `variant`; `pages_per_s`, `pages_per_cpu_s`, `accesses_per_modelled_s` (medians of the
        rounds; None without accesses); `ratio`, of `primary`, and `ratio_wall` (to the baseline,
        None for itself: `ratio`, `low`, `high`, `resolved`; of policies there is no `ratio_wall`);
        `latency` (quantiles of the time a page, batch by batch); `migrated`, `retries`, `failed`
        (sums); `per_page` (operations of the counting build for one migrated page);
        `share_of_memcpy` (pages a processor second, relative to a bare `memcpy` of cold pages, in
        the rounds of one trial, which have one); `modelled_ns_per_access`; `fast_share` (accesses
        that found their page on the first node).
        """
        return [self._row(index) for index in range(len(self.plan.variants))]

    def _row(self, index: int) -> dict[str, Any]:
        taken = self.measurement
        reports = [sample.report for sample in taken.samples if sample.variant == index]
        latency = Histogram(report.latency_ns for report in reports)
        accesses = sum(report.accesses for report in reports)
        modelled = sum(report.modelled_ns for report in reports)
        # In a storm no node is the better one.
        tiers = self.plan.load == "tiering" and accesses and reports[0].accesses_by_node
        fast = sum(report.accesses_by_node[0] for report in reports) if tiers else 0
        return {
            "variant": self.labels[index],
            "pages_per_s": _median(taken.values(index, "pages_per_s")),
            "pages_per_cpu_s": _median(taken.values(index, "pages_per_cpu_s")),
            "accesses_per_modelled_s": 1e9 * accesses / modelled if modelled else None,
            "primary": self.plan.primary,
            "ratio": self._interval(index, self.plan.primary),
            # Of policies one may move nothing at all: no ratio to that.
            "ratio_wall": None if self.plan.has_policies else self._interval(index, "pages_per_s"),
            "latency": {name: latency.quantile(q) for name, q in QUANTILES.items()},
            "migrated": sum(report.migrated for report in reports),
            "retries": sum(report.retries for report in reports),
            "failed": sum(report.failed for report in reports),
            "per_page": taken.operations[index],
            "share_of_memcpy": self._share_of_memcpy(index),
            "modelled_ns_per_access": modelled / accesses if accesses else None,
            "fast_share": fast / accesses if tiers else None,
        }

    def _share_of_memcpy(self, index: int) -> float | None:
        copied = self.measurement.values(index, "memcpy_pages_per_s")
        speed = self.measurement.values(index, "pages_per_cpu_s")
        return _median(speed[copied > 0] / copied[copied > 0])

    def _interval(self, index: int, attribute: str) -> dict[str, Any] | None:
        return None if index == 0 else self.interval(index, attribute).as_dict()

    def interval(self, index: int, attribute: str | None = None) -> stats.Interval:
        """The ratio of variant `index` to the baseline, in the primary measure by default."""
        return stats.ratio_interval(
            self.block_log_ratios(index, attribute),
            comparisons=len(self.plan.variants) - 1,
            seed=self.plan.seed,
        )

    def block_log_ratios(self, index: int, attribute: str | None = None) -> NDArray[np.float64]:
        """What the interval is made of: the mean log-ratio to the baseline, block by block."""
        taken, attribute = self.measurement, attribute or self.plan.primary
        values, baseline = taken.values(index, attribute), taken.values(0, attribute)
        return stats.blocks(values, baseline, taken.trials).means

    @property
    def samples(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Of each variant, each measured number round by round."""
        names = ["pages_per_s", "pages_per_cpu_s", "migrated", "retries", "failed"]
        names.append("memcpy_pages_per_s")
        if self.plan.has_policies:
            names.append(self.plan.primary)
        return {
            label: {name: self.measurement.values(index, name) for name in names}
            for index, label in enumerate(self.labels)
        }

    @property
    def conclusive(self) -> bool:
        """Whether there were enough rounds for intervals."""
        return len(self.block_log_ratios(1)) >= stats.MIN_BLOCKS

    @property
    def verdict(self) -> str:
        """One line a variant: faster, slower, or no difference resolved."""
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

    def __str__(self) -> str:
        return f"{as_text(self)}\n\n{self.verdict}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain data."""
        taken, plan = self.measurement, self.plan
        trace = plan.trace
        return {
            **document("comparison", plan.command),
            "seed": plan.seed,
            "load": plan.load,
            "trace": None
            if trace is None
            else {
                "source": trace.source,
                "accesses": len(trace),
                "pages": trace.footprint,
                "digest": trace.digest,
            },
            "configurations": [plan.config(variant) for variant in plan.variants],
            "confidence": 0.95,
            "stopped": taken.stopped,
            "elapsed_s": taken.elapsed,
            "dropped_rounds": taken.dropped,
            "verdict": self.verdict,
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

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Everything, samples included, as JSON; written to `path` if one is given."""
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False)
        if path is not None:
            _output.write(path, text + "\n")
        return text

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """A page that needs no other file, with plots; written to `path` if one is given."""
        from mmcore.comparison.page import as_html

        text = as_html(self)
        if path is not None:
            _output.write(path, text)
        return text

    def plot(self, path: str | os.PathLike[str]) -> None:
        """The plots as an image; the name's ending says which kind (.svg, .pdf, .png)."""
        from mmcore.comparison.plots import save

        save(self, Path(path))


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None
