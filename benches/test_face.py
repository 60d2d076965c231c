"""Measures the cost of the Python face, by release design and by kernel.

    make bench
    .venv/bin/pytest benches --benchmark-autosave --benchmark-compare

`extra_info` of each design has the operations of the counting build, which are the same in every
run. The times are not: `docs/ci.md` says how often two runs of one build seem to differ.
"""

import functools
import json

import numpy as np
import pytest

import mmcore
from mmcore import _mmcore

DESIGNS = ("putback", "split", "hook", "hook_late", "packed")
KERNELS = ("4.8", "6.12")
PAGES = 1024

RACE = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n"
PAIRS = (
    "map r0 anon 1\nwrite r0\n"
    "thread A\n  get r0\n  put r0\n  get r0\n  put r0\n"
    "thread B\n  get r0\n  put r0\n  get r0\n  put r0\n"
)
LONG = "map r0 anon 1\n" + "write r0\nread r0\nmove r0 node=1\nmove r0 node=0\n" * 100


@pytest.fixture(scope="session", autouse=True)
def _release_build():
    if mmcore.build_info()["profile"] != "release":
        pytest.fail("a debug build: its figures say nothing")


@functools.cache
def work(design, kernel):
    """The operations of a put and of a migrated page, from the counting build."""
    config = {"kernel": kernel, "profile": {"release": design}, "pages": PAGES, "mutators": 2}
    page = json.loads(_mmcore.count_ops(json.dumps({"load": "storm", **config})))
    put = json.loads(_mmcore.count_puts(json.dumps(config)))
    names = ("rmw", "lruvec_locks", "pagevec_inserts", "list_ops", "other_locks", "tlb_flushes")
    return {
        "per_page": {name: round(page[name] / page["migrated"], 4) for name in names},
        "per_last_put": {name: put["last"][name] / put["puts"] for name in names},
    }


class Rig:
    """A machine of two nodes with a written region on node 0."""

    def __init__(self, design, kernel):
        self.machine = mmcore.Machine(
            nodes=["16MiB", "16MiB"], cpus=2, kernel=kernel, release=design
        )
        self.space = self.machine.address_space()
        self.region = self.space.mmap(PAGES * 4096)
        self.region[:] = bytes(PAGES * 4096)
        self.machine.drain()


@pytest.fixture(params=[f"{design}-{kernel}" for design in DESIGNS for kernel in KERNELS])
def rig(request, benchmark):
    design, _, kernel = request.param.partition("-")
    made = Rig(design, kernel)
    benchmark.extra_info.update(work(design, kernel))
    yield made
    made.machine.audit().raise_for_findings()
    made.machine.close()


@pytest.mark.benchmark(group="get and put of one page")
def test_get_put(benchmark, rig):
    page = rig.region.page(0)
    benchmark(lambda: page.get().put())


@pytest.mark.benchmark(group="isolate, put back and drain one page")
def test_isolate_putback(benchmark, rig):
    page = rig.region.page(0)

    def there_and_back():
        page.isolate().putback()
        rig.machine.drain()

    benchmark(there_and_back)


@pytest.mark.benchmark(group="migrate one page by its token")
def test_migrate_one(benchmark, rig):
    node = [0]

    def migrate():
        node[0] ^= 1
        rig.region.page(0).isolate().migrate(node=node[0])
        rig.machine.drain()

    benchmark(migrate)


@pytest.mark.benchmark(group="move_pages of 1,024 pages, there and back")
def test_move_pages(benchmark, rig):
    addresses, node = rig.region.addresses(), [0]
    benchmark.extra_info["pages"] = PAGES

    def move():
        node[0] ^= 1
        status = rig.space.move_pages(addresses, nodes=node[0])
        assert (status == node[0]).all()

    benchmark(move)


@pytest.mark.benchmark(group="fault 1,024 pages in and unmap them")
def test_fault(benchmark, rig):
    content = bytes(PAGES * 4096)
    benchmark.extra_info["pages"] = PAGES

    def fault():
        region = rig.space.mmap(PAGES * 4096)
        region[:] = content
        region.unmap()

    benchmark(fault)


@pytest.mark.benchmark(group="fork 1,024 pages and exit")
def test_fork(benchmark, rig):
    benchmark(lambda: rig.space.fork().exit())


@pytest.mark.benchmark(group="age a node and reclaim 32 of its pages")
def test_reclaim(benchmark, rig):
    rig.machine.swapon("8MiB")

    def reclaim():
        rig.machine.age_node()
        rig.machine.reclaim(32)
        # Their pages are faulted in again, so that each round finds the same.
        rig.region[:] = bytes(PAGES * 4096)
        rig.machine.drain()

    benchmark(reclaim)


@pytest.mark.benchmark(group="page_states of 1,024 pages (NumPy)")
def test_page_states(benchmark, rig):
    pfns = np.arange(PAGES)
    benchmark(lambda: rig.machine.page_states(pfns))


@pytest.mark.benchmark(group="audit of 8,192 frames")
def test_audit(benchmark, rig):
    benchmark(lambda: rig.machine.audit().raise_for_findings())


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.benchmark(group="explore 500 schedules of a race")
def test_explore(benchmark, design):
    program = mmcore.Program.parse(RACE)
    benchmark.extra_info["schedules"] = 500
    benchmark(lambda: mmcore.explore(program, schedules=500, jobs=1, release=design).check())


@pytest.mark.benchmark(group="explore 100,000 schedules of four pairs of a get and a put")
def test_schedules_of_one_call(benchmark):
    program = mmcore.Program.parse(PAIRS)
    benchmark.extra_info["schedules"] = 100_000
    benchmark(lambda: mmcore.explore(program, schedules=100_000, jobs=1).check())


@pytest.fixture(scope="session")
def requests(tmp_path_factory):
    """Requests for pages of one size, also as a file that libCacheSim's own loop reads."""
    pages = np.random.default_rng(7).zipf(1.1, 500_000) % 50_000
    record = np.dtype([("at", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
    records = np.zeros(len(pages), record)
    records["id"], records["size"], records["next"] = pages, 1, -1
    path = tmp_path_factory.mktemp("requests") / "requests.oracleGeneral"
    records.tofile(path)
    return mmcore.Trace(pages, np.zeros(len(pages), bool)), path


#: The pages that a policy keeps of those of `requests`.
KEPT = 5_000


@pytest.mark.parametrize("policy", ["lru", "clock", "two_list"])
@pytest.mark.benchmark(group="500,000 requests")
def test_replay(benchmark, policy, requests):
    trace, _ = requests
    benchmark.extra_info["requests"] = len(trace)
    options = {} if policy == "two_list" else {"pagevec": 1}
    result = benchmark(lambda: mmcore.policies(trace, policy=policy, size=KEPT, **options))
    benchmark.extra_info["miss_ratio"] = round(result.table[0]["miss_ratio"], 4)


@pytest.mark.parametrize("policy", ["lru", "clock"])
@pytest.mark.benchmark(group="500,000 requests")
def test_libcachesim(benchmark, policy, requests):
    libcachesim = pytest.importorskip("libcachesim", reason="libcachesim is not installed")
    trace, path = requests
    benchmark.extra_info["requests"] = len(trace)

    def replay():
        kind = libcachesim.TraceType.ORACLE_GENERAL_TRACE
        reader = libcachesim.TraceReader(str(path), kind)
        if policy == "lru":
            cache = libcachesim.LRU(KEPT)
        else:
            cache = libcachesim.Clock(KEPT, init_freq=0, n_bit_counter=1)
        return cache.process_trace(reader)[0]

    theirs = round(benchmark(replay), 4)
    benchmark.extra_info["miss_ratio"] = theirs
    ours = mmcore.policies(trace, policy=policy, size=KEPT, pagevec=1).table[0]["miss_ratio"]
    assert theirs == round(ours, 4)


@pytest.mark.parametrize("policy", ["two_list", "mglru", "fifo", "lru", "clock"])
@pytest.mark.benchmark(group="50,000 accesses under a list policy")
def test_policies(benchmark, policy):
    pages = np.random.default_rng(7).zipf(1.3, 50_000) % 1_000
    trace = mmcore.Trace(pages, np.zeros(len(pages), bool))
    benchmark(lambda: mmcore.policies(trace, policy=policy, size=200))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.benchmark(group="run a program of 400 operations")
def test_run(benchmark, kernel):
    program = mmcore.Program.parse(LONG)
    benchmark(lambda: mmcore.run(program, kernel=kernel))


@pytest.mark.benchmark(group="parse and print a program of 400 operations")
def test_parse(benchmark):
    benchmark(lambda: str(mmcore.Program.parse(LONG)))


@pytest.mark.benchmark(group="replay a recording of a kernel step by step")
def test_conformance(benchmark, request):
    recording = request.config.rootpath / "tests/recordings/6.12/h01-migrate-anon.json"
    benchmark(lambda: mmcore.conformance(recording))
