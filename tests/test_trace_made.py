"""Traces that are made follow their rule, and their seed alone."""

from itertools import pairwise

import numpy as np
import pytest

from mmcore import Trace
from mmcore.errors import InputError

MAKERS = [Trace.sequential, Trace.uniform, Trace.zipf, Trace.phases]


def test_a_sequential_trace_passes_over_all_pages_again_and_again():
    assert Trace.sequential(3, 8).pages.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_a_uniform_trace_accesses_all_pages_alike():
    counts = np.bincount(Trace.uniform(50, 100_000).pages.astype(int), minlength=50)
    # Each count has a standard deviation of 44.
    assert abs(counts - 2_000).max() < 5 * 44


def test_a_zipf_trace_accesses_the_page_of_rank_k_by_its_law():
    pages = Trace.zipf(100, 200_000, exponent=1.0).pages.astype(int)
    counts = np.bincount(pages, minlength=100)
    wanted = 200_000 / np.arange(1, 101) / (1 / np.arange(1, 101)).sum()
    assert np.sort(counts)[::-1][:10] == pytest.approx(wanted[:10], rel=0.05)
    assert (np.diff(np.argsort(counts)[::-1][:10]) != 1).all(), "hot pages are no neighbours"
    flat = np.bincount(Trace.zipf(10, 100_000, exponent=0).pages.astype(int))
    assert flat == pytest.approx(np.full(10, 10_000), rel=0.05)
    assert Trace.zipf(10, 1_000, exponent=16).footprint <= 3


def test_the_working_set_changes_with_each_phase():
    trace = Trace.phases(1_000, 40_000, phases=4, share=0.1)
    sets = [set(part.tolist()) for part in np.split(trace.pages, 4)]
    assert [len(each) for each in sets] == [100] * 4
    for one, other in pairwise(sets):
        assert len(one & other) < 40
    # Phases that do not divide the accesses differ by one access.
    assert len(Trace.phases(10, 7, phases=3)) == 7
    assert Trace.phases(5, 5, phases=5, share=0).footprint >= 1


@pytest.mark.parametrize("maker", MAKERS)
def test_the_seed_and_the_arguments_decide_all(maker, monkeypatch):
    trace = maker(300, 5_000, writes=0.25, threads=3, seed=5)
    again = maker(300, 5_000, writes=0.25, threads=3, seed=5)
    other = maker(300, 5_000, writes=0.25, threads=3, seed=6)
    assert trace == again
    assert trace != other
    assert trace.writes.mean() == pytest.approx(0.25, abs=0.03)
    assert np.bincount(trace.threads) == pytest.approx(np.full(3, 5_000 / 3), rel=0.1)
    assert f"Trace.{maker.__name__}(300, 5000" in trace.source
    assert not maker(300, 5_000, writes=0).writes.any()
    assert maker(300, 5_000, writes=1).writes.all()
    monkeypatch.setattr("mmcore._trace.made._STRETCH", 64)
    assert maker(300, 5_000, writes=0.25, threads=3, seed=5) == trace


def test_the_numbers_do_not_depend_on_the_version_of_numpy():
    assert [maker(100, 1_000, threads=2, seed=1).digest for maker in MAKERS] == [
        "1176768a0efea956",
        "007a5281537ead85",
        "2e1fd7190f420874",
        "dca9dcac2de2c0dc",
    ]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"pages": 0}, "pages must be a number from 1"),
        ({"pages": 2**28 + 1}, "pages must be a number from 1 to 268435456"),
        ({"pages": True}, "pages must be a number"),
        ({"accesses": 0}, "accesses must be a number from 1"),
        ({"accesses": 2**40}, "accesses must be a number from 1"),
        ({"writes": 1.1}, "writes must be a number from 0 to 1, not 1.1"),
        ({"writes": float("nan")}, "writes must be"),
        ({"writes": "1"}, "writes must be"),
        ({"threads": 0}, "threads must be a number from 1 to 65536"),
        ({"seed": -1}, "seed must be a number from 0"),
    ],
)
def test_values_out_of_range_are_refused(maker, odd, says):
    with pytest.raises(InputError, match=says):
        maker(**{"pages": 10, "accesses": 10, **odd})


def test_the_shape_is_checked_too():
    for odd in ({"exponent": -1}, {"exponent": 17}, {"exponent": None}):
        with pytest.raises(InputError, match="exponent must be a number from 0 to 16"):
            Trace.zipf(10, 10, **odd)
    for odd in ({"phases": 0}, {"phases": 11}, {"share": -1}, {"share": 2}):
        with pytest.raises(InputError, match="must be a number"):
            Trace.phases(10, 10, **odd)
