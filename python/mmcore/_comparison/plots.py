"""The plots of a comparison, with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._comparison.histogram import Histogram
from mmcore._comparison.protocol import COUNTED
from mmcore._extras import need
from mmcore._plotting import COLORS, drawing
from mmcore.reporting import Grid
from mmcore.reporting._parts import columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmcore._comparison.figures import Figures
    from mmcore.reporting import Drawing

__all__ = ["plots", "thinned"]

#: The ratio of the ends of a band of shares: a drawn curve has one step of each, and the last.
_FALL = 0.93

#: The quantiles of the table under the plot of the latencies.
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "largest": 1.0}


def plots(comparison: Figures) -> Drawing:
    """The plots of a comparison as one drawing."""
    title = "The intervals, the latencies and the operations"
    return drawing(lambda: _figure(comparison), title, lambda: _tables(comparison))


def _tables(comparison: Figures) -> list[Grid]:
    """The values of the three plots, for readers who do not see them."""
    ratios = []
    for index in comparison.plan.compared:
        interval = comparison.interval(index)
        blocks = len(comparison.block_log_ratios(index))
        shown = (interval.ratio, interval.low, interval.high) if interval.known else ()
        values = [f"{100 * (value - 1):+.2f} %" for value in shown] or ["-"] * 3
        ratios.append((comparison.labels[index], str(blocks), *values))
    names = columns("variant", ">blocks of rounds", ">ratio", ">low", ">high")
    made = [Grid(names, tuple(ratios), "The intervals of the ratio, at 95 %")] if ratios else []
    histograms = [_latencies(comparison, index) for index in range(len(comparison.labels))]
    rows = tuple(
        (label, *(_micros(each.quantile(q)) for q in _QUANTILES.values()))
        for label, each in zip(comparison.labels, histograms, strict=True)
        if len(each.values)
    )
    if rows:
        names = columns("variant", *(f">{name}" for name in _QUANTILES))
        made.append(Grid(names, rows, "Latency, in microseconds a page"))
    counted = [COUNTED[name].partition(" (")[0] for name in _counted(comparison)]
    if counted:
        counts = tuple(
            (
                row["variant"],
                *(f"{row['per_page'].get(name, 0.0):.2f}" for name in _counted(comparison)),
            )
            for row in comparison.table
        )
        names = columns("variant", *(f">{name}" for name in counted))
        made.append(Grid(names, counts, "Operations per migrated page"))
    return made


def _micros(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e3:.2f}"


def _latencies(comparison: Figures, index: int) -> Histogram:
    samples = comparison.measurement.samples
    return Histogram(s.report.latency_ns for s in samples if s.variant == index)


def _counted(comparison: Figures) -> list[str]:
    return [name for name in COUNTED if any(name in row["per_page"] for row in comparison.table)]


def _figure(comparison: Figures) -> Any:
    figure_module = need("matplotlib.figure", "plotting")
    variants = len(comparison.labels)
    height = 2.6 + 0.35 * variants
    figure = figure_module.Figure(figsize=(9, 3 * height), layout="constrained")
    ratios, latencies, operations = figure.subplots(3, 1)
    colors = [COLORS[index % len(COLORS)] for index in range(variants)]
    _plot_ratios(ratios, comparison, colors)
    _plot_latencies(latencies, comparison, colors)
    _plot_operations(operations, comparison, colors)
    return figure


def _plot_ratios(axes: Any, comparison: Figures, colors: list[str]) -> None:
    """Plots the ratio of each block as a dot and the confidence interval as a bar."""
    labels, compared = comparison.labels, comparison.plan.compared
    scatter = np.random.default_rng(0)
    for index in compared:
        blocks = 100 * np.expm1(comparison.block_log_ratios(index))
        height = index + scatter.uniform(-0.25, 0.25, len(blocks))
        axes.plot(blocks, height, ".", color=colors[index], alpha=0.4, markersize=5)
        interval = comparison.interval(index)
        if interval.known:
            low, middle, high = (
                100 * (value - 1) for value in (interval.low, interval.ratio, interval.high)
            )
            axes.plot([low, high], [index, index], color="black", linewidth=2)
            axes.plot(middle, index, "|", color="black", markersize=14, markeredgewidth=2)
    axes.axvline(0, color="gray", linewidth=1)
    axes.set_yticks(compared, [labels[index] for index in compared])
    axes.set_ylim(len(labels) - 0.4, 0.4)
    baseline = labels[0] if comparison.plan.against is None else "the base"
    axes.set_xlabel(f"{comparison.plan.primary_text}, % more than {baseline}")
    what = "Accesses" if comparison.plan.has_policies else "Throughput"
    axes.set_title(f"{what}: each block of rounds, and the 95 % interval", loc="left")


def _plot_latencies(axes: Any, comparison: Figures, colors: list[str]) -> None:
    """Plots for each time per page the share of batches that took at least as long."""
    drawn = False
    for index, label in enumerate(comparison.labels):
        values, share = thinned(*_latencies(comparison, index).exceeding())
        if len(values):
            # "pre" draws a value's share from the next smaller value up to it: the curve shows for
            # a time between two values the batches that took the larger value or longer.
            axes.step(values / 1e3, share, where="pre", label=label, color=colors[index])
            drawn = True
    if drawn:
        axes.set_xscale("log")
        axes.set_yscale("log")
        # The minor ticks would be half of an SVG image.
        axes.minorticks_off()
        axes.legend(frameon=False)
    axes.set_xlabel("µs a page, batch by batch")
    axes.set_ylabel("share of batches that take at least as long")
    axes.set_title("Latency", loc="left")


def thinned(
    values: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Leaves steps of a curve out that no eye could tell apart: it has thousands of them.

    Args:
        values: the values, ascending. Shape (values,).
        share: for each the share of observations that are at least as large, falling from 1.

    Returns:
        The first and the last step, and the first step in each band of shares (`_FALL`).
    """
    if not len(values):
        return values, share
    level = np.floor(np.log(share) / np.log(_FALL))
    kept = np.flatnonzero(np.diff(level, prepend=-1.0))
    kept = np.union1d(kept, [len(values) - 1])
    return values[kept], share[kept]


def _plot_operations(axes: Any, comparison: Figures, colors: list[str]) -> None:
    """Plots the operations per migrated page, as the counting build counted them."""
    names = _counted(comparison)
    width = 0.8 / len(comparison.labels)
    last = len(comparison.labels) - 1
    for index, row in enumerate(comparison.table):
        place = np.arange(len(names)) + (index - last / 2) * width
        values = [row["per_page"].get(name, 0.0) for name in names]
        axes.barh(place, values, width, label=row["variant"], color=colors[index])
    # The names of the operations are long, so each has a line. The first is the topmost.
    axes.set_yticks(range(len(names)), [COUNTED[name].partition(" (")[0] for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("per migrated page")
    axes.set_title("Operations", loc="left")
    if names:
        axes.legend(frameon=False)
