"""A simulated machine for `mmcore._comparison`, with known speeds and known noise.

Time is simulated too, so a comparison of minutes takes milliseconds.
"""

import json

import numpy as np

#: Operations a page that the simulated counting build reports.
NAMES = ("rmw", "lruvec_locks", "pagevec_inserts", "list_ops", "batch_locks", "tlb_flushes")
OPERATIONS = {"putback": (14, 0.5, 2, 6, 2, 0.25), "split": (11, 0.25, 1, 5, 1, 0.25)}

#: The values that each round reports alike.
THE_SAME = json.dumps(
    {
        "failed": 1,
        "retries": 2,
        "latency_ns": [[1000, 90], [5000, 9], [20000, 1]],
        "memcpy_pages_per_s": 0.8e6,
        "huge_pages": 0,
    }
)[1:-1]


class Weather:
    """The noise of a host: draws a log-speed factor for each turn, correlated in time."""

    def __init__(self, kind, seed, sigma):
        self.kind = kind
        self.rng = np.random.default_rng(seed)
        self.sigma = sigma
        self.state = 0.0
        self.turns = 0

    def next(self):
        rng, sigma = self.rng, self.sigma
        self.turns += 1
        if self.kind == "calm":
            return rng.normal(0, sigma)
        if self.kind == "heavy":  # infinite variance
            return 0.6 * sigma * rng.standard_t(2)
        if self.kind == "preempted":  # a tenth of the turns loses much time
            lost = rng.exponential(0.3) if rng.random() < 0.1 else 0.0
            return rng.normal(0, sigma) - lost
        if self.kind == "correlated":
            self.state = 0.9 * self.state + rng.normal(0, 0.44 * sigma)
            return self.state + rng.normal(0, sigma / 3)
        if self.kind == "drifting":
            return rng.normal(0, sigma) - 0.001 * self.turns
        if self.kind == "neighbour":  # load of another program comes and goes
            if rng.random() < 0.05:
                self.state = 0.2 - self.state
            return rng.normal(0, sigma) - self.state
        raise AssertionError(self.kind)


WEATHERS = ("calm", "heavy", "preempted", "correlated", "drifting", "neighbour")


class SimulatedBackend:
    """Implements `Backend`; `clock` is the time that its rigs use up, `making` that of each rig."""

    def __init__(self, speeds=None, *, weather="calm", seed=0, sigma=0.03, fail=None, making=0.0):
        self.speeds = speeds or {}
        self.weather = Weather(weather, seed, sigma)
        self.now = 0.0
        self.fail = fail or {}
        self.making = making
        self.log = []

    def clock(self):
        return self.now

    def LoadRig(self, config_json, trace, policy=None):  # noqa: N802, ARG002 - as the binding has it
        config = json.loads(config_json)
        if error := self.fail.get("build"):
            raise error
        self.now += self.making
        return SimulatedRig(self, config, trace)

    def count_ops(self, config_json, trace):  # noqa: ARG002 - as the protocol has it
        config = json.loads(config_json)
        release = config["profile"].get("release", "split")
        migrated = self.fail.get("migrations", 5000)
        counts = [count * migrated for count in OPERATIONS.get(release, OPERATIONS["split"])]
        counts[0] += config.get("planted", {}).get("atomics", 0) * migrated
        return json.dumps({"migrated": migrated, **dict(zip(NAMES, counts, strict=True))})

    def count_hits(self, config_json, trace, policy=None):  # noqa: ARG002 - as the protocol has it
        return json.dumps(
            {"migrated": 100, "accesses_by_node": [2000, 1000], "latency_ns": [100, 250]}
        )


class SimulatedRig:
    def __init__(self, backend, config, trace):
        self.backend = backend
        self.release = config["profile"].get("release", "split")
        self.slowdown = config.get("planted", {}).get("slowdown", 0.0)
        self.trace = trace

    def run(self, round_seed, seconds):
        self.backend.log.append((self.release, round_seed))
        if error := self.backend.fail.get("run"):
            raise error
        self.backend.now += seconds
        speed = 1e6 * self.backend.speeds.get(self.release, 1.0) / (1 + self.slowdown)
        work = np.exp(0.4 * round_seed / 2**64)  # rounds differ, equally for all variants
        speed *= work * np.exp(self.backend.weather.next())
        migrated = max(1, round(speed * seconds))
        if self.backend.fail.get("idle", 0) > 0:
            self.backend.fail["idle"] -= 1
            migrated = 0
        # Thousands of rounds are simulated: the text is written here, not by `json`.
        return (
            f'{{"wall_s": {seconds!r}, "migrator_cpu_s": {seconds * 0.9!r}, "migrated": {migrated},'
            f' "accesses": {10 * migrated}, "modelled_ns": {1500.0 * migrated!r}, {THE_SAME}}}'
        )

    def finish(self):
        if error := self.backend.fail.get("finish"):
            raise error
        return json.dumps({"bytes_verified": 4096})
