"""Tiering with a policy written in Python."""

import json
import threading

import numpy as np
import pytest

import mmcore
from mmcore import Trace
from mmcore._comparison import Options
from mmcore._comparison.plan import make_plan
from mmcore._mmcore import LoadRig, count_hits
from mmcore.errors import InputError

PAGES = 400


def hottest(hits, node, age):  # noqa: ARG001 - as policies are called
    """Promotes the most used pages of the epoch, and demotes the least used."""
    fast = np.flatnonzero(node == 0)
    hot = np.flatnonzero((node == 1) & (hits > 0))
    hot = hot[np.argsort(hits[hot])[::-1]][:16]
    cold = fast[np.argsort(hits[fast], kind="stable")][: len(hot)]
    return hot, cold


def stay(hits, node, age):  # noqa: ARG001 - as policies are called
    """Leaves every page on the node of its first access."""
    return [], []


def wandering(accesses=200_000):
    """A trace with a working set that changes from time to time."""
    rng = np.random.default_rng(1)
    start = np.arange(accesses) // 20_000 * 40
    ids = (start + rng.integers(0, PAGES // 8, accesses)) % PAGES
    return Trace(ids, rng.random(accesses) < 0.3)


def rig(policy, **changes):
    trace = wandering()
    arrays = (trace.ids, trace.writes.astype(np.uint8), trace.threads)
    config = {"load": "tiering", "mutators": 2, "memcpy": False, **changes}
    return LoadRig(json.dumps(config), arrays, policy)


@pytest.mark.parametrize("release", ["split", "packed", "putback"])
def test_a_policy_moves_pages_and_every_byte_is_right(release):
    loaded = rig(hottest, profile={"release": release})
    rounds = [json.loads(loaded.run(seed, 0.1)) for seed in range(3)]
    assert sum(round_["migrated"] for round_ in rounds) > 0
    end = json.loads(loaded.finish())
    assert end["verified_words"] == 512 * PAGES
    assert end["vmstat"]["pgmigrate_success"] >= end["migrated"]


def test_a_policy_is_shown_the_accesses_of_each_epoch():
    seen = []

    def looks(hits, node, age):
        seen.append((hits.copy(), node.copy(), age.copy(), threading.get_ident()))
        return [], []

    loaded = rig(looks)
    seen.clear()
    round_ = json.loads(loaded.run(1, 0.2))
    loaded.finish()
    assert len(seen) > 3
    # A policy gets each access once, but not those of the last, unfinished epoch. The first epoch
    # began before this run.
    assert sum(int(hits.sum()) for hits, *_ in seen[1:]) <= sum(round_["accesses_by_node"])
    for hits, node, age, thread in seen:
        assert (hits.dtype, node.dtype, age.dtype) == (np.uint32, np.int8, np.uint32)
        assert len(hits) == len(node) == len(age) == PAGES
        # An epoch has eight accesses a page, or more if a busy host delays its end.
        assert hits.sum() >= 8 * PAGES
        assert (age[hits > 0] == 0).all()
        assert (age[hits == 0] > 0).all()
        assert set(np.unique(node)) <= {-1, 0, 1}
        assert thread != threading.get_ident()
    (_, _, before, _), (hits, _, after, _) = seen[:2]
    assert (after[hits == 0] == before[hits == 0] + 1).all()


def test_pages_that_a_policy_leaves_stay():
    loaded = rig(stay)
    rounds = [json.loads(loaded.run(seed, 0.05)) for seed in range(2)]
    assert [round_["migrated"] for round_ in rounds] == [0, 0]
    loaded.finish()


def test_an_exception_of_a_policy_ends_the_load():
    calls = []

    def breaks(hits, node, age):  # noqa: ARG001 - as policies are called
        calls.append(len(hits))
        if len(calls) == 3:
            raise ZeroDivisionError("no luck")
        return [], []

    with pytest.raises(ZeroDivisionError, match="no luck"):
        run_for_ever(rig, breaks)
    assert len(calls) == 3


def run_for_ever(build, policy):
    loaded = build(policy)
    for seed in range(100):
        loaded.run(seed, 0.05)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (None, TypeError, "two arrays"),
        (([1],), TypeError, "two arrays"),
        (([PAGES], []), IndexError, f"promote: no page {PAGES}"),
        (([], [-1]), IndexError, "demote: no page -1"),
        (([0.5], []), TypeError, "promote must be integers"),
        (([[1]], []), ValueError, "one dimension"),
    ],
)
def test_a_wrong_answer_ends_the_load(answer, error, text):
    with pytest.raises(error, match=text):
        run_for_ever(rig, lambda *_: answer)


def test_a_storm_has_no_policy():
    with pytest.raises(ValueError, match="a policy needs load tiering"):
        LoadRig(json.dumps({"load": "storm"}), None, stay)
    with pytest.raises(InputError, match="a policy needs load tiering"):
        make_plan(None, Options(load="storm"), vary={"policy": [None, stay]})


def test_policies_are_compared_by_where_the_accesses_go():
    result = mmcore.compare(
        wandering(), vary={"policy": [stay, hottest, None]}, seconds=4.0, seed=3, precision=0.02
    )
    assert result.labels == ["stay", "hottest", "kernel"]
    still, moving, kernel = result.table
    assert still["migrated"] == 0 < moving["migrated"]
    assert still["ratio"] is None
    assert still["primary"] == "accesses_per_modelled_s"
    # The working set changes: a policy that follows it serves more accesses from the fast node.
    assert moving["fast_share"] > still["fast_share"] + 0.1
    assert moving["ratio"]["ratio"] > 1
    assert 0 < kernel["fast_share"] <= 1
    text = str(result)
    assert "hits on the fast node" in text
    assert "accesses / modelled second" in text
    assert "pages migrated / s" in text
    # On a busy host there are few rounds and the interval is wide, so the verdict may be open.
    assert "hottest: slower" not in result.verdict
    assert not result.conclusive or "from stay" in result.verdict or "than stay" in result.verdict
    data = json.loads(result.to_json())
    assert data["command"].startswith("mmcore.compare(")
    assert "{'policy': [stay, hottest, None]}" in data["command"]
    assert "hits on the fast node" in result.to_html()


def test_the_figures_of_a_policy_are_the_same_for_any_time():
    def described(seconds, threads=2):
        result = mmcore.compare(
            wandering(), vary={"policy": [stay, hottest, None]}, seconds=seconds, threads=threads
        )
        names = ("fast_share", "modelled_ns_per_access", "accesses_per_modelled_s")
        return [[row[name] for name in names] for row in result.table], result.work

    first = described(0.3)
    assert first == described(1.0) == described(0.3, threads=1)
    shares = [row[0] for row in first[0]]
    assert shares[1] > shares[0] + 0.1
    assert first[1][0].startswith(f"hottest serves {shares[1]:.1%} of the accesses from the fast")


def test_an_exception_of_a_policy_ends_the_count():
    def breaks(hits, node, age):  # noqa: ARG001 - as policies are called
        raise RuntimeError("as it is")

    trace = wandering()
    arrays = (trace.ids, trace.writes.astype(np.uint8), trace.threads)
    with pytest.raises(RuntimeError, match=r"^as it is$"):
        count_hits(json.dumps({"load": "tiering"}), arrays, breaks)


def test_an_exception_of_a_policy_ends_the_comparison():
    def breaks(hits, node, age):  # noqa: ARG001 - as policies are called
        raise RuntimeError("as it is")

    with pytest.raises(RuntimeError, match=r"^as it is$"):
        mmcore.compare(wandering(), vary={"policy": [stay, breaks]}, seconds=2.0)


def test_fields_and_policies_may_vary():
    plan = make_plan(wandering(), vary={"release": ["split", "packed"]})
    assert [variant.profile for variant in plan.variants] == [
        {"release": "split"},
        {"release": "packed"},
    ]
    assert "--load tiering --vary release=split,packed" in plan.command
    plan = make_plan(wandering(), vary={"policy": [stay, stay]})
    assert [variant.label for variant in plan.variants] == ["stay", "stay (2)"]
    for wrong in ({}, {"policy": [1, stay]}, {"policy": [stay]}, {"release": ["a"], "policy": []}):
        with pytest.raises(InputError):
            make_plan(wandering(), vary=wrong)
