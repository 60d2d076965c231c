"""Compaction of a node through Python: what moves, what stays, what it gains; recordings."""

import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import mmcore
from mmcore._recordings.reading import read, release_of
from mmcore.errors import KernelError
from mmcore.results import Compacted, Move

PAGE = 4096
RECORDINGS = Path(__file__).parent / "recordings"

#: Recordings of runs over a whole node: scattered, dense, pinned, locked, files, zram pages.
RECORDED = (
    "c01-every-second",
    "c02-upper-half-free",
    "c03-density",
    "c04-nothing-free",
    "c07-one-page-per-block",
    "c11-mlocked-not-allowed",
    "c20-kernel-pages",
    "c21-target-in-middle",
    "c23-runs-of-64",
    "c24-shm-two-regions",
    "z06-migrate-mixed-classes",
)


def filled(machine, frames):
    """A region of so many pages, each with its number in it."""
    region = machine.address_space().mmap(frames * PAGE)
    for page in range(frames):
        region[page * PAGE : page * PAGE + 4] = page.to_bytes(4, "little")
    return region


def drop(region, pages):
    for page in pages:
        region.madvise("dontneed", page, page + 1)


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_a_node_at_60_percent_use_gains_all_whole_pageblocks_but_two(kernel):
    frames, block = 16384, 512
    with mmcore.Machine(nodes=[frames * PAGE], kernel=kernel, backed=False) as machine:
        region = machine.address_space().mmap(frames * PAGE)
        for page in range(frames):
            region.fault(page)
        free = random.Random(1).sample(range(frames), frames * 2 // 5)
        drop(region, free)
        run = machine.compact(0)
        # One pageblock for each scanner may be left in pieces.
        assert run.status == "complete"
        assert run.blocks_gained >= len(free) // block - 2
        assert machine.vmstat()["pgmigrate_success"] == run.migrated
        machine.audit().raise_for_findings()


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.sampled_from(["4.8", "6.1", "6.12", "6.19"]),
    order=st.integers(7, 9),
    blocks=st.integers(4, 24),
    used=st.floats(0.2, 0.9),
    owned=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
@example(kernel="6.12", order=9, blocks=24, used=0.6, owned=0.25, seed=1)
def test_scattered_movable_pages_leave_all_whole_pageblocks_but_two(
    kernel, order, blocks, used, owned, seed
):
    """In large nodes the free scanner leaves a little more, as the kernel's does (docs/maps.md)."""
    chance, size = random.Random(seed), 1 << order
    letters = "".join(
        "." if chance.random() >= used else "m" if chance.random() < owned else "a"
        for _ in range(blocks * size)
    )
    with mmcore.Machine(
        nodes=[len(letters) * PAGE], kernel=kernel, pageblock_order=order, backed=False
    ) as machine:
        machine.arrange(letters)
        run = machine.compact(0)
        machine.drain()
        # Frames that a CPU keeps for its next allocations are free, too.
        after = bytes(machine.map(0).nodes[0].letters).decode().replace("c", ".")
        # Every page can move, so each scanner leaves at most one pageblock in pieces.
        whole = sum(after[at : at + size] == "." * size for at in range(0, len(after), size))
        assert run.status == "complete"
        assert whole >= letters.count(".") // size - 2
        assert sorted(after) == sorted(letters)
        machine.audit().raise_for_findings()


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["6.1", "6.12"]),
    st.integers(2, 6),
    st.sets(st.integers(0, 255)),
    st.sets(st.integers(0, 255), max_size=20),
    st.sets(st.integers(0, 255), max_size=20),
)
def test_contents_and_references_survive(kernel, order, free, pinned, locked):
    with mmcore.Machine(nodes=["1MiB"], kernel=kernel, pageblock_order=order) as machine:
        region = filled(machine, 256)
        kept = sorted(set(range(256)) - free)
        for page in locked - free:
            region.mlock(page, page + 1)
        drop(region, free)
        frames = {page: region.page(page).pfn for page in kept}
        held = {page: region.page(page).get() for page in pinned - free}
        run = machine.compact(moves=True)
        now = {page: region.page(page).pfn for page in kept}
        moved = {frames[page]: now[page] for page in kept if now[page] != frames[page]}
        assert moved == dict(run.moves)
        assert run.migrated == len(run.moves)
        assert all(now[page] == frames[page] for page in held)
        for page in kept:
            assert region[page * PAGE : page * PAGE + 4] == page.to_bytes(4, "little")
        for reference in held.values():
            reference.put()
        machine.audit().raise_for_findings()


def scattered(machine):
    """A region of 48 pages of which every second one is there, beside pageblocks that are free."""
    region = filled(machine, 48)
    drop(region, range(0, 48, 2))
    return region


@pytest.mark.parametrize("allowed", [True, False])
def test_a_locked_page_moves_unless_that_is_not_allowed(allowed):
    with mmcore.Machine(nodes=["256KiB"], pageblock_order=3) as machine:
        assert machine.compact_unevictable_allowed
        machine.compact_unevictable_allowed = allowed
        region = scattered(machine)
        region.mlock(1, 2)
        before = region.page(1).pfn
        machine.compact()
        assert (region.page(1).pfn != before) == allowed


def test_a_movable_page_moves_with_its_owner():
    with mmcore.Machine(nodes=["256KiB"], pageblock_order=3) as machine:
        pool = machine.page_pool()
        number = pool.add()
        pool.write(number, 3, 77)
        before = pool.page(number).pfn
        scattered(machine)
        run = machine.compact(moves=True)
        assert (before, pool.page(number).pfn) in run.moves
        assert pool.read(number, 3) == 77
        machine.audit().raise_for_findings()


def test_a_run_is_plain_data():
    runs = []
    for moves in (False, True):
        with mmcore.Machine(nodes=["256KiB"], pageblock_order=3) as machine:
            scattered(machine)
            run = machine.compact(0, moves=moves)
            counters = machine.vmstat()
            assert counters["compact_migrate_scanned"] == run.migrate_scanned
            assert counters["compact_free_scanned"] == run.free_scanned
            assert counters["compact_isolated"] == run.isolated
            runs.append(run)
    silent, told = runs
    assert isinstance(silent, Compacted)
    assert silent == told._replace(moves=())
    assert len(told.moves) == told.migrated > 0
    assert all(isinstance(move, Move) for move in told.moves)


def test_a_node_that_does_not_exist_is_refused():
    with mmcore.Machine(nodes=["64KiB"]) as machine:
        for call in (machine.compact, machine.pageblock_types):
            with pytest.raises(KernelError) as raised:
                call(1)
            assert raised.value.errno == 22
        assert machine.pageblock_types() == ("movable",)


def test_a_program_compacts_and_sets_what_moves():
    program = (
        "machine nodes=1 pages=64 pageblock_order=3\n"
        "map r0 anon 48\nwrite r0\npunch r0 keep=1 of=2\ndrain\n"
        "set compact_unevictable_allowed 0\ncompact node=0\ncompact\naudit\nset swappiness 1\n"
    )
    result = mmcore.run(program)
    assert result.clean
    assert [step["ret"] for step in result.steps[-4:]] == [0, 0, 0, -1]
    assert result.unsupported


def expand(runs):
    return [value for count, pattern in runs for value in pattern * count]


def expand_moves(moves):
    for source, target, *rest in moves:
        count, up, down = rest or (1, 0, 0)
        yield from ((source + i * up, target + i * down) for i in range(count))


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_move_follows_from_the_layout(kernel, name):
    recording = read(RECORDINGS / kernel / f"{name}.json")
    assert release_of(recording) == kernel
    layout, types, allowed, runs = None, None, True, 0
    for step in recording["steps"]:
        info = step.get("info", {})
        words = step["op"].split()
        if words[:2] == ["set", "compact_unevictable_allowed"]:
            allowed = words[2] != "0"
        if words[0] == "layout":
            layout, types = (step.get(key) or info.get(key) for key in ("layout", "types"))
        traced = "cev" in step or "cev" in info
        if words[:2] == ["compact", "node=2"] and layout and types and traced:
            moves = step.get("moves") or info.get("moves") or ()
            run = compact_layout(kernel, expand(layout), expand(types), allowed)
            assert [tuple(move) for move in run.moves] == list(expand_moves(moves))
            counters = info.get("vm", {}) | step.get("vm", {})
            assert counters.get("compact_free_scanned", 0) == run.free_scanned
            assert counters.get("compact_isolated", 0) == run.isolated
            # 6.1 counts a slab of several frames as one, and no layout shows how many it has.
            if kernel == "6.12":
                assert counters.get("compact_migrate_scanned", 0) == run.migrate_scanned
            layout, runs = None, runs + 1
    assert runs or not types


def compact_layout(kernel, layout, types, allowed):
    """Compacts a node with a recorded layout. Pages that cannot move are pinned ones here."""
    frames = len(layout)
    with mmcore.Machine(nodes=[frames * PAGE], kernel=kernel, backed=False) as machine:
        machine.compact_unevictable_allowed = allowed
        region = machine.address_space().mmap(frames * PAGE)
        for page in range(frames):
            region.fault(page)
        at = {region.page(page).pfn: page for page in range(frames)}
        held = [
            machine.page(pfn).get() for pfn, kind in enumerate(layout) if kind not in ".aAsfdwbzvUu"
        ]
        for pfn, kind in enumerate(layout):
            page = at[pfn]
            if kind == ".":
                region.madvise("dontneed", page, page + 1)
            elif kind in "Uu":
                region.mlock(page, page + 1)
        for block, kind in enumerate(types):
            if kind != "M":
                machine.set_pageblock_type(block * 512, "unmovable")
        run = machine.compact(0, moves=True)
        for reference in held:
            reference.put()
        return run


def blocked(machine):
    """A full region of which every second page is gone, and one pinned page in each pageblock."""
    region = filled(machine, 64)
    drop(region, range(0, 64, 2))
    return region, [region.page(page).pin() for page in range(1, 64, 8)]


@pytest.mark.parametrize("priority", ["async", "sync_light", "sync_full"])
def test_a_run_for_a_block_ends_when_the_block_is_free(priority):
    with mmcore.Machine(nodes=["256KiB"], pageblock_order=3) as machine:
        region = filled(machine, 64)
        drop(region, range(0, 64, 2))
        with pytest.raises(KernelError, match="no free block of order 3"):
            machine.alloc(order=3)
        run = machine.compact_for(3, priority=priority, moves=True)
        assert run.status == "success"
        assert 0 < run.migrated == len(run.moves) < 32
        block = machine.alloc(order=3)
        assert machine.compaction_state().order_failed == 4
        block.put()
        for page in range(1, 64, 2):
            assert region[page * PAGE : page * PAGE + 4] == page.to_bytes(4, "little")
        machine.audit().raise_for_findings()


def test_failed_runs_leave_hints_and_are_left_out_twice_as_often_each_time():
    with mmcore.Machine(nodes=["256KiB"], pageblock_order=3) as machine:
        region, pins = blocked(machine)
        fresh = machine.compaction_state()
        assert not any(fresh.skip_hints)
        assert (fresh.migrate_async, fresh.migrate_sync, fresh.free) == (0, 0, 56)
        assert (fresh.considered, fresh.defer_limit) == (0, 1)
        statuses = [machine.compact_for(3).status for _ in range(7)]
        left_out = [status == "deferred" for status in statuses]
        assert left_out == [False, True, False, True, True, True, False]
        assert set(statuses) <= {"complete", "partial_skipped", "deferred"}
        state = machine.compaction_state()
        assert (state.considered, state.defer_limit, state.order_failed) == (0, 8, 0)
        assert any(state.skip_hints)
        for pin in pins:
            pin.unpin()
        # The whole node is scanned, whatever the hints and the deferral say.
        assert machine.compact_for(3, priority="sync_full").status == "success"
        assert region[PAGE : PAGE + 4] == (1).to_bytes(4, "little")
        machine.audit().raise_for_findings()


def test_the_daemon_makes_a_block_and_counts_itself():
    with mmcore.Machine(nodes=["256KiB"], pageblock_order=3) as machine:
        region = filled(machine, 64)
        drop(region, range(0, 64, 2))
        run = machine.kcompactd(3)
        assert isinstance(run, Compacted)
        assert run.status == "success"
        counters = machine.vmstat()
        assert counters["compact_daemon_wake"] == 1
        assert counters["compact_daemon_migrate_scanned"] == run.migrate_scanned > 0
        assert counters["compact_stall"] == 0
        machine.audit().raise_for_findings()


def test_background_runs_lower_the_fragmentation_score():
    with mmcore.Machine(nodes=["256KiB"], pageblock_order=3) as machine:
        region = filled(machine, 64)
        assert machine.fragmentation_score() == 0
        assert machine.fragmentation_index(3) == 0  # for lack of memory
        drop(region, range(0, 64, 2))
        machine.compact_proactively()  # the frames in the CPUs' arrays are flushed first
        machine.compaction_proactiveness = 0
        assert machine.compact_proactively() is None
        machine.compaction_proactiveness = 100
        before = machine.fragmentation_score()
        assert machine.compact_proactively().blocks_gained > 0
        assert machine.fragmentation_score() < before
        assert machine.fragmentation_index(3) == -1000
        with pytest.raises(KernelError, match="0 to 100"):
            machine.compaction_proactiveness = 101
        assert machine.compaction_proactiveness == 100
        machine.audit().raise_for_findings()


def test_runs_for_blocks_that_cannot_be_are_refused():
    with mmcore.Machine(nodes=["64KiB"]) as machine:
        for call in (
            lambda: machine.compact_for(11),
            lambda: machine.compact_for(0, node=1),
            lambda: machine.kcompactd(0, node=1),
            lambda: machine.compact_proactively(1),
            lambda: machine.fragmentation_score(1),
            lambda: machine.fragmentation_index(0, node=1),
            lambda: machine.compaction_state(1),
        ):
            with pytest.raises(KernelError) as raised:
                call()
            assert raised.value.errno == 22
        with pytest.raises(ValueError, match="sync_full"):
            machine.compact_for(1, priority="fast")


def test_a_program_compacts_for_a_block():
    program = (
        "machine nodes=1 pages=64 pageblock_order=3\n"
        "map r0 anon 64\nwrite r0\npunch r0 keep=1 of=2\ndrain\n"
        "allocate p0 order=3\ncompact_for order=3\nallocate p0 order=3\n"
        "kcompactd order=3\nallocate p1 order=3\nfree p0\nfree p1\ncompact_for order=11\naudit\n"
    )
    result = mmcore.run(program)
    returned = [step["ret"] for step in result.steps]
    assert [ret < 0 for ret in returned[4:]] == [True, *[False] * 6, True, False]
    assert returned[5] > 0
    assert returned[7] > 0
    assert not any(step.get("findings") for step in result.steps)
