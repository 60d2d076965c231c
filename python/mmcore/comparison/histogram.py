"""Histograms as (value, count) pairs: merged over rounds, read as quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Histogram"]


class Histogram:
    """The sum of histograms, by value."""

    values: NDArray[np.float64]
    counts: NDArray[np.int64]

    def __init__(self, parts: Iterable[Iterable[tuple[float, int]]]) -> None:
        sums: dict[float, int] = {}
        for part in parts:
            for value, count in part:
                sums[value] = sums.get(value, 0) + count
        ordered = sorted((value, count) for value, count in sums.items() if count > 0)
        self.values = np.array([value for value, _ in ordered], np.float64)
        self.counts = np.array([count for _, count in ordered], np.int64)

    def quantile(self, q: float) -> float | None:
        """The smallest value that at least a share `q` does not exceed; None if there is none."""
        if not len(self.values):
            return None
        cumulated = np.cumsum(self.counts)
        return float(self.values[np.searchsorted(cumulated, q * cumulated[-1], side="left")])

    def exceeding(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """For a plot: each value, and the share of the observations that are at least so large."""
        remaining = np.cumsum(self.counts[::-1])[::-1]
        return self.values, remaining / max(1, int(self.counts.sum()))
