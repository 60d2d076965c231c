"""The plots of a comparison, with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmcore._comparison.histogram import Histogram
from mmcore._comparison.protocol import COUNTED
from mmcore._extras import need
from mmcore._plotting import check_path, drawing

if TYPE_CHECKING:
    from mmcore._comparison.figures import Figures
    from mmcore.reporting import Drawing

__all__ = ["check_path", "plots"]


def plots(comparison: Figures) -> Drawing:
    """The plots of a comparison as one drawing."""
    return drawing(lambda: _figure(comparison))


def _figure(comparison: Figures) -> Any:
    figure_module = need("matplotlib.figure", "plotting")
    matplotlib = need("matplotlib", "plotting")
    variants = len(comparison.labels)
    height = 2.6 + 0.35 * variants
    figure = figure_module.Figure(figsize=(9, 3 * height), layout="constrained")
    ratios, latencies, operations = figure.subplots(3, 1)
    colors = [matplotlib.colormaps["tab10"](index % 10) for index in range(variants)]
    _plot_ratios(ratios, comparison, colors)
    _plot_latencies(latencies, comparison, colors)
    _plot_operations(operations, comparison, colors)
    return figure


def _plot_ratios(axes: Any, comparison: Figures, colors: list[Any]) -> None:
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


def _plot_latencies(axes: Any, comparison: Figures, colors: list[Any]) -> None:
    """Plots for each time per page the share of batches that took at least as long."""
    drawn = False
    for index, label in enumerate(comparison.labels):
        samples = comparison.measurement.samples
        histogram = Histogram(s.report.latency_ns for s in samples if s.variant == index)
        values, share = histogram.exceeding()
        if len(values):
            # "pre" draws a value's share from the next smaller value up to it: a time between two
            # values has the batches that took the larger value or longer.
            axes.step(values / 1e3, share, where="pre", label=label, color=colors[index])
            drawn = True
    if drawn:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.legend(frameon=False)
    axes.set_xlabel("µs a page, batch by batch")
    axes.set_ylabel("share of batches that take at least as long")
    axes.set_title("Latency", loc="left")


def _plot_operations(axes: Any, comparison: Figures, colors: list[Any]) -> None:
    """Plots the operations per migrated page, as the counting build counted them."""
    names = [name for name in COUNTED if any(name in row["per_page"] for row in comparison.table)]
    width = 0.8 / len(comparison.labels)
    for index, row in enumerate(comparison.table):
        place = np.arange(len(names)) + (index - (len(comparison.labels) - 1) / 2) * width
        values = [row["per_page"].get(name, 0.0) for name in names]
        axes.bar(place, values, width, label=row["variant"], color=colors[index])
    axes.set_xticks(range(len(names)), [COUNTED[name].partition(" (")[0] for name in names])
    axes.set_ylabel("per migrated page")
    axes.set_title("Operations", loc="left")
    if names:
        axes.legend(frameon=False)
