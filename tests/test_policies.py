"""List policies on traces: misses, reports, and equality with the textbook's algorithms."""

import json

import numpy as np
import pytest

import mmcore
from mmcore._cli import run
from mmcore._curves import curves
from mmcore._replacement import known

TEXTBOOKS = ("fifo", "lru", "clock")


@pytest.fixture(scope="module")
def trace():
    """A trace of hot pages, a loop that is larger than any memory here, and noise."""
    rng = np.random.default_rng(7)
    count = 60_000
    hot = rng.zipf(1.3, count) % 300
    loop = 300 + np.arange(count) % 1_000
    noise = rng.integers(0, 2_000, count)
    kind = rng.integers(0, 10, count)
    pages = np.where(kind < 5, hot, np.where(kind < 8, loop, noise))
    return mmcore.Trace(pages, np.zeros(count, bool))


@pytest.fixture(scope="module")
def sample():
    return mmcore.Trace.sample()


@pytest.mark.parametrize("policy", TEXTBOOKS)
@pytest.mark.parametrize("source", ["trace", "sample"])
def test_a_textbooks_policy_misses_what_libcachesim_misses(policy, source, request):
    libcachesim = pytest.importorskip("libcachesim", reason="libcachesim is not installed")
    trace = request.getfixturevalue(source)
    ids = trace.ids[:300_000]
    short = mmcore.Trace(ids, np.zeros(len(ids), bool))
    sizes = [short.footprint // 10, short.footprint // 2]
    found = mmcore.policies(short, policy=policy, size=sizes, pagevec=1)
    for row in found.table:
        theirs = {
            "fifo": lambda size: libcachesim.FIFO(size),
            "lru": lambda size: libcachesim.LRU(size),
            # The textbook's clock: one bit for each page, not set for a new page.
            "clock": lambda size: libcachesim.Clock(size, init_freq=0, n_bit_counter=1),
        }[policy](row["size"])
        asked = libcachesim.Request()
        asked.obj_size = 1
        misses = 0
        for page in ids.tolist():
            asked.obj_id = page
            misses += not theirs.get(asked)
        assert row["requests"] == len(ids)
        assert round(row["miss_ratio"], 4) == round(misses / len(ids), 4)
        assert row["misses"] == misses


@pytest.mark.parametrize("policy", known())
def test_more_memory_than_pages_misses_each_once(policy, trace):
    (row,) = mmcore.policies(trace, policy=policy, size=trace.footprint).table
    assert row["misses"] == trace.footprint
    assert row["scanned"] == 0


@pytest.mark.parametrize("policy", known())
def test_misses_are_within_what_is_possible(policy, trace):
    for row in mmcore.policies(trace, policy=policy, size=[1, 10, 100, 1_000]).table:
        assert trace.footprint <= row["misses"] <= row["requests"] == len(trace)
        # A page that misses again was evicted, and left a shadow in its slot.
        assert row["refaulted"] == row["misses"] - trace.footprint


def test_the_kernels_policies_beat_fifo_where_few_pages_are_hot(trace):
    rows = {row["policy"]: row for row in mmcore.policies(trace, size=400).table}
    assert rows["two_list"]["misses"] < rows["fifo"]["misses"]
    assert rows["lru"]["misses"] < rows["fifo"]["misses"]


def test_a_warm_up_is_not_counted(trace):
    (row,) = mmcore.policies(trace, policy="lru", size=100, warm_up=20_000).table
    assert row["requests"] == len(trace) - 20_000


def test_progress_and_json(trace):
    seen = []
    found = mmcore.policies(
        trace, policy=["fifo", "lru"], size=50, progress=lambda share, _: seen.append(share)
    )
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    data = json.loads(found.to_json())
    assert data["kind"] == "policies"
    assert data["table"] == found.table
    assert [row["policy"] for row in data["table"]] == ["fifo", "lru"]
    assert "miss ratio" in str(found)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"policy": "lfu"}, "no list policy 'lfu'"),
        ({"policy": []}, "policy is empty"),
        ({"size": 0}, "not 0"),
        ({"size": 64.0}, "size must be a number"),
        ({"size": "64"}, "size must be a number"),
        ({"size": [1 << 64]}, "size must be a number"),
        ({"warm_up": -1}, "warm_up must be a number"),
        ({"warm_up": float("nan")}, "warm_up must be a number"),
        ({"pagevec": 1 << 63}, "pagevec must be a number"),
        ({"size": []}, "size is empty"),
        ({"warm_up": 60_000}, "must be less than the"),
        ({"pagevec": 99}, "pagevec"),
    ],
)
def test_bad_input_says_what_would_do(trace, options, says):
    with pytest.raises(mmcore.errors.InputError, match=says):
        mmcore.policies(trace, **options)


def test_the_command_prints_a_table_or_json(tmp_path, capsys):
    file = tmp_path / "trace.npz"
    mmcore.Trace([1, 2, 3, 1, 2, 3], [0] * 6).save(file)
    assert run(["policies", str(file), "--policy", "fifo,lru", "--size", "2,3"]) == 0
    shown = capsys.readouterr().out
    assert "1.0000" in shown
    assert "0.5000" in shown
    sets = ["--set", "workingset_mark=false", "--set", "pagevec=7"]
    assert run(["policies", str(file), "--size", "2", "--kernel", "6.1", *sets, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["policy"] for row in data["table"]] == list(known())


@pytest.mark.parametrize(
    "words",
    [["no-such-file"], ["--policy", "lfu"], ["--size", "many"], ["--kernel", "5.0"]],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, capsys):
    assert run(["policies", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_machine_reclaims_and_ages():
    with mmcore.Machine(nodes=["1MiB", "1MiB"]) as machine:
        machine.swapon("1MiB")
        region = machine.address_space().mmap("32KiB")
        region[:] = bytes(range(256)) * 128
        machine.drain()
        # The first scan finds every page accessed; a later round scans some of them again and frees
        # them.
        assert machine.reclaim(8) == 3
        assert machine.reclaim(1, node=1) == 0
        assert machine.age_node() == 0
        counters = machine.vmstat()
        assert counters["pgsteal_direct"] == counters["pgsteal_anon"] == counters["pswpout"] == 3
        assert counters["pgscan_direct"] == counters["pgscan_anon"] == 11
        machine.audit().raise_for_findings()
        assert region[:] == bytes(range(256)) * 128
        for call in (lambda: machine.reclaim(1, node=2), lambda: machine.age_node(node=2)):
            with pytest.raises(mmcore.errors.KernelError):
                call()


@pytest.mark.parametrize("policy", known())
def test_content_survives_reclaim_under_every_policy(policy):
    with mmcore.Machine(nodes=["1MiB", "1MiB"], lru_policy=policy) as machine:
        machine.swapon("1MiB")
        space = machine.address_space()
        region = space.mmap("256KiB")
        region[:] = bytes(range(256)) * 1024
        freed = 0
        for step in range(12):
            machine.drain()
            freed += machine.reclaim(16)
            machine.age_node()
            space.move_pages(region.addresses(), nodes=step % 2)
            assert region[:] == bytes(range(256)) * 1024
            machine.drain()
            machine.audit().raise_for_findings()
        assert freed > 0


def test_a_curve_has_a_point_for_each_size(trace, tmp_path):
    found = mmcore.policies(trace, policy="lru,fifo", size=[400, 100, 200])
    assert set(found.curves) == {"lru", "fifo"}
    for policy, points in found.curves.items():
        assert [size for size, _ in points] == [100, 200, 400]
        ratios = {row["size"]: row["miss_ratio"] for row in found.table if row["policy"] == policy}
        assert dict(points) == ratios
    found.plot(tmp_path / "curves.svg")
    image = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    for each in ("miss ratio", "pages of memory", "lru", "fifo", ">100<", ">200<", ">400<"):
        assert each in image
    found.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_misses_that_lie_far_apart_are_drawn_on_a_logarithmic_axis():
    near = curves({"lru": [(16, 0.5), (32, 0.25)]}).axes[0]
    far = curves({"lru": [(16, 0.5), (32, 0.001), (64, 0.0)]}).axes[0]
    assert (near.get_yscale(), far.get_yscale()) == ("linear", "log")
    assert near.get_ylim()[0] == 0


def test_the_command_draws_the_curves(tmp_path, capsys):
    image, page = tmp_path / "curves.svg", tmp_path / "curves.html"
    files = ["--plot", str(image), "--html", str(page)]
    assert run(["policies", "--policy", "lru", "--size", "64,128", *files]) == 0
    assert "miss ratio" in image.read_text(encoding="utf-8")
    assert "<svg" in page.read_text(encoding="utf-8")
    assert run(["policies", "--plot", str(tmp_path / "curves.txt")]) == 2
    assert "must end in one of" in capsys.readouterr().err
