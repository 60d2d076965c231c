"""Confidence intervals for the ratio of two variants, from paired rounds.

A *pair of rounds* runs every variant once in some order and once more in the reverse order
(A B C D, D C B A): a linear drift of the machine cancels. Pairs follow one another on one set of
machines, a *trial*. The next trial builds all machines anew: the place of a machine in the memory
of the host makes it a percent or two faster or slower for its whole life, and more rounds on the
same machines would not show that as noise. Two trials are a *block*; one builds the machines in an
order drawn from the seed, the other in the reverse order. A block gives two numbers from the
log-ratios of a variant to the baseline:

* the mean of its two trials, from which the interval is computed;
* half their difference, in which the variant's effect cancels, and which decides when to stop.

Without a true difference, a block's mean is above 0 as often as below, because the orders are
random; this holds for noise of any distribution and correlation, and also for given differences.
Stopping at a width predicted from the differences therefore cannot raise the rate of false alarms.
Stopping at the width of the interval itself does raise it, to twice the nominal rate in our
simulations, because it favours samples that understate the noise.

Over the blocks we take the 20 % trimmed mean, which a few preempted rounds cannot move, and a
symmetric bootstrap-t interval, whose coverage holds for heavy tails and few blocks. The intervals
hold jointly for all variants (Bonferroni). The tests measure false alarms, coverage and power on
simulated machines, early stop included.

The module uses NumPy and no SciPy: `compare` belongs to the base installation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MIN_BLOCKS",
    "Blocks",
    "Interval",
    "blocks",
    "predicted_half_width",
    "ratio_interval",
]

#: Share of the blocks cut off at either end before the mean is taken.
TRIM = 0.2

#: The fewest blocks of an interval: fewer leave too few values after trimming.
MIN_BLOCKS = 8

#: The largest half width of an interval, as a log-ratio; the ends of a wider one would overflow.
MAX_REACH = 50.0

#: The number of bootstrap resamples. With eight variants, 25 of them lie beyond the quantile used.
RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """A ratio with its confidence interval; a ratio of 1 means no difference.

    Attributes:
        ratio: the estimated ratio; NaN without blocks.
        low: the lower end; 0 without an interval.
        high: the upper end; infinite without an interval.
        blocks: the number of blocks used.
    """

    ratio: float
    low: float
    high: float
    blocks: int

    @property
    def known(self) -> bool:
        """Whether there were enough blocks for an interval."""
        return math.isfinite(self.high)

    @property
    def resolved(self) -> bool:
        """Whether the interval excludes 1."""
        return self.low > 1 or self.high < 1

    def as_dict(self) -> dict[str, Any]:
        """The interval as plain data for JSON; unknown numbers are None."""
        return {
            "ratio": self.ratio if math.isfinite(self.ratio) else None,
            "low": self.low if self.known else None,
            "high": self.high if self.known else None,
            "blocks": self.blocks,
            "resolved": self.resolved,
        }


@dataclass(frozen=True)
class Blocks:
    """The two numbers of each block, as the module's docstring defines them.

    Attributes:
        means: for each block the mean of the log-ratios of its two trials. Shape (blocks,).
        half_differences: for each block half the difference of the two log-ratios. Shape (blocks,).
    """

    means: NDArray[np.float64]
    half_differences: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.means)


def blocks(
    values: NDArray[np.float64], baseline: NDArray[np.float64], trials: NDArray[np.int64]
) -> Blocks:
    """Computes the blocks of log-ratios; a last trial without its partner is left out.

    Args:
        values: one measured value per round, positive, in any unit. Shape (rounds,), with an even
            number of rounds: two in a row are a pair.
        baseline: the values of the baseline in the same rounds, in the same unit. Shape (rounds,).
        trials: the number of the trial of each round. Shape (rounds,). Both rounds of a pair have
            the same number; trials 2k and 2k + 1 are a block.

    Raises:
        ValueError: if the number of rounds is odd, or the shapes differ.
    """
    pairs = np.log(values / baseline).reshape(-1, 2).mean(axis=1)
    of_trials = trials.reshape(-1, 2)[:, 0]
    # The mean within a trial is trimmed too, so that a few preempted rounds cannot move it.
    # Not np.unique: without indices, NumPy 2.3 and later takes the GIL in a C++ function that
    # cannot be unwound. A Python before 3.14 that exits at this moment would abort the process.
    centers = {
        trial: float(_trimmed_mean(pairs[np.newaxis, of_trials == trial])[0][0])
        for trial in sorted(set(of_trials.tolist()))
    }
    whole = [(centers[t], centers[t + 1]) for t in centers if t % 2 == 0 and t + 1 in centers]
    both = np.array(whole, dtype=np.float64).reshape(-1, 2)
    return Blocks(both.mean(axis=1), (both[:, 0] - both[:, 1]) / 2)


def predicted_half_width(
    half_differences: NDArray[np.float64], *, comparisons: int = 1, confidence: float = 0.95
) -> float:
    """Predicts the half width of the interval, as a fraction of the ratio: 0.01 for one percent.

    The prediction decides when measuring stops. It uses the differences alone and not the means,
    as the module's docstring explains.

    Args:
        half_differences: half the difference of log-ratios of each block. Shape (blocks,).
        comparisons: the number of intervals that hold jointly.
        confidence: the probability that all of them hold.

    Returns:
        The half width; infinite for fewer than `MIN_BLOCKS` blocks.
    """
    if len(half_differences) < MIN_BLOCKS:
        return math.inf
    _, error = _trimmed_mean(half_differences[np.newaxis, :])
    tail = (1 - confidence) / comparisons / 2
    return math.expm1(NormalDist().inv_cdf(1 - tail) * float(error[0]))


def ratio_interval(
    means: NDArray[np.float64], *, comparisons: int = 1, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Computes the ratio and its confidence interval by a symmetric bootstrap-t.

    Args:
        means: the mean log-ratio of each block. Shape (blocks,).
        comparisons: the number of intervals that hold jointly.
        confidence: the probability that all of them hold.
        seed: the seed of the resampling; the same means and seed give the same interval.

    Returns:
        The interval. Its ends are 0 and infinity for fewer than `MIN_BLOCKS` blocks, and if they
        would be wider than `MAX_REACH`.
    """
    n = len(means)
    if n == 0:
        return Interval(math.nan, 0.0, math.inf, 0)
    center, error = (float(x[0]) for x in _trimmed_mean(means[np.newaxis, :]))
    if n < MIN_BLOCKS:
        return Interval(math.exp(center), 0.0, math.inf, n)
    draw = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n), dtype=np.int32)
    centers, errors = _trimmed_mean(means[draw])
    distance = np.abs(centers - center)
    # A resample of equal values has an error of 0: its t value is infinite, or 0 at the center.
    surprise = np.divide(
        distance, errors, out=np.where(distance > 0, np.inf, 0.0), where=errors > 0
    )
    quantile = float(np.quantile(surprise, 1 - (1 - confidence) / comparisons, method="higher"))
    reach = quantile * error if error > 0 else 0.0
    if not reach < MAX_REACH:
        return Interval(math.exp(center), 0.0, math.inf, n)
    return Interval(math.exp(center), math.exp(center - reach), math.exp(center + reach), n)


def _trimmed_mean(
    rows: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the trimmed mean of each row, and its standard error from the winsorized variance.

    `rows` has the shape (rows, blocks), each result the shape (rows,).
    """
    n = rows.shape[1]
    cut = int(TRIM * n)
    ordered = np.sort(rows, axis=1)
    kept = ordered[:, cut : n - cut]
    mean = kept.mean(axis=1)
    # Winsorized: the values cut off count as the outermost ones kept.
    low, high = kept[:, 0], kept[:, -1]
    center = (kept.sum(axis=1) + cut * (low + high)) / n
    squares = ((kept - center[:, np.newaxis]) ** 2).sum(axis=1)
    squares += cut * ((low - center) ** 2 + (high - center) ** 2)
    error = np.sqrt(squares / max(1, n - 1)) * math.sqrt(n) / (n - 2 * cut)
    return mean, error
