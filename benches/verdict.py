"""Can the verdict of `mmcore compare` be trusted? A against A, and a planted slowdown.

    python benches/verdict.py [--runs 200] [--seconds 5] [--slowdown 0.03] [--crowded]
    python benches/verdict.py --simulated --runs 1000

Promised: A against A reports a difference in at most 5 % of the runs; a slowdown of 3 % planted in
the protocol (without copy) is found in at least 90 %. Exit code 1 if the figures contradict that.
Migrators are alone, as in `mmcore compare --load storm --alone`, unless `--crowded` lets threads
use the memory meanwhile: then a few percent take minutes to be found.
`--simulated` asks the same of machines whose noise is made up, kind by kind.
"""

import argparse
import math
import sys
from pathlib import Path

from mmcore import _mmcore, build_info
from mmcore._comparison import runner
from mmcore._comparison.options import Options
from mmcore._comparison.plan import Variant, make_plan
from mmcore._comparison.result import Comparison
from mmcore._trace import Trace

FALSE_ALARMS = 0.05
FOUND = 0.90


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each comparison")
    parser.add_argument("--slowdown", type=float, default=0.03)
    parser.add_argument("--load", choices=["storm", "tiering"], default="storm")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--crowded", action="store_true")
    parser.add_argument("--planted-runs", type=int, help="left out: as many as --runs")
    parser.add_argument("--simulated", action="store_true")
    options = parser.parse_args()
    if not options.simulated and build_info()["profile"] != "release":
        print("this is a debug build: its figures say nothing", file=sys.stderr)
        return 2
    if not options.simulated:
        return report(options, "this machine", lambda _: (_mmcore, {}))
    # The simulated machines of the tests, with their clock.
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from simulated_rig import WEATHERS, SimulatedBackend

    def simulated(weather: str):
        def backend(seed: int):
            made = SimulatedBackend(weather=weather, seed=seed)
            return made, {"clock": made.clock}

        return backend

    options.seconds = 6.0
    # A fifth of the turns of a real comparison: a thousand runs then take minutes, not an hour.
    runner.TURN = 0.01
    return max(report(options, weather, simulated(weather)) for weather in WEATHERS)


def report(options: argparse.Namespace, name: str, backend) -> int:
    alarms = [judge(options, 0.0, seed, backend) for seed in range(options.runs)]
    runs = options.runs if options.planted_runs is None else options.planted_runs
    planted = [judge(options, options.slowdown, seed, backend) for seed in range(runs)]
    failed = 0
    if alarms:
        rate = sum(faster or slower for faster, slower, _, _ in alarms) / len(alarms)
        # More than this is not chance: three standard deviations beyond what is promised.
        slack = 3 * math.sqrt(FALSE_ALARMS * (1 - FALSE_ALARMS) / len(alarms))
        failed |= rate > FALSE_ALARMS + slack
        print(f"{name}: A against A reports a difference in {rate:.1%} of {len(alarms)} runs")
    if planted:
        rate = sum(slower for _, slower, _, _ in planted) / len(planted)
        failed |= rate < FOUND
        what = f"a slowdown of {options.slowdown:.1%} is found in {rate:.1%}"
        print(f"{name}: {what} of {len(planted)} runs")
        held = sum(holds for _, _, holds, _ in planted) / len(planted)
        print(f"{name}: the interval holds the planted ratio in {held:.1%}")
    widths = sorted(width for *_, width in alarms + planted)
    print(f"{name}: median half width ±{widths[len(widths) // 2]:.2%}", flush=True)
    return int(failed)


def judge(options: argparse.Namespace, slowdown: float, seed: int, backend):
    planted = {"slowdown": slowdown} if slowdown else {}
    plan = make_plan(
        Trace.sample() if options.load == "tiering" else None,
        Options(
            load=options.load,
            threads=options.threads,
            alone=options.load == "storm" and not options.crowded,
            seconds=options.seconds,
            copy=False,
            seed=seed,
        ),
        variants=[
            Variant("a", {"release": "split"}),
            Variant("b", {"release": "split"}, planted),
        ],
    )
    source, clock = backend(seed)
    interval = Comparison(runner.measure(plan, source, **clock)).interval(1)
    if not interval.known:
        print(f"seed {seed}: too few rounds; give more --seconds", file=sys.stderr)
    width = math.sqrt(interval.high / interval.low) - 1 if interval.low > 0 else math.inf
    holds = interval.low <= 1 / (1 + slowdown) <= interval.high
    return interval.low > 1, interval.high < 1, holds, width


if __name__ == "__main__":
    sys.exit(main())
