"""Merges histograms, given as (value, count) pairs, and reads quantiles from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Histogram"]


class Histogram:
    """The sum of several histograms.

    Args:
        parts: the histograms, each as pairs of a value and the number of its observations.

    Attributes:
        values: the distinct values, ascending. Shape (values,).
        counts: the number of observations of each value. Shape (values,).
    """

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
        """Returns the quantile `q` of the observations.

        Args:
            q: a share, from 0 to 1.

        Returns:
            The smallest value such that a share of at least `q` of all observations is not above
            it; None for a histogram without observations.
        """
        if not len(self.values):
            return None
        cumulated = np.cumsum(self.counts)
        return float(self.values[np.searchsorted(cumulated, q * cumulated[-1], side="left")])

    def exceeding(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the values, and for each the share of observations that are at least as large.

        Both arrays have the shape (values,).
        """
        remaining = np.cumsum(self.counts[::-1])[::-1]
        return self.values, remaining / max(1, int(self.counts.sum()))
