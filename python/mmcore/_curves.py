"""Miss-ratio curves: the misses of each list policy over the size of the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmcore._extras import need
from mmcore._plotting import COLORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmcore.typing import Policy

__all__ = ["curves"]

#: Marks of the policies, so that lines differ not by their colours alone.
_MARKS = "os^Dv*Px"

#: Ratios that lie further apart than this factor get a logarithmic axis: on a linear one the curves
#: of all but the smallest memories would lie on the axis.
_DECADES = 20


def curves(points: Mapping[Policy, Sequence[tuple[int, float]]]) -> Any:
    """Draws a figure with a line for each policy and a mark for each size.

    Args:
        points: for each policy pairs of a size in pages and a miss ratio, by size.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    module = need("matplotlib.figure", "plotting")
    ticker = need("matplotlib.ticker", "plotting")
    figure = module.Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    sizes = sorted({size for found in points.values() for size, _ in found})
    for number, (policy, found) in enumerate(points.items()):
        axes.plot(
            [size for size, _ in found],
            [ratio for _, ratio in found],
            marker=_MARKS[number % len(_MARKS)],
            color=COLORS[number % len(COLORS)],
            label=policy,
            markersize=5,
        )
    axes.set_xscale("log", base=2)
    # The ticks are the sizes and not powers of two between them; of many sizes, about ten.
    step = -(-len(sizes) // 10)
    axes.set_xticks(sizes[::step], [f"{size:,}" for size in sizes[::step]])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    ratios = [ratio for found in points.values() for _, ratio in found if ratio]
    if ratios and max(ratios) > _DECADES * min(ratios):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel("pages of memory")
    axes.set_ylabel("miss ratio")
    axes.grid(visible=True, color="#808080", alpha=0.3, linewidth=0.6)
    axes.legend(frameon=False)
    return figure
