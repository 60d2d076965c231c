"""Loads of comparisons hear signals in their set-up, rounds, counts and end."""

import json

import numpy as np
import pytest

import mmcore
from mmcore._mmcore import LoadRig, count_hits, count_ops
from test_long_calls import interrupted

LOADS = ("tiering", "storm", "compaction", "zram")
#: Seconds of a round, which a signal ends long before.
ROUND = 20.0


def load(kind, **changes):
    # Pageblocks are smaller than by default, so that a small node has enough of them.
    few = {"pages": 4096, "mutators": 2, "memcpy": False, "profile": {"pageblock_order": 6}}
    return json.dumps({"load": kind, **few, **changes})


def accesses(count, pages=2048):
    """The arrays of a trace whose pages do not fit into the fast node."""
    pages = np.random.default_rng(3).zipf(1.2, count) % pages
    return pages.astype(np.uint32), np.resize([0, 1], count).astype(np.uint8), np.zeros(count, "u2")


def rig_of(kind, **changes):
    trace = accesses(1 << 18, changes.get("pages", 2048)) if kind == "tiering" else None
    return LoadRig(load(kind, **changes), trace)


@pytest.mark.parametrize("kind", LOADS)
def test_a_round_of_a_load_ends_by_a_signal_and_the_load_can_be_run_again(kind):
    rig = rig_of(kind)
    interrupted(mmcore.Machine(nodes=["64KiB"]), lambda: rig.run(1, ROUND), waits=True)
    assert json.loads(rig.run(2, 0.05))["accesses"] > 0
    assert json.loads(rig.finish())["rounds"] == 1


@pytest.mark.parametrize("kind", LOADS)
def test_the_end_of_a_load_is_interrupted_and_made_again(kind):
    rig = rig_of(kind, pages=1 << 16)
    rig.run(1, 0.05)
    interrupted(mmcore.Machine(nodes=["64KiB"]), rig.finish)
    assert json.loads(rig.finish())["verified_words"] > 0


@pytest.mark.parametrize("kind", LOADS[1:])
def test_the_set_up_of_a_load_ends_by_a_signal(kind):
    # The pages of a device are compressed, and so need their bytes.
    size = {"pages": 1 << 14} if kind == "zram" else {"pages": 1 << 17, "copy": False}
    interrupted(mmcore.Machine(nodes=["64KiB"]), lambda: rig_of(kind, **size))


def test_the_counts_of_a_load_end_by_a_signal():
    trace, machine = accesses(1 << 22), mmcore.Machine(nodes=["64KiB"])
    interrupted(machine, lambda: count_hits(load("tiering"), trace))
    for kind in LOADS:
        interrupted(machine, lambda kind=kind: count_ops(load(kind, pages=1 << 15), trace))
