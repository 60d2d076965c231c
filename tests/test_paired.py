"""The fixture `paired`: two callables in turns, judged by the interval."""

import math

import numpy as np
import pytest

from mmcore._paired import PairedTimes
from mmcore._paired import paired as times
from mmcore.errors import InputError


class Simulated:
    """A clock that callables of known cost move on, with noise."""

    def __init__(self, seed, noise=0.03):
        self.rng = np.random.default_rng(seed)
        self.noise = noise
        self.now = 0.0

    def clock(self):
        return self.now

    def costs(self, seconds):
        def call():
            self.now += seconds * math.exp(self.rng.normal(0, self.noise))

        return call

    def compare(self, slowdown=0.0, seconds=1.0):
        candidate, baseline = self.costs(0.002 * (1 + slowdown)), self.costs(0.002)
        return times(candidate, baseline, seconds=seconds, clock=self.clock)


def test_alike_callables_differ_in_at_most_5_percent_of_runs():
    runs = [Simulated(seed).compare() for seed in range(200)]
    alarms = sum(run.low > 1 or run.high < 1 for run in runs)
    # More than 10 % of 200 runs at a true rate of 5 % is chance once in a thousand times.
    assert alarms / len(runs) <= 0.10


def test_a_slowdown_is_found_and_bounded():
    for seed in range(20):
        found = Simulated(seed).compare(slowdown=0.10)
        assert found.is_at_most(0.03) is False
        assert found.is_at_most(0.30) is True
        assert found.low < 1.10 * 1.02
        assert found.high > 1.10 * 0.98


def test_a_faster_callable_is_at_most_as_slow():
    found = Simulated(3).compare(slowdown=-0.2)
    assert found.high < 1
    found.assert_at_most(0.0)


def test_a_slower_side_fails_and_an_open_question_skips():
    slow = PairedTimes(1.2, 1.1, 1.3, 1, 100)
    with pytest.raises(AssertionError, match=r"\+20\.0 % time .*3\.0% allowed"):
        slow.assert_at_most(0.03)
    with pytest.raises(pytest.skip.Exception, match="inconclusive"):
        slow.assert_at_most(0.2)
    slow.assert_at_most(0.3)


def test_a_drift_of_the_host_cancels():
    machine = Simulated(1, noise=0.0)

    def drifting():
        # Each call is a little slower than the one before.
        machine.now += 0.002 * (1 + machine.now / 10)

    found = times(drifting, drifting, clock=machine.clock)
    assert abs(found.ratio - 1) < 1e-3


def test_short_calls_are_timed_in_numbers():
    found = Simulated(2).compare()
    assert found.calls == 1
    machine = Simulated(2)
    short = machine.costs(1e-6)
    assert times(short, short, seconds=0.2, clock=machine.clock).calls >= 512


def test_a_callable_that_uses_no_processor_is_refused():
    with pytest.raises(InputError, match="perf_counter"):
        times(lambda: None, lambda: None, clock=lambda: 0.0)


def test_a_users_test_gets_the_fixture(paired):
    found = paired(lambda: sum(range(2000)), lambda: sum(range(1000)), seconds=0.5)
    assert found.is_at_most(0.03) is False
    assert found.ratio > 1.3
