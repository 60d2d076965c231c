"""Draws that determine a trace; the same seed gives the same trace with every NumPy.

NumPy keeps the numbers of its bit generators from version to version, but not what its methods
`random`, `integers` and `shuffle` make of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Draws"]


class Draws:
    """Draws numbers from a seed, which is one number or several."""

    def __init__(self, seed: int | tuple[int, ...]) -> None:
        self._bits = np.random.PCG64(seed)

    def shares(self, count: int) -> NDArray[np.float64]:
        """Returns numbers from 0 up to but not including 1."""
        drawn: NDArray[np.uint64] = self._bits.random_raw(count) >> np.uint64(11)
        return drawn.astype(np.float64) * 2.0**-53

    def below(self, limit: int, count: int) -> NDArray[np.uint64]:
        """Returns numbers from 0 up to but not including `limit`, which is at most 2**32."""
        drawn: NDArray[np.uint64] = (self.shares(count) * limit).astype(np.uint64)
        return drawn

    def shuffled(self, values: NDArray[Any]) -> NDArray[Any]:
        """Returns the values in a drawn order."""
        order = np.argsort(self._bits.random_raw(len(values)), kind="stable")
        shuffled: NDArray[Any] = values[order]
        return shuffled
