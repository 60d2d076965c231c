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
random; this holds for noise of any distribution and correlation, and also conditionally on the half
differences of the blocks.
Stopping at a width predicted from the differences therefore cannot raise the rate of false alarms.
Stopping at the width of the interval itself does raise it, to twice the nominal rate in our
simulations, because it favours samples that understate the noise.

Over the blocks we take the 20 % trimmed mean, which a few preempted rounds cannot move, and the
interval of Tukey and McLaughlin: the trimmed mean, more or less its standard error from the
winsorized sum of squares, times the quantile of Student's t. They take as many degrees of freedom
as blocks are kept, less one; on normal data this covers 94.1 to 94.7 % with 10 to 30 blocks. We
take one less, which covers 94.7 to 95.2 %, and on heavier tails 95 to 96 %.
`benches/intervals.py` measures width and coverage by the number of blocks. On normal data this
interval is 1.26 (10 blocks) to 1.09 times (14) as wide as Student's. A bootstrap-t interval of the
same mean is 1.5 times as wide as Student's with 10 blocks, and at least 2.8 times as wide in the
worst twentieth of the runs, because a resample of so few blocks often has next to no variance. The
intervals hold jointly for all variants (Bonferroni). The tests measure false alarms, coverage and
power on simulated machines, early stop included.

The module uses NumPy and no SciPy: `compare` belongs to the base installation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    "t_quantile",
]

#: Share of the blocks cut off at either end before the mean is taken.
TRIM = 0.2

#: The fewest blocks of an interval: fewer leave too few values after trimming.
MIN_BLOCKS = 8

#: An interval that includes 1 is still a result if neither end is further from 1 than this. A wider
#: one says nothing that a user could act on.
USABLE = 0.10

#: The largest half width of an interval, as a log-ratio. A wider one says nothing of the ratio, and
#: its ends could overflow.
MAX_REACH = 50.0


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
        """True if there were enough blocks for an interval."""
        return math.isfinite(self.high)

    @property
    def resolved(self) -> bool:
        """True if the interval excludes 1."""
        return self.low > 1 or self.high < 1

    @property
    def usable(self) -> bool:
        """True if the interval shows a difference, or that there is at most a small one."""
        return self.resolved or self.largest <= USABLE

    @property
    def half_width(self) -> float:
        """Half the width of the interval, as a fraction of the ratio; infinite without one."""
        return math.sqrt(self.high / self.low) - 1 if self.known and self.low > 0 else math.inf

    @property
    def largest(self) -> float:
        """The largest difference that the interval allows, as a fraction."""
        return max(abs(self.low - 1), abs(self.high - 1))

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
        trial: _trimmed_mean(pairs[of_trials == trial])[0]
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
    return math.expm1(min(MAX_REACH, _reach(half_differences, comparisons, confidence)[1]))


def ratio_interval(
    means: NDArray[np.float64], *, comparisons: int = 1, confidence: float = 0.95
) -> Interval:
    """Computes the ratio and its confidence interval, as the module's docstring says.

    Args:
        means: the mean log-ratio of each block. Shape (blocks,).
        comparisons: the number of intervals that hold jointly.
        confidence: the probability that all of them hold.
    """
    n = len(means)
    if n == 0:
        return Interval(math.nan, 0.0, math.inf, 0)
    center, reach = _reach(means, comparisons, confidence)
    if n < MIN_BLOCKS or not reach < MAX_REACH:
        return Interval(math.exp(center), 0.0, math.inf, n)
    return Interval(math.exp(center), math.exp(center - reach), math.exp(center + reach), n)


def _reach(values: NDArray[np.float64], comparisons: int, confidence: float) -> tuple[float, float]:
    """The trimmed mean of the values, and the half width of its interval."""
    center, error = _trimmed_mean(values)
    kept = len(values) - 2 * int(TRIM * len(values))
    if kept < 3:
        return center, math.inf
    # One degree of freedom less than Tukey and McLaughlin take: see the module's docstring.
    return center, t_quantile((1 - confidence) / comparisons / 2, kept - 2) * error


def t_quantile(tail: float, degrees: int) -> float:
    """The value that Student's t exceeds with a given probability.

    Args:
        tail: the probability, at most one half.
        degrees: the degrees of freedom, a whole number.
    """
    low, high = 0.0, math.pi / 2
    # The probability of the tail falls as the angle grows. Sixty halvings reach the precision of a
    # float.
    for _ in range(60):
        angle = (low + high) / 2
        if _beyond(angle, degrees) > tail:
            low = angle
        else:
            high = angle
    return math.sqrt(degrees) * math.tan(low)


def _beyond(angle: float, degrees: int) -> float:
    """The probability of a Student's t above sqrt(degrees) * tan(angle), as a finite sum."""
    sine, cosine = math.sin(angle), math.cos(angle)
    term = total = 1.0 if degrees % 2 == 0 else cosine
    for n in range(2 + degrees % 2, degrees - 1, 2):
        term *= cosine * cosine * (n - 1) / n
        total += term
    if degrees % 2 == 0:
        return (1 - sine * total) / 2
    within = angle + (sine * total if degrees > 1 else 0.0)
    return (1 - 2 * within / math.pi) / 2


def _trimmed_mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """The trimmed mean of the values and its standard error (from the winsorized variance)."""
    n = len(values)
    cut = int(TRIM * n)
    kept = np.sort(values)[cut : n - cut]
    # Winsorized: the values cut off count as the outermost ones kept.
    low, high = kept[0], kept[-1]
    center = (kept.sum() + cut * (low + high)) / n
    squares = ((kept - center) ** 2).sum() + cut * ((low - center) ** 2 + (high - center) ** 2)
    left = n - 2 * cut
    error = math.sqrt(squares / (left * max(1, left - 1)))
    return float(kept.mean()), float(error)
