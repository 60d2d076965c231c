"""How wide are the intervals of `mmcore compare`, and how often do they hold, by number of blocks?

    python benches/intervals.py [--runs 2000] [--blocks 8,10,14,20,30] [--comparisons 1]

Draws block means with a true difference of 0 and compares three intervals: Student's t of the
plain mean, the symmetric bootstrap-t of the 20 % trimmed mean, and the interval that mmcore takes,
that of Tukey and McLaughlin for the same trimmed mean. Noise: `normal`; `heavy` (Student's t with
3 degrees of freedom); `wild` (normal, and one block in ten with ten times the deviation).
"""

import argparse
import math

import numpy as np

from mmcore._comparison import stats

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--blocks", default="8,10,12,14,16,20,30")
    parser.add_argument("--comparisons", type=int, default=1)
    options = parser.parse_args()
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
