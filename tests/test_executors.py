"""Searches, replays and comparisons on executors: the same results, whatever becomes of workers."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import mmcore
from executors import Exits, FreesTwice, Moody, Plain, Reversed
from fuzz.providers import MAKERS
from mmcore import searches
from mmcore._exploration import planned, soak
from mmcore._exploration.hunting import defect
from mmcore.errors import InputError, WorkersLostError
from subprocesses import run

MOVE = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n"
#: Nobody drains, so that the page is on no list, and the isolation is refused.
REFUSED = "map r0 anon 1\nwrite r0\nthread A\n  isolate r0\nthread B\n  read r0\n"
RACE = "copy-after-restore"
#: A defect that this search finds after some blocks of schedules.
LATE = defect("look-and-switch-apart")
RECORDINGS = sorted((Path(__file__).parent / "recordings" / "6.12").glob("h0[1-3]*.json"))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """A search of a few hundred schedules has several parts. Workers never see these sizes."""
    monkeypatch.setattr(planned, "_BLOCK", 64)
    monkeypatch.setattr(soak, "_EACH", 50)


def processes():
    # Fork would copy the threads' locks of this process, which has some.
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module")
def cluster():
    """A real cluster of Dask: two workers, each a process with two threads."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    options = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(**options) as made, distributed.Client(made) as client:
        yield client


@pytest.fixture(scope="module")
def pool():
    with processes() as made:
        mmcore.explore(MOVE, schedules=200, executor=made)  # starts the processes
        yield made


@pytest.fixture(params=["threads", "processes", "function", "reversed", "dask"])
def executor(request):
    match request.param:
        case "threads":
            with ThreadPoolExecutor(3) as made:
                yield made
        case "processes":
            yield request.getfixturevalue("pool")
        case "function":
            yield processes
        case "reversed":
            yield Reversed()
        case "dask":
            yield request.getfixturevalue("cluster").get_executor()


def policies(**options):
    found = mmcore.policies(
        mmcore.Trace.zipf(200, 5_000), policy="lru,clock", size=[20, 40], **options
    )
    # The speed is that of each computer.
    return [replace(each, requests_per_s=0.0) for each in found.outcomes]


def swept(**options):
    grid = {"load": ["storm"], "threads": [1, 2], "nodes": ["4MiB,4MiB", "nonsense"]}
    found = mmcore.sweep(grid, vary="release=split,packed", gate="work", alone=True, **options)
    return [(each.choices, each.status, each.problem, counts(each)) for each in found.points]


def counts(point):
    rows = [] if point.comparison is None else point.comparison["table"]
    return [(row["variant"], sorted(row["per_page"])) for row in rows]


CALLS = {
    "a search": lambda **options: mmcore.explore(MOVE, schedules=300, seed=3, **options),
    "a search that finds a race": lambda **options: mmcore.explore(
        LATE.program, mutation=LATE.name, schedules=1_000, seed=5, **options
    ),
    "an exhaustive search": lambda **options: mmcore.explore(
        MOVE, search="exhaustive", preemptions=1, **options
    ),
    "a soak": lambda **options: searches.soak(200, seed=5, **options).searches,
    "the standard set": lambda **options: (
        searches.standard(matching="movable 1: release", **options).searches
    ),
    "a hunt": lambda **options: (
        searches.hunt(RACE, "hook-without-lock", schedules=64, **options).hunts
    ),
    "policies": policies,
    "conformance": lambda **options: mmcore.conformance(RECORDINGS, **options),
    "a sweep": swept,
}
SERIAL = {}


def serial(name):
    """The result without an executor; made once."""
    if name not in SERIAL:
        SERIAL[name] = CALLS[name]()
    return SERIAL[name]


@pytest.mark.parametrize("name", CALLS)
def test_the_result_is_that_of_the_serial_call(name, executor):
    assert CALLS[name](executor=executor) == serial(name)


@pytest.mark.parametrize("name", CALLS)
def test_lost_parts_are_done_again(name):
    # The first executor loses a part and is broken; the second one loses a part and goes on.
    moods = iter([Moody([0], broken=True), Moody([1]), Moody()])
    assert CALLS[name](executor=lambda: next(moods)) == serial(name)


@pytest.mark.parametrize("name", CALLS)
def test_a_checkpoint_goes_on_after_the_executor_is_lost(name, tmp_path):
    kept = tmp_path / "kept"
    lost = Moody([1], broken=True)
    if name != "an exhaustive search":
        with pytest.raises(WorkersLostError):
            CALLS[name](executor=lost, checkpoint=kept)
        assert len(kept.read_bytes().splitlines()) == 2
    counted = Moody()
    assert CALLS[name](executor=counted, checkpoint=kept) == serial(name)
    # And all of it is in the file now.
    again = Moody()
    assert CALLS[name](executor=again, checkpoint=kept) == serial(name)
    assert counted.calls > again.calls == 0
    assert CALLS[name](checkpoint=kept) == serial(name)


def test_the_error_names_what_was_not_done_and_has_the_rest():
    with pytest.raises(WorkersLostError) as raised:
        searches.soak(200, seed=5, executor=Moody([2], broken=True))
    error = raised.value
    assert error.parts == ("seed 7 (hook)",)
    assert "seed 7 (hook)" in str(error)
    assert "a worker was killed" in str(error)
    assert [each.seed for each in error.partial.searches] == [5, 6]
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.parts, copy.reason, str(copy)) == (error.parts, error.reason, str(error))


def test_a_part_that_is_lost_again_and_again_ends_the_call():
    lost = Moody([1, *range(5, 100)])
    with pytest.raises(WorkersLostError, match="schedules 64 to 127"):
        mmcore.explore(MOVE, schedules=300, executor=lost)


def test_executors_that_are_always_broken_end_the_call():
    made = []

    def make():
        made.append(Moody([0], broken=True))
        made[-1].is_broken = True
        return made[-1]

    with pytest.raises(WorkersLostError, match="a worker was killed"):
        mmcore.explore(MOVE, schedules=300, executor=make)
    assert len(made) < 10


def kill_a_worker(pool):
    os.kill(next(iter(pool._processes)), signal.SIGKILL)


def test_a_killed_process_loses_nothing():
    pools = []

    def make():
        pools.append(processes())
        return pools[-1]

    told = []

    def tell(each):
        told.append(each.seed)
        if len(told) == 2:
            kill_a_worker(pools[0])
        return True

    found = searches.soak(1_000, seed=100, executor=make, progress=tell)
    assert found.searches == searches.soak(1_000, seed=100, jobs=2).searches
    assert len(pools) == 2


def test_a_killed_process_of_the_callers_pool_is_told(tmp_path):
    kept = tmp_path / "kept"
    with processes() as pool:

        def tell(each):
            if each.seed == 100:
                kill_a_worker(pool)
            return True

        with pytest.raises(WorkersLostError, match="BrokenProcessPool") as raised:
            searches.soak(1_000, seed=100, executor=pool, checkpoint=kept, progress=tell)
    assert raised.value.partial.searches[0].seed == 100
    assert raised.value.parts
    whole = searches.soak(1_000, seed=100, executor=processes, checkpoint=kept)
    assert whole.searches == searches.soak(1_000, seed=100, jobs=2).searches


def test_a_pool_that_broke_before_a_part_names_the_part_that_it_refused():
    with processes() as pool:
        pool.submit(os.getpid).result()
        kill_a_worker(pool)
        while not pool._broken:
            time.sleep(0.01)
        with pytest.raises(WorkersLostError, match="1 part not done: ") as raised:
            searches.soak(1_000, seed=100, executor=pool)
    assert len(raised.value.parts) == 1


def test_a_killed_worker_of_a_cluster_loses_nothing(cluster):
    told = []

    def tell(each):
        told.append(each.seed)
        if len(told) == 1:
            address = next(iter(cluster.scheduler_info()["workers"]))
            pid = cluster.run(os.getpid, workers=[address])[address]
            os.kill(pid, signal.SIGKILL)
        return True

    executor = cluster.get_executor()
    found = searches.soak(1_000, seed=100, executor=executor, progress=tell)
    assert found.searches == searches.soak(1_000, seed=100, jobs=2).searches


def test_a_search_with_a_race_ends_at_the_first():
    found = CALLS["a search that finds a race"](executor=Reversed(20))
    assert found.counterexample.index == found.schedules - 1
    assert found.schedules > 2 * planned._BLOCK


def test_the_first_block_of_a_sample_is_the_sample_of_its_seed(monkeypatch):
    whole = mmcore.explore(MOVE, schedules=64, seed=3)
    two = mmcore.explore(MOVE, schedules=65, seed=3)
    assert two.schedules == 65
    monkeypatch.setattr(planned, "_BLOCK", 1 << 16)
    assert mmcore.explore(MOVE, schedules=64, seed=3).steps == whole.steps
    assert mmcore.explore(MOVE, schedules=65, seed=3).schedules == two.schedules


def test_an_operation_is_refused_if_each_block_refused_it(monkeypatch):
    parts = mmcore.explore(REFUSED, schedules=200)
    monkeypatch.setattr(planned, "_BLOCK", 1 << 16)
    whole = mmcore.explore(REFUSED, schedules=200)
    assert parts.refused
    assert [(each.section, each.i, each.errnos) for each in parts.refused] == [
        (each.section, each.i, each.errnos) for each in whole.refused
    ]


def test_an_operation_with_an_effect_in_one_block_is_not_refused():
    one = {"section": "A", "i": 0, "op": "isolate r0", "errnos": ["EBUSY"], "why": "held"}
    other = {**one, "i": 1}
    report = {"schedules": 64, "steps": 9, "counterexample": None, "coverage": "sampled"}
    reports = [{**report, "refused": rows} for rows in ([one, other], [{**one, "errnos": ["EIO"]}])]
    search = planned.Planned("", {"search": "random", "schedules": 128})
    assert search.together(reports)["refused"] == [{**one, "errnos": ["EBUSY", "EIO"]}]


def test_time_ends_a_search_of_workers(pool):
    begin = time.monotonic()
    found = mmcore.explore(MOVE, seconds=0.5, executor=pool)
    assert time.monotonic() - begin < 5
    assert found.coverage == "incomplete"
    assert found.schedules > 100
    assert found.covered.startswith("stopped after")


def test_no_time_at_all_is_a_search_of_nothing():
    for options in ({}, {"executor": Moody()}):
        found = mmcore.explore(MOVE, seconds=1e-9, **options)
        assert found.coverage == "incomplete"
        assert found.schedules < 100


def test_progress_has_the_number_in_all():
    told = []
    mmcore.explore(MOVE, schedules=150, progress=lambda *of: told.append(of))
    assert told == [(64, 150), (128, 150), (150, 150)]
    told.clear()
    mmcore.sweep(
        {"threads": [1, 2]},
        load="storm",
        nodes="nonsense",
        progress=lambda *of: told.append(of),
    )
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_a_signal_keeps_what_is_done():
    def interrupt(_each):
        os.kill(os.getpid(), signal.SIGINT)
        return True

    with ThreadPoolExecutor(2) as pool, pytest.raises(KeyboardInterrupt) as raised:
        searches.soak(1 << 40, seed=5, executor=pool, progress=interrupt)
    assert raised.value.partial.searches[0].seed == 5


def test_a_call_ends_its_parts_in_the_threads_of_the_caller():
    before = threading.active_count()
    with ThreadPoolExecutor(2) as pool:
        begin = time.monotonic()
        # The search would go on for hours.
        searches.standard(matching="movable", preemptions=None, seconds=0.3, executor=pool)
    assert time.monotonic() - begin < 30
    assert threading.active_count() <= before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"executor": 3}, "executor must be an executor"),
        ({"executor": lambda: 3}, "executor makes 3, which is no executor"),
        ({"executor": Moody(), "jobs": 2}, "give jobs or executor, not both"),
        ({"checkpoint": "a\0b"}, "null"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        mmcore.explore(MOVE, schedules=10, **options)


def test_an_error_of_a_part_is_raised_as_it_is(executor):
    with pytest.raises(InputError, match="no mutation 'nonsense'"):
        mmcore.explore(MOVE, schedules=200, mutation="nonsense", executor=executor)


def test_an_executor_of_a_function_need_not_cancel_its_calls():
    # The race is found early: the calls that follow are cancelled one by one.
    found = CALLS["a search that finds a race"](executor=lambda: Plain(2))
    assert found == serial("a search that finds a race")


@pytest.mark.parametrize("name", mmcore.errors.__all__)
def test_an_exception_comes_back_from_another_process(name):
    error = MAKERS[name]()
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), repr(copy)) == (type(error), str(error), repr(error))
    assert vars(copy) == vars(error)


def test_owners_go_to_the_workers(executor):
    program = "movable m0 1\nthread A\n  isolate m0\n  putback m0\nthread B\n  drain"
    options = {"owners": {"m0": FreesTwice()}, "schedules": 200}
    found = mmcore.explore(program, executor=executor, **options)
    assert found == mmcore.explore(program, **options)
    assert found.counterexample.rule == "a page is in one place"


def test_an_owner_in_a_worker_ends_the_program(executor):
    program = "movable m0 1\nthread A\n  isolate m0\nthread B\n  isolate m0"
    with pytest.raises(SystemExit, match="3"):
        mmcore.explore(program, schedules=200, owners={"m0": Exits()}, executor=executor)


# --- The file ---------------------------------------------------------------------------------


def begun(path, **options):
    return mmcore.explore(MOVE, **{"schedules": 300, "seed": 3, "checkpoint": path, **options})


def test_a_line_that_was_cut_is_done_again(tmp_path):
    path = tmp_path / "kept"
    whole = begun(path)
    text = path.read_bytes()
    lines = text.splitlines(keepends=True)
    assert len(lines) == 6
    for size in (3, len(lines[0]), len(lines[0]) + 7, len(text) - 1):
        path.write_bytes(text[:size])
        counted = Moody()
        assert begun(path, executor=counted) == whole
        assert counted.calls == 5 - max(text[:size].count(b"\n") - 1, 0)
        assert sorted(path.read_bytes().splitlines()) == sorted(text.splitlines())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 4}, "seed is 3 there and 4 here"),
        ({"schedules": 301}, "schedules is 300 there and 301 here"),
        ({"mutation": RACE}, f'mutation is null there and "{RACE}" here'),
        ({"kernel": "6.1"}, "machine is"),
    ],
)
def test_the_checkpoint_of_another_call_is_refused(options, said, tmp_path):
    begun(tmp_path / "kept")
    with pytest.raises(InputError, match=said):
        begun(tmp_path / "kept", **options)


def test_a_recording_that_has_changed_is_another_one(tmp_path):
    copy = tmp_path / "recording.json"
    copy.write_bytes(RECORDINGS[0].read_bytes())
    kept = tmp_path / "kept"
    assert mmcore.conformance(copy, checkpoint=kept).status == "clean"
    copy.write_bytes(RECORDINGS[1].read_bytes())
    with pytest.raises(InputError, match="recordings is"):
        mmcore.conformance(copy, checkpoint=kept)


def test_the_number_of_workers_is_no_other_call(tmp_path):
    begun(tmp_path / "kept", jobs=1)
    counted = Moody()
    begun(tmp_path / "kept", executor=counted)
    assert counted.calls == 0
    with pytest.raises(InputError, match="kind is"):
        searches.soak(100, checkpoint=tmp_path / "kept")


@pytest.mark.parametrize("text", ["hello\n", "{}\n", "[]", '{"checkpoint":9}\n'])
def test_another_file_is_not_overwritten(text, tmp_path):
    path = tmp_path / "mine"
    path.write_text(text)
    with pytest.raises(InputError, match="no checkpoint"):
        begun(path)
    assert path.read_text() == text


def test_a_line_that_is_no_result_is_told(tmp_path):
    path = tmp_path / "kept"
    begun(path)
    with path.open("a") as file:
        file.write("7\n")
    with pytest.raises(InputError, match=r"kept:7 is no line of a checkpoint"):
        begun(path)


def test_two_calls_do_not_share_a_file(tmp_path):
    path = tmp_path / "kept"

    def other(_done, _total):
        with pytest.raises(InputError, match="in use by another call"):
            begun(path)

    begun(path, progress=other)


def test_a_damaged_result_is_not_taken(tmp_path):
    path = tmp_path / "kept"
    whole = begun(path)
    text = path.read_bytes()
    told = 0
    for at in range(0, len(text), 5):
        damaged = bytearray(text)
        damaged[at] ^= 1 + at % 7
        path.write_bytes(damaged)
        try:
            assert begun(path) == whole, at
        except InputError:
            told += 1
    assert told > len(text) // 10
    path.write_bytes(text + b"[" * 100_000 + b"\n")
    with pytest.raises(InputError, match="kept:7 is no line"):
        begun(path)


#: A call with processes that have every file of this one, which `spawn` gives them not.
FORKED = """
import multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor
from mmcore import searches

def begun(executor, **options):
    return searches.soak(40_000, seed=5, executor=executor, checkpoint=sys.argv[1], **options)

pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
"""


def test_the_processes_of_a_pool_do_not_keep_the_file(tmp_path):
    again = "with pool:\n    assert begun(pool).searches == begun(pool).searches\n"
    assert run(FORKED + again, arguments=[str(tmp_path / "kept")]) == (0, "")


def test_the_processes_of_a_killed_call_do_not_keep_the_file(tmp_path):
    waits = "begun(pool, progress=lambda _: print(flush=True) or time.sleep(600))\n"
    words = [sys.executable, "-c", FORKED + waits, str(tmp_path / "kept")]
    # A session of its own: its processes outlive it, and are ended with the group.
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as caller:
        try:
            assert caller.stdout.readline() == b"\n"
            caller.kill()
            caller.wait()
            again = "assert len(begun(None).searches) == 2"
            assert run(FORKED + again, arguments=[words[-1]]) == (0, "")
        finally:
            os.killpg(caller.pid, signal.SIGKILL)


def test_a_search_that_the_clock_has_cut_is_not_kept_as_whole(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    monkeypatch.setattr(planned, "_BLOCK", 1 << 30)
    found = mmcore.explore(MOVE, seconds=0.2, checkpoint=path)
    assert found.schedules > 0
    assert len(path.read_bytes().splitlines()) == 1


def test_owners_and_a_checkpoint_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot tell owners apart"):
        mmcore.explore(
            "movable m0 1\nthread A\n  drain",
            owners={"m0": FreesTwice()},
            checkpoint=tmp_path / "kept",
        )


def test_the_command_goes_on(tmp_path, capsys):
    from mmcore._cli import run

    file = str(tmp_path / "kept")
    command = ["soak", "--schedules", "300", "--seed", "5", "--checkpoint", file, "--json"]
    outputs = []
    for _ in range(2):
        assert run(command) == 0
        outputs.append(json.loads(capsys.readouterr().out)["table"])
    assert outputs[0] == outputs[1]
    assert len(Path(file).read_bytes().splitlines()) == 7


# --- Sweeps -----------------------------------------------------------------------------------


def test_traces_go_to_the_workers(pool):
    traces = [mmcore.Trace.zipf(3_000, 40_000, seed=seed) for seed in (1, 2)]
    options = {"nodes": "1MiB,64MiB", "vary": "release=split,packed", "gate": "work"}
    found = mmcore.sweep({"trace": traces}, load="tiering", executor=pool, **options)
    assert [each.status for each in found.points] == ["clean", "clean"], found
    assert len({each.choices["trace"] for each in found.points}) == 2
