"""Sweeps: a comparison for each point of a grid. `test_executors.py` spreads them over workers."""

import pytest

import mmcore
from mmcore.errors import InputError


def test_a_sweep_has_a_row_for_each_point_and_variant():
    found = mmcore.sweep(
        {"threads": [1, 2], "nodes": ["4MiB,4MiB", "nonsense"]},
        load="storm",
        vary="release=split,packed",
        gate="work",
        alone=True,
    )
    assert [each.status for each in found.points] == ["clean", "unusable"] * 2
    assert found.status == "unusable"
    assert [row.get("variant") for row in found.table] == ["split", "packed", None] * 2
    assert "nonsense" in found.points[1].problem
    assert "threads=1 nodes=nonsense" in found.verdict
    assert eval(found.command, {"mmcore": mmcore}).points[0].choices == found.points[0].choices


def test_a_sweep_takes_whole_profiles():
    profiles = [mmcore.Profile(kernel="6.1", pagevec=31), {"pagevec": 7}]
    options = {
        "load": "storm",
        "vary": "release=split,packed",
        "gate": "work",
        "nodes": "8MiB,8MiB",
    }
    found = mmcore.sweep({"profile": profiles}, **options)
    assert [each.problem for each in found.points] == [None, None], found
    first, second = (each.choices["profile"] for each in found.points)
    assert (first, second) == ({"kernel": "6.1", "pagevec": "31"}, {"pagevec": "7"})
    # The command of the sweep is a call with plain data, which is accepted as well.
    again = mmcore.sweep({"profile": [first]}, **options)
    assert [each.choices for each in again.points] == [found.points[0].choices]


@pytest.mark.parametrize(
    ("grid", "options", "said"),
    [
        ({"odd": [1]}, {}, "a sweep has no 'odd'"),
        ({"threads": [1]}, {"against": "x"}, "a sweep has no 'against'"),
        ({"threads": []}, {}, "the axis threads needs a list"),
        ({"load": "storm"}, {}, "the axis load needs a list"),
        ({"seed": [1]}, {"seed": 2}, "seed is an axis of the grid and an option"),
        ({"vary": [{"policy": [None, print]}]}, {}, "a sweep takes no functions"),
        ({"profile": [{"kernel": "6.1", "odd": 1}]}, {}, "odd"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(grid, options, said):
    with pytest.raises(InputError, match=said):
        mmcore.sweep(grid, **options)
