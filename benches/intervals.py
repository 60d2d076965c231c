"""Measures the width and the coverage of the intervals of `mmcore compare`, by number of blocks.

    python benches/intervals.py [--runs 2000] [--blocks 8,10,14,20,30] [--comparisons 1]
    python benches/intervals.py --weathers --runs 1000

Draws block means with a true difference of 0 and compares three intervals: Student's t of the
plain mean, the symmetric bootstrap-t of the 20 % trimmed mean, and the interval that mmcore takes,
that of Tukey and McLaughlin for the same trimmed mean. Noise: `normal`; `heavy` (Student's t with
3 degrees of freedom); `wild` (normal, and one block in ten with ten times the deviation).
`--weathers` draws single turns with the noise of simulated hosts instead, in the order in which a
comparison of two variants takes them, and stops by its rule. `benches/verdict.py --simulated` runs
whole comparisons on these hosts, ten times as slowly.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np

from mmcore._comparison import stats
from mmcore._comparison.options import STOPS_AT
from mmcore._comparison.runner import TRIALS_WANTED

RESAMPLES = 2000


def trimmed(rows):
    """The trimmed mean of each row, and its standard error."""
    n = rows.shape[1]
    cut = int(stats.TRIM * n)
    ordered = np.sort(rows, axis=1)
    winsorized = ordered.copy()
    winsorized[:, :cut] = ordered[:, [cut]]
    winsorized[:, n - cut :] = ordered[:, [n - cut - 1]]
    deviation = winsorized.std(axis=1, ddof=1)
    return ordered[:, cut : n - cut].mean(axis=1), deviation * math.sqrt(n) / (n - 2 * cut)


def student(means, tail):
    reach = stats.t_quantile(tail, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means))
    return means.mean(), reach


def bootstrap(means, tail, rng):
    (center,), (error,) = trimmed(means[np.newaxis])
    centers, errors = trimmed(means[rng.integers(0, len(means), (RESAMPLES, len(means)))])
    distance = np.abs(centers - center)
    surprise = np.divide(
        distance, errors, out=np.where(distance > 0, np.inf, 0.0), where=errors > 0
    )
    return center, float(np.quantile(surprise, 1 - 2 * tail, method="higher")) * error


def ours(means, comparisons):
    interval = stats.ratio_interval(means, comparisons=comparisons)
    return math.log(interval.ratio), math.log(interval.high / interval.low) / 2


def draw(kind, blocks, rng):
    if kind == "heavy":
        return 0.01 * rng.standard_t(3, blocks)
    wild = rng.random(blocks) < 0.1 if kind == "wild" else np.zeros(blocks, bool)
    return rng.normal(0, np.where(wild, 0.1, 0.01), blocks)


def weathers(runs: int) -> None:
    """Prints, for each kind of noise, how often the interval holds a difference of 0."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from simulated_rig import WEATHERS, Weather

    for kind in WEATHERS:
        intervals = [turns(Weather(kind, seed, 0.03), seed) for seed in range(runs)]
        held = sum(not interval.resolved for interval in intervals) / runs
        width = np.median([interval.half_width for interval in intervals])
        stopped = sum(interval.blocks < TRIALS_WANTED // 2 for interval in intervals) / runs
        print(
            f"{kind:10} held in {held:.1%} of {runs} comparisons; median half width ±{width:.2%};"
            f" {stopped:.0%} stopped early",
            flush=True,
        )


#: Pairs of rounds in a trial of the simulated comparisons.
PAIRS = 25


def turns(weather, seed):
    """The interval of a comparison of two variants that are alike, under some noise."""
    rng = np.random.default_rng(seed)
    values, trials = ([], []), []
    for trial in range(TRIALS_WANTED):
        for _ in values:
            weather.next()  # the turns that warm up
        for first in rng.integers(0, 2, PAIRS).tolist():
            for order in ((first, 1 - first), (1 - first, first)):
                for variant in order:
                    values[variant].append(weather.next())
                trials.append(trial)
        blocks = trial // 2 + 1
        if trial % 2 == 0 or blocks < stats.MIN_BLOCKS:
            continue
        found = stats.blocks(*np.exp(values), np.array(trials))
        if stats.predicted_half_width(found.half_differences) <= STOPS_AT:
            break
    return stats.ratio_interval(found.means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--blocks", default="8,10,12,14,16,20,30")
    parser.add_argument("--comparisons", type=int, default=1)
    parser.add_argument("--weathers", action="store_true")
    options = parser.parse_args()
    if options.weathers:
        weathers(options.runs)
        return
    tail = 0.05 / options.comparisons / 2
    print("half widths in units of the deviation of a block: median, 95th percentile; coverage")
    for kind in ("normal", "heavy", "wild"):
        for blocks in map(int, options.blocks.split(",")):
            rng = np.random.default_rng(blocks)
            results = {"student": [], "bootstrap-t": [], "mmcore": []}
            for _ in range(options.runs):
                means = draw(kind, blocks, rng)
                results["student"].append(student(means, tail))
                results["bootstrap-t"].append(bootstrap(means, tail, rng))
                results["mmcore"].append(ours(means, options.comparisons))
            row = []
            for name, found in results.items():
                center, reach = np.array(found).T
                held = (np.abs(center) <= reach).mean()
                median, most = np.quantile(reach / 0.01, [0.5, 0.95])
                row.append(f"{name} {median:.2f} {most:.2f} {held:.1%}")
            print(f"{kind:7} {blocks:3} blocks: " + "; ".join(row), flush=True)


if __name__ == "__main__":
    main()
