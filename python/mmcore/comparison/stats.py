"""Can the difference be trusted? Intervals for the ratio of two variants, from paired rounds.

A *pair of rounds* runs every variant once in some order and once more in the reverse order
(A B C D, D C B A): a linear drift of the machine cancels. Pairs follow one another on one set of
machines, a *trial*. The next trial builds all machines anew: where the host happens to put a
machine in its memory makes it a percent or two faster or slower for its whole life, and no number
of rounds on the same machines would show that as noise. Two trials, in which the machines are built
in an order drawn from the seed and in its reverse, are a *block*. Of the log-ratios of a variant to
the baseline a block gives two numbers:

* the mean of its two trials: what the interval is made of;
* half their difference, in which the variant's effect cancels: what decides when to stop.

Under "no difference" a block's mean is as likely above 0 as below, whatever the machine's noise is
distributed and correlated like, because the orders were drawn; and this stays so when the
differences are given. So stopping at a width predicted from them tells nothing about the means:
it is not merely "not by significance", it cannot raise the rate of false alarms. (Stopping at the
interval's own width does: it favours samples that understate the noise. Twice the nominal rate, in
our simulations.)

Over the blocks we take the 20 % trimmed mean, which a few preempted rounds cannot move, and a
symmetric bootstrap-t interval, whose coverage holds for heavy tails and few blocks. The intervals
hold jointly for all variants (Bonferroni). The tests measure false alarms, coverage and power on
simulated machines, early stop included.

NumPy alone, because `compare` belongs to the base installation.
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

#: Below this many blocks there is no interval: what is left after trimming says too little.
MIN_BLOCKS = 8

#: A log-ratio beyond which an interval says nothing (and its ends would overflow).
MAX_REACH = 50.0

#: Resamples. With eight variants, 25 of them still lie beyond the quantile that is looked for.
RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """A ratio with its confidence interval: 1 is "no difference".

    Attributes:
        ratio: the estimate.
        low: the lower end.
        high: the upper end.
        blocks: the number of blocks behind it.
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
        """Plain data for JSON; an interval without ends has None there."""
        return {
            "ratio": self.ratio if math.isfinite(self.ratio) else None,
            "low": self.low if self.known else None,
            "high": self.high if self.known else None,
            "blocks": self.blocks,
            "resolved": self.resolved,
        }


@dataclass(frozen=True)
class Blocks:
    """The two numbers of each block: see the module's description."""

    means: NDArray[np.float64]
    half_differences: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.means)


def blocks(
    values: NDArray[np.float64], baseline: NDArray[np.float64], trials: NDArray[np.int64]
) -> Blocks:
    """Blocks of log-ratios; a trial without its partner is left out.

    Args:
        values: one measured value a round, positive.
        baseline: the baseline's value in the same rounds.
        trials: of each round, its trial; each has whole pairs of rounds. Trials 2k and 2k + 1 are
            a block.
    """
    pairs = np.log(values / baseline).reshape(-1, 2).mean(axis=1)
    of_trials = trials.reshape(-1, 2)[:, 0]
    # Within a trial too: a few preempted rounds cannot move it.
    centers = {
        trial: float(_trimmed_mean(pairs[np.newaxis, of_trials == trial])[0][0])
        for trial in np.unique(of_trials).tolist()
    }
    whole = [(centers[t], centers[t + 1]) for t in centers if t % 2 == 0 and t + 1 in centers]
    both = np.array(whole, dtype=np.float64).reshape(-1, 2)
    return Blocks(both.mean(axis=1), (both[:, 0] - both[:, 1]) / 2)


def predicted_half_width(
    half_differences: NDArray[np.float64], *, comparisons: int = 1, confidence: float = 0.95
) -> float:
    """How wide the interval will be, as a fraction of the ratio, judged by the differences alone.

    Infinite below `MIN_BLOCKS`. A prediction to stop by: the interval itself says how wide it is.
    """
    if len(half_differences) < MIN_BLOCKS:
        return math.inf
    _, error = _trimmed_mean(half_differences[np.newaxis, :])
    tail = (1 - confidence) / comparisons / 2
    return math.expm1(NormalDist().inv_cdf(1 - tail) * float(error[0]))


def ratio_interval(
    means: NDArray[np.float64], *, comparisons: int = 1, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """The ratio and its interval.

    Args:
        means: the mean log-ratio of each block.
        comparisons: how many intervals are to hold jointly.
        confidence: the probability with which they all do.
        seed: of the resampling; the same samples and seed give the same interval.
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
    # A resample of equal values has no error: infinitely surprising, unless it is the center.
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
    """The trimmed mean of each row and its standard error (from the winsorized variance)."""
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
