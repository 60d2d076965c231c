"""`mmcore.compare` on a simulated machine: the plan, the rounds, the report."""

import json
import re
from collections import Counter
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.cbook import STEP_LOOKUP_MAP

import mmcore
from mmcore import Trace
from mmcore._comparison import Comparison, Options, plots
from mmcore._comparison.histogram import Histogram
from mmcore._comparison.plan import RELEASES, make_plan, parse_vary
from mmcore._comparison.runner import measure
from mmcore._units import NodeSize, format_size, parse_nodes, parse_size
from mmcore.errors import FindingError, InputError
from mmcore.typing import Load
from simulated_rig import SimulatedBackend

TRACE = Trace(np.arange(10_000) % 500, np.arange(10_000) % 3 == 0)


def run(backend=None, **options):
    backend = backend or SimulatedBackend({"packed": 1.25, "hook": 0.9})
    trace, vary = options.pop("trace", TRACE), options.pop("vary", None)
    plan = make_plan(trace, Options(**{"seconds": 20.0, **options}), vary=vary)
    progress = []
    result = Comparison(measure(plan, backend, progress.append, clock=backend.clock))
    return result, backend, progress


@pytest.fixture(scope="module")
def result():
    return run()[0]


def test_the_verdict_names_what_is_faster_slower_and_unresolved(result):
    lines = dict(line.split(": ", 1) for line in result.time)
    assert result.verdict == "\n".join(
        [f"work: {line}" for line in result.work] + [f"time: {line}" for line in result.time]
    )
    assert lines["packed"].startswith("faster than split, +2")
    assert lines["hook"].startswith("slower than split, -")
    assert lines["putback"].startswith("no difference resolved from split")
    assert result.conclusive


def test_the_table_has_one_row_a_variant(result):
    assert [row["variant"] for row in result.table] == list(RELEASES)
    baseline, putback = result.table[:2]
    assert baseline["ratio"] is None
    assert putback["per_page"]["pagevec_inserts"] == 2
    assert baseline["latency"] == {"p50_ns": 1000, "p99_ns": 5000, "p99.9_ns": 20000}
    assert baseline["modelled_ns_per_access"] == pytest.approx(150)
    assert 0.5 < baseline["share_of_memcpy"] < 3


def test_variants_take_turns_in_an_order_and_its_reverse(result):
    order = [sample.variant for sample in result.measurement.samples]
    rounds = [order[i : i + 5] for i in range(0, len(order), 5)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in rounds)
    assert all(there == back[::-1] for there, back in zip(rounds[::2], rounds[1::2], strict=True))
    trials = [sample.trial for sample in result.measurement.samples]
    assert sorted(trials) == trials
    assert min(Counter(trials).values()) >= 10, "each trial has a pair of rounds"
    assert len({tuple(one) for one in rounds[::2]}) > 3, "the order is drawn anew for each pair"


def test_all_variants_of_a_round_get_the_same_seed_and_rounds_differ(result):
    seeds = {}
    for sample in result.measurement.samples:
        seeds.setdefault(sample.round, set()).add(sample.seed)
    assert all(len(one) == 1 for one in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds)


def test_a_narrow_interval_stops_early_and_the_time_stops_otherwise():
    early, _, _ = run(SimulatedBackend(sigma=0.001), vary="release=split,packed")
    assert early.measurement.stopped == "precision"
    assert early.measurement.elapsed < 18
    late, _, _ = run(SimulatedBackend(sigma=0.5), vary="release=split,packed")
    assert late.measurement.stopped == "time"
    assert 20 <= late.measurement.elapsed < 21


def test_too_few_rounds_are_inconclusive():
    short, _, _ = run(seconds=0.3)
    assert not short.conclusive
    assert short.time[0].startswith("inconclusive")
    assert short.status == "inconclusive"
    json.loads(short.to_json())
    none, _, _ = run(seconds=0.01)
    assert none.time[0].startswith("inconclusive: 0 trials")
    assert "inconclusive" in str(none)
    json.loads(none.to_json())


@pytest.mark.parametrize(
    ("making", "trials", "known"),
    [
        (0.0, range(28, 31), True),
        # Of the 28 trials that the time is divided into, some do not fit.
        (1.0, range(16, 24), True),
        # The last trials that an interval needs are shorter than the first.
        (1.5, range(16, 17), True),
        (5.0, range(4, 7), False),
    ],
)
def test_the_whole_ends_within_a_minute_however_long_machines_take_to_make(making, trials, known):
    backend = SimulatedBackend(sigma=0.5, making=making)
    ended, _, progress = run(backend, vary="release=split,packed")
    assert backend.now <= 60
    assert len(ended.measurement.verified[0]) in trials
    assert ended.interval(1).known == known
    assert ended.measurement.stopped == "time"
    assert progress[-1].fraction <= 1


def test_more_seconds_of_measuring_allow_more_for_the_whole():
    backend = SimulatedBackend(sigma=0.5, making=5.0)
    ended, _, _ = run(backend, vary="release=split,packed", seconds=80.0)
    assert 200 < backend.now <= 240
    assert ended.interval(1).known


def test_json_has_everything_and_repeats_the_run(result, tmp_path):
    path = tmp_path / "c.json"
    text = result.to_json(path)
    data = json.loads(path.read_text())
    assert json.loads(text) == data
    assert data["kind"] == "comparison"
    assert data["build"] == mmcore.build_info()
    assert data["seed"] == 1
    assert data["trace"]["digest"] == TRACE.digest
    assert len(data["samples"]) == len(result.measurement.samples)
    assert data["samples"][0]["huge_pages"] == 0, "what the core adds is kept"
    assert "--vary release=split,putback,hook,hook_late,packed" in data["command"]
    again, _, _ = run()
    assert again.to_json() == text


def test_the_page_is_self_contained(result, tmp_path):
    page = result.to_html(tmp_path / "c.html")
    assert (tmp_path / "c.html").read_text() == page
    assert "<svg" in page
    assert all(label in page for label in RELEASES)
    assert not re.search(r'(?:src|href)="(?!#)|url\((?!#)|@import', page), "nothing is loaded"


@pytest.mark.parametrize(
    ("name", "magic"), [("p.svg", b"<?xml"), ("p.pdf", b"%PDF"), ("p.png", b"\x89PNG")]
)
def test_plots_are_written_in_each_format(result, tmp_path, name, magic):
    result.plot(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_plot_of_an_unknown_kind_is_refused(result, tmp_path):
    with pytest.raises(InputError, match="must end in one of"):
        result.plot(tmp_path / "p.xyz")


def test_the_latency_plot_shows_the_share_of_batches_that_took_at_least_as_long(result):
    axes = plots._figure(result).axes[1]
    assert axes.get_ylabel() == "share of batches that take at least as long"
    line = axes.lines[0]
    # The drawn line, with the corners of its steps.
    times, shares = STEP_LOOKUP_MAP[line.get_drawstyle()](line.get_xdata(), line.get_ydata())
    samples = (each for each in result.measurement.samples if each.variant == 0)
    taken = Histogram(each.report.latency_ns for each in samples)
    for time in (1.0, 1.5, 4.9, 5.0, 5.1, 19.9, 20.0):
        # If the line falls at this time, its upper end counts: "at least" includes the time itself.
        drawn = shares[np.flatnonzero(times >= time)[0]]
        long = taken.counts[taken.values >= time * 1e3].sum() / taken.counts.sum()
        assert drawn == pytest.approx(long), f"{time} µs"


def test_a_drawn_curve_leaves_out_only_what_no_eye_sees():
    values = np.arange(1.0, 5_001.0)
    share = np.geomspace(1, 1e-4, 5_000)
    kept, shares = plots.thinned(values, share)
    assert (kept[0], kept[-1], shares[0]) == (1, 5_000, 1)
    assert len(kept) < 200
    assert (shares[1:] / shares[:-1] > 0.92).all()
    few = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.5, 0.1])
    assert [list(each) for each in plots.thinned(*few)] == [list(each) for each in few]
    nothing = np.array([])
    assert len(plots.thinned(nothing, nothing)[0]) == 0


def test_samples_are_arrays_by_round(result):
    speeds = result.samples["packed"]["pages_per_cpu_s"]
    assert len(speeds) * 5 == len(result.measurement.samples)
    ratios = speeds / result.samples["split"]["pages_per_cpu_s"]
    assert np.median(ratios) == pytest.approx(1.25, rel=0.02)


def test_progress_names_each_stage_in_order():
    _, _, progress = run()
    stages = [p.stage for p in progress]
    assert list(dict.fromkeys(stages)) == ["count", "build", "warm up", "measure", "verify"]
    assert all(0 <= p.fraction <= 1 for p in progress)
    measuring = [p.fraction for p in progress if p.stage != "count"]
    assert all(a <= b for a, b in pairwise(measuring))


def test_a_value_given_twice_is_two_variants_counted_once():
    twice, backend, _ = run(vary="release=split,split")
    assert twice.labels == ["split", "split (2)"]
    turns = Counter(release for release, _ in backend.log)
    trials = len(twice.measurement.verified[0])
    left_out = turns["split"] - len(twice.measurement.samples) - 2 * trials
    assert 0 <= left_out < 4 * trials, "each trial warms up, and may cut a pair of rounds off"


@pytest.mark.parametrize("stage", ["run", "finish"])
def test_a_finding_of_the_core_is_raised_with_seed_and_command(stage):
    backend = SimulatedBackend(fail={stage: RuntimeError("frame 7: count 2, ledger 1")})
    with pytest.raises(
        FindingError, match=r"^\w+: frame 7.*\n.*seed 5; repeat with: mmcore compare"
    ) as found:
        run(backend, seed=5)
    assert isinstance(found.value.__cause__, RuntimeError)


def test_a_refusal_of_the_core_is_bad_input():
    backend = SimulatedBackend(
        fail={"build": ValueError("no field 'relase'; fields: release, passes")}
    )
    with pytest.raises(InputError, match="no field 'relase'"):
        run(backend)


def test_a_trace_that_moves_too_little_is_refused_with_advice_that_can_be_followed():
    nodes, tried = None, []
    while True:
        options = {} if nodes is None else {"nodes": nodes}
        with pytest.raises(InputError, match="only 999 migrations, fewer than 1000") as refused:
            run(SimulatedBackend(fail={"migrations": 999}), **options)
        advice = str(refused.value)
        if "--nodes" not in advice:
            break
        nodes = re.search(r"such as --nodes (\S+), or record", advice)[1]
        tried.append(nodes)
    # Half as large each time, down to 16 pages; the trace has 500 pages.
    assert tried == ["248KiB,5MiB", "124KiB,5MiB"]
    assert advice.endswith("record a program that uses more memory")


def test_a_fast_node_has_16_pages_at_least():
    smallest = make_plan(TRACE, Options(nodes="64KiB,5MiB"))
    assert smallest.nodes[0].bytes == 16 * 4096
    with pytest.raises(InputError, match="a node of 60KiB is too small: at least 64KiB"):
        make_plan(TRACE, Options(nodes="60KiB,5MiB"))
    with pytest.raises(InputError, match="a node of 64KiB is too small: at least 256KiB"):
        make_plan(None, Options(load="storm", nodes="64KiB,5MiB"))


def test_a_turn_without_a_migration_is_refused():
    with pytest.raises(InputError, match="no page was migrated in a turn of 1 s"):
        run(SimulatedBackend(fail={"idle": 10**9}))


def test_turns_that_are_too_short_are_made_longer_and_their_blocks_dropped():
    result, _, _ = run(SimulatedBackend(fail={"idle": 4}), vary="release=split,packed")
    assert result.measurement.dropped == 2, "the warm-up of each variant took one idle turn"
    assert result.conclusive
    assert len(result.measurement.samples) % 4 == 0
    assert not np.isnan(result.samples["packed"]["pages_per_s"]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"load": "rain"}, "load 'rain' is not one of tiering, storm, compaction, zram"),
        ({"load": "storm"}, "leave the trace out"),
        ({"trace": None}, "give one"),
        ({"threads": 0}, "threads must be a number from 1 to 15, not 0"),
        ({"alone": True}, "alone needs load storm or compaction: in tiering"),
        ({"load": "zram", "copy": False, "trace": None}, "contents to compress"),
        ({"load": "compaction", "poison_rate": 0.1, "trace": None}, "a poison rate needs"),
        ({"load": "compaction", "nodes": "8MiB,8MiB", "trace": None}, "compacts one node"),
        ({"seconds": 0.0}, "seconds must be more than 0"),
        ({"seconds": float("nan")}, "seconds must be"),
        ({"precision": 0.0}, "precision must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 1 << 64}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"threads": 1 << 63}, "threads must be"),
        ({"threads": "2"}, "threads must be"),
        ({"seconds": 1.8e19}, "seconds must be"),
        ({"seconds": 10**400}, "seconds must be"),
        ({"seconds": float("inf")}, "seconds must be"),
        ({"precision": float("nan")}, "precision must be"),
        ({"precision": "0.5"}, "precision must be"),
        ({"precision": 10**400}, "precision must be"),
        ({"poison_rate": -0.1}, "poison_rate must be"),
        ({"nodes": "9" * 5000}, "is not a size"),
        ({"nodes": "16EiB,16EiB"}, "is not a size"),
        ({"nodes": "99999999TiB,1MiB"}, "less than 2**64"),
        ({"vary": "release"}, "FIELD=a,b"),
        ({"vary": "release=split"}, "2 to 16 variants, not 1"),
        ({"vary": "release=split,,packed"}, "an empty value"),
        ({"nodes": "1GiB"}, "2 to 8 nodes, not 1"),
        ({"nodes": "64MiB,x"}, "'x' is not a size"),
        ({"nodes": "64MiB,64MiB:fast"}, "'fast' is not a latency"),
        ({"nodes": "64MiB,5000"}, "not a multiple of 4096"),
        ({"nodes": "4KiB,1GiB"}, "too small"),
        ({"nodes": "256KiB,256KiB"}, "the trace touches 500 pages"),
        ({"nodes": "16TiB,1TiB"}, "a machine has"),
        ({"nodes": "0,1GiB"}, "must be positive"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    with pytest.raises(InputError) as refused:
        run(**options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sizes_are_read_as_people_write_them():
    assert parse_size("64MiB") == parse_size("64M") == parse_size("64 mb") == parse_size(64 << 20)
    assert parse_size("64b") == parse_size("64") == 64
    for wrong in ("5bb", "64bib", "64ib", "64ki", "m", ""):
        with pytest.raises(InputError, match="not a size"):
            parse_size(wrong)
    assert parse_nodes("1GiB,4GiB:250ns,2G:0.3us", latencies=(80.0, 200.0)) == (
        NodeSize(1 << 30, 80.0),
        NodeSize(4 << 30, 250.0),
        NodeSize(2 << 30, 300.0),
    )


@given(st.integers(1, 1 << 60))
def test_a_size_survives_being_written(size):
    assert parse_size(format_size(size)) == size


@given(st.text())
def test_any_text_is_a_list_of_variants_or_refused(text):
    try:
        variants = parse_vary(text)
    except InputError:
        return
    assert all(value for variant in variants for value in variant.profile.values())


def test_without_nodes_the_load_chooses_them():
    plan = make_plan(TRACE)
    assert plan.config(plan.variants[0])["nodes"] == []
    assert "--nodes" not in plan.command


@given(st.lists(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5)))), st.floats(0.01, 1))
def test_histogram_quantiles_are_those_of_the_observations(parts, q):
    histogram = Histogram(parts)
    observed = sorted(value for part in parts for value, count in part for _ in range(count))
    if not observed:
        assert histogram.quantile(q) is None
    else:
        expected = np.quantile(observed, q, method="inverted_cdf")
        assert histogram.quantile(q) == expected


REAL = {"vary": "release=split,putback", "seconds": 1.0, "threads": 1}


@pytest.mark.parametrize(
    ("load", "copy"),
    [(load, copy) for load in get_args(Load) for copy in (True, False) if copy or load != "zram"],
)
def test_the_real_machine_measures_verifies_and_counts(load, copy):
    result = mmcore.compare(load=load, copy=copy, **REAL)
    assert result.measurement.samples
    split, putback = result.table
    for row in result.table:
        assert row["migrated"] > 0
        assert row["share_of_memcpy"] > 0
        assert row["latency"]["p50_ns"] <= row["latency"]["p99.9_ns"]
    for name in ("rmw", "lruvec_locks", "pagevec_inserts"):
        assert putback["per_page"][name] > split["per_page"][name]
    for ends in result.measurement.verified:
        assert all(end["rounds"] > 0 for end in ends)
        assert all((end["verified_words"] > 0) == copy for end in ends)
    json.loads(result.to_json())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vary": "relase=split,packed"}, "relase"),
        ({"vary": "release=split,fast"}, "fast"),
        ({"kernel": "9.9"}, "9.9"),
        ({"nodes": "8MiB,8MiB", "trace": Trace.sample()}, "migrations"),
        ({"nodes": "8MiB,8MiB"}, "touches 16166 pages"),
        ({"trace": Trace([1, 2], [0, 1])}, ""),
    ],
)
def test_the_real_machine_refuses_in_one_line(options, message):
    with pytest.raises(InputError) as refused:
        mmcore.compare(**{**REAL, **options})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_pages_of_a_trace_of_reads_are_memory_that_moves():
    # As oracleGeneral files and the records of DAMON are, which tell no writes.
    found = mmcore.compare(Trace(range(300), [False] * 300), **REAL | {"gate": "work"})
    for row in found.table:
        # A fast node of a quarter of the pages; without memory every page counts for it.
        assert 0.2 < row["fast_share"] < 0.5
        assert row["per_page"]["pagevec_inserts"] >= 1
