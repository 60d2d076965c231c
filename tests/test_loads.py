"""The loads through the binding: configurations and reports are JSON, traces are arrays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from conftest import DESIGNS
from mmcore import Trace
from mmcore._mmcore import LoadRig, count_ops, count_puts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = tuple["NDArray[np.uint32]", "NDArray[np.uint8]", "NDArray[np.uint16]"]


@pytest.fixture(scope="module")
def sample() -> Arrays:
    trace = Trace.sample()
    return trace.ids, trace.writes.astype(np.uint8), trace.threads


def config(load: str, **changes: Any) -> str:
    return json.dumps({"load": load, "pages": 2048, "mutators": 2, **changes})


@pytest.mark.parametrize("design", DESIGNS)
def test_the_shipped_trace_ends_with_the_bytes_of_its_replay(design: str, sample: Arrays) -> None:
    rig = LoadRig(config("tiering", profile={"release": design}), sample)
    # A round may be without migrations, in a quiet part of the program or on a busy host.
    rounds = [json.loads(rig.run(seed, 0.05)) for seed in range(8)]
    assert sum(round_["migrated"] for round_ in rounds) > 0
    for round_ in rounds:
        assert round_["accesses"] == sum(round_["accesses_by_node"]) > 0
        assert round_["modelled_ns"] >= 100 * round_["accesses"]
    end = json.loads(rig.finish())
    assert end["verified_words"] == 512 * (int(sample[0].max()) + 1)


@pytest.mark.parametrize("design", DESIGNS)
def test_a_storm_is_clean(design: str) -> None:
    rig = LoadRig(config("storm", profile={"release": design}))
    round_ = json.loads(rig.run(2**64 - 1, 0.1))
    assert round_["migrated"] > 0
    assert sum(count for _, count in round_["latency_ns"]) == round_["migrated"] + round_["failed"]
    assert round_["memcpy_pages_per_s"] > 0
    assert json.loads(rig.finish())["rounds"] == 1
    with pytest.raises(ValueError, match="finished"):
        rig.run(1, 0.1)


def test_a_lost_copy_is_a_finding() -> None:
    rig = LoadRig(config("storm", planted={"lost_copy": True}))

    def rounds() -> None:
        for seed in range(100):
            rig.run(seed, 0.1)

    with pytest.raises(RuntimeError, match=r"wrong content.*\n.*seed"):
        rounds()


@pytest.mark.parametrize("load", ["compaction", "zram"])
def test_a_hook_with_a_lock_costs_every_moved_page_and_every_access(load: str) -> None:
    """The other hooks cost nothing: the figures of docs/design.md, on a smaller node."""
    costs = {}
    for design in ("split", "hook", "hook_late", "packed"):
        fields = {"release": design, "pageblock_order": 6}
        counted = json.loads(count_ops(config(load, profile=fields, pages=4096)))
        moved, accesses, used = (counted[name] for name in ("migrated", "accesses", "used"))
        assert moved >= 1000
        assert accesses > 0
        costs[design] = (
            counted["other_locks"] / moved,
            used["other_locks"] / accesses,
            counted["rmw"] / moved,
        )
    split, hook, late, packed = costs.values()
    assert hook[0] > split[0] + 3
    assert hook[1] > 1.05 * late[1]
    assert late[0] == pytest.approx(split[0], rel=0.05)
    assert packed[0] == pytest.approx(split[0], rel=0.05)
    assert packed[2] < late[2] - 1


def test_putback_costs_more_than_split(sample: Arrays) -> None:
    for load, trace in (("storm", None), ("tiering", sample)):
        cost = {}
        for design in ("split", "putback"):
            counted = json.loads(count_ops(config(load, profile={"release": design}), trace))
            migrated = counted.pop("migrated")
            assert migrated >= 1000
            cost[design] = {name: count / migrated for name, count in counts_of(counted).items()}
        for name, each in cost["split"].items():
            assert cost["putback"][name] > each, (load, name, cost)


def counts_of(counted: dict[str, int]) -> dict[str, int]:
    return {name: counted[name] for name in ("rmw", "lruvec_locks", "pagevec_inserts", "list_ops")}


def test_hook_takes_a_lock_on_every_put() -> None:
    locks = {}
    for design in DESIGNS:
        counted = json.loads(count_puts(config("storm", profile={"release": design})))
        locks[design] = counted["kept"]["other_locks"] / counted["puts"]
    assert locks == {design: float(design == "hook") for design in DESIGNS}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "EOF"),
        ("[]", "invalid"),
        ('{"load": "rain"}', "rain"),
        ('{"load": "tiering"}', "needs a trace"),
        ('{"migrators": -1}', "-1"),
        ('{"seed": 18446744073709551616}', "invalid"),
        ('{"profile": {"release": "best"}}', "hook_late"),
    ],
)
def test_a_wrong_configuration_is_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        LoadRig(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_wrong_time_is_refused_and_changes_nothing(seconds: float) -> None:
    rig = LoadRig(config("storm", copy=False))
    with pytest.raises(ValueError, match="cannot take"):
        rig.run(1, seconds)
    assert json.loads(rig.run(1, 0.02))["migrated"] > 0
