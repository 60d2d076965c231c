"""The figures of a comparison: rates, ratios and quantiles of the measured rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._comparison import stats
from mmcore._comparison.histogram import Histogram
from mmcore._units import PAGE_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmcore._comparison.protocol import RoundReport
    from mmcore._comparison.runner import Measurement

__all__ = ["Figures"]

QUANTILES = {"p50_ns": 0.5, "p99_ns": 0.99, "p99.9_ns": 0.999}


class Figures:
    """The rates, ratios and quantiles of a measurement; variant 0 is the baseline.

    Args:
        measurement: the reports of all rounds, by variant.
    """

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement
        self._table: list[dict[str, Any]] | None = None

    @property
    def measurement(self) -> Measurement:
        """The reports of all rounds, as measured."""
        return self._measurement

    @property
    def plan(self) -> Any:
        """The variants, the load and the options that were measured."""
        return self.measurement.plan

    @property
    def labels(self) -> list[str]:
        """The variants' names, the baseline first."""
        return [variant.label for variant in self.plan.variants]

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row per variant, as plain data.

        `variant` is the label. `pages_per_s` and `pages_per_cpu_s` are medians of the rounds,
        None if nothing was timed. `accesses_per_modelled_s`, `modelled_ns_per_access` and
        `fast_share`, the share of accesses whose page was on the first node, are over a fixed
        number of the trace's accesses on one thread; None without a trace. `primary` names the
        measure of `ratio`. `ratio` and `ratio_wall` (wall time; None for policies) are intervals
        relative to the baseline, with the keys `ratio`, `low`, `high`, `blocks` and `resolved`;
        None for the baseline. `latency` has quantiles, over the batches, of the nanoseconds per
        page. `migrated`, `retries` and `failed` are sums of pages. `per_page` has the operations
        per migrated page in the counting build. `share_of_memcpy` is the rate relative to a bare
        `memcpy` of cold pages, in the rounds that timed one.

        In the loads `compaction` and `zram`, which ask for blocks, `requests` has the number of
        requests, how many were `served`, quantiles of their time in nanoseconds, and
        `pages_per_block`, the pages moved for each request that was served. `users` has the
        accesses per processor second of the other threads (median), the interval of their ratio to
        the baseline, and the operations `per_access` in the counting build. `stored` has the values
        of a zram device over all rounds: bytes of content per compressed byte and per byte of the
        pool, the shares of pages of one word and of pages that did not compress, and the pages read
        from the device and written to it per second of wall time. In the other loads these three
        are None; `users` is also None with `alone`, and `stored` in the load `compaction`.
        """
        # The rows are kept: text, page and document all read them, and each row computes intervals.
        if self._table is None:
            self._table = [self._row(index) for index in range(len(self.plan.variants))]
        return self._table

    def _row(self, index: int) -> dict[str, Any]:
        taken = self.measurement
        reports = [sample.report for sample in taken.samples if sample.variant == index]
        latency = Histogram(report.latency_ns for report in reports)
        # The hits come from the count, not from the rounds: how much of a trace the rounds reach
        # depends on the host and on the time for measuring.
        hits = taken.operations[index].hits
        return {
            "variant": self.labels[index],
            "pages_per_s": _median(taken.values(index, "pages_per_s")),
            "pages_per_cpu_s": _median(taken.values(index, "pages_per_cpu_s")),
            "accesses_per_modelled_s": None if hits is None else 1e9 / hits.ns_per_access,
            "primary": self.plan.primary,
            "ratio": self._interval(index, self.plan.primary),
            # A policy may move no page, and a ratio to 0 pages a second is undefined.
            "ratio_wall": None if self.plan.has_policies else self._interval(index, "pages_per_s"),
            "latency": {name: latency.quantile(q) for name, q in QUANTILES.items()},
            "migrated": sum(report.migrated for report in reports),
            "retries": sum(report.retries for report in reports),
            "failed": sum(report.failed for report in reports),
            "per_page": taken.operations[index].per_page,
            "share_of_memcpy": self._share_of_memcpy(index),
            "modelled_ns_per_access": None if hits is None else hits.ns_per_access,
            "fast_share": None if hits is None else hits.fast_share,
            "requests": self._requests(reports),
            "users": self._users(index),
            "stored": _stored(reports),
        }

    def _requests(self, reports: list[RoundReport]) -> dict[str, Any] | None:
        if not self.plan.options.asks_for_blocks:
            return None
        times = Histogram(report.request_ns for report in reports)
        served = sum(report.served for report in reports)
        migrated = sum(report.migrated for report in reports)
        return {
            "requests": sum(report.requests for report in reports),
            "served": served,
            "latency": {name: times.quantile(q) for name, q in QUANTILES.items()},
            "pages_per_block": migrated / served if served else None,
        }

    def _users(self, index: int) -> dict[str, Any] | None:
        if not self.plan.options.asks_for_blocks or self.plan.options.alone:
            return None
        name = "accesses_per_user_cpu_s"
        return {
            "accesses_per_cpu_s": _median(self.measurement.values(index, name)),
            "ratio": self._interval(index, name),
            "per_access": self.measurement.operations[index].per_access,
        }

    def _share_of_memcpy(self, index: int) -> float | None:
        copied = self.measurement.values(index, "memcpy_pages_per_s")
        speed = self.measurement.values(index, "pages_per_cpu_s")
        return _median(speed[copied > 0] / copied[copied > 0])

    def _interval(self, index: int, attribute: str) -> dict[str, Any] | None:
        if index not in self.plan.compared:
            return None
        return self.interval(index, attribute).as_dict()

    def interval(self, index: int, attribute: str | None = None) -> stats.Interval:
        """Computes the ratio of a variant to the baseline, with its confidence interval.

        Args:
            index: the number of the variant; 0 is the baseline.
            attribute: the measure, a field of the reports; None for the primary measure.
        """
        return stats.ratio_interval(
            self.block_log_ratios(index, attribute),
            comparisons=len(self.plan.compared),
        )

    def block_log_ratios(self, index: int, attribute: str | None = None) -> NDArray[np.float64]:
        """Computes for each block the mean log-ratio of a variant to the baseline. Shape (blocks,).

        Args:
            index: the number of the variant; 0 is the baseline.
            attribute: the measure, a field of the reports; None for the primary measure.
        """
        taken, attribute = self.measurement, attribute or self.plan.primary
        values = taken.values(index, attribute)
        baseline = taken.values(self.plan.baseline(index), attribute)
        return stats.blocks(values, baseline, taken.trials).means

    @property
    def samples(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """For each variant, by label, and each measure, by name, its values. Shape (rounds,)."""
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
        """True if each interval is narrow enough to say something, and as narrow as asked for.

        A comparison that times nothing has counts alone, and they are always conclusive.
        """
        return not self.plan.timed or (
            all(self.interval(index).usable for index in self.plan.compared) and not self.missed
        )

    @property
    def missed(self) -> list[str]:
        """The labels of the variants whose intervals are wider than the precision asked for."""
        wanted = self.plan.options.precision
        if wanted is None or not self.plan.timed:
            return []
        return [
            self.labels[index]
            for index in self.plan.compared
            if not self.interval(index).half_width <= wanted
        ]


def _stored(reports: list[RoundReport]) -> dict[str, Any] | None:
    stored = [report.stored for report in reports if report.stored is not None]
    if not stored:
        return None
    pages = sum(each.content_bytes for each in stored) / PAGE_SIZE
    content = sum(each.content_bytes for each in stored)
    wall = sum(report.wall_s for report in reports)

    def swapped(name: str) -> float:
        return float(sum(report.more.get("did", {}).get(name, 0) for report in reports) / wall)

    return {
        "content_per_compressed": _share(content, sum(each.compressed_bytes for each in stored)),
        "content_per_pool": _share(content, sum(each.pool_bytes for each in stored)),
        "same_share": _share(sum(each.same_pages for each in stored), pages),
        "huge_share": _share(sum(each.huge_pages for each in stored), pages),
        "swapped_in_per_s": swapped("swapped_in"),
        "swapped_out_per_s": swapped("swapped_out"),
    }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None
