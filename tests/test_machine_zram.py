"""Pools of zsmalloc and zram devices against dicts of bytes, while pages and objects move."""

import errno
import random
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore
from mmcore.errors import KernelError
from mmcore.results import ZramUse, ZsUse

KERNELS = ("4.8", "6.1", "6.12", "6.19")


def small(kernel="6.12", size="2MiB"):
    return mmcore.Machine(nodes=[size, size], kernel=kernel)


def move(machine, pages):
    """Moves each page to the other node; returns how many were moved."""
    moves = (machine.migrate_pages([page], node=1 - page.node) for page in pages)
    return sum(each.succeeded for each in moves)


def content(seed, size):
    return random.Random(seed).randbytes(size)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 2**32), st.integers(1, 4096)),
        st.tuples(st.just("free"), st.integers(0, 2**32), st.none()),
        st.tuples(st.just("compact"), st.none(), st.none()),
        st.tuples(st.just("move"), st.none(), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=15, deadline=None)
@given(kernel=st.sampled_from(KERNELS), steps=steps)
def test_a_pool_is_a_dict_of_bytes(kernel, steps):
    with small(kernel) as machine:
        pool = machine.zsmalloc()
        kept = {}
        for what, number, size in steps:
            if what == "put":
                kept[pool.put(content(number, size))] = content(number, size)
            elif what == "free" and kept:
                handle = sorted(kept)[number % len(kept)]
                pool.free(handle)
                del kept[handle]
                with pytest.raises(KernelError, match="names no object"):
                    pool.get(handle)
            elif what == "compact":
                before = pool.usage.pages
                assert pool.compact() == before - pool.usage.pages
            elif what == "move":
                pages = pool.pages()
                assert move(machine, pages) == len(pages) == pool.usage.pages
            assert {handle: pool.get(handle) for handle in kept} == kept
        assert len(pool) == len(kept) == sum(z.objects * z.zspages for z in pool.zspages())
        machine.audit().raise_for_findings()
        for handle in kept:
            pool.free(handle)
        assert pool.usage == ZsUse(0, 0, pool.usage.compacted)
        assert machine.vmstat()["nr_zspages"] == 0
        pool.close()


def use(zram, number):
    """Writes, reads and discards every third block; each read must find the last write."""
    rng, kept = random.Random(number), {}
    mine = range(number, len(zram), 3)
    for _ in range(300):
        block = rng.choice(mine)
        if rng.random() < 0.3:
            zram.discard(block)
            kept.pop(block, None)
        else:
            size = rng.randrange(0, 4097)
            kept[block] = rng.randbytes(size) + bytes(4096 - size)
            zram.write(block, kept[block])
        other = rng.choice(mine)
        assert zram.read(other) == kept.get(other, bytes(4096))
    for block in mine:
        assert zram.read(block) == kept.get(block, bytes(4096))
        zram.discard(block)


@pytest.mark.parametrize("kernel", KERNELS)
def test_threads_find_every_byte_while_pages_move(kernel):
    with small(kernel, "4MiB") as machine, ThreadPoolExecutor(4) as threads:
        zram = machine.zram("1MiB")
        stop, moved = threading.Event(), threading.Event()

        def mover():
            while not stop.is_set():
                if move(machine, zram.pages()):
                    moved.set()
                zram.compact()

        moving = threads.submit(mover)
        users = [threads.submit(use, zram, number) for number in range(3)]
        wait(users)
        # On a busy host each page may have been in use whenever the mover came.
        zram.write(0, content(0, 4096))
        assert moved.wait(60)
        stop.set()
        moving.result()
        assert zram.read(0) == content(0, 4096)
        zram.discard(0)
        for each in users:
            each.result()
        zram.compact()
        assert zram.mm_stat._replace(used_max=0, compacted=0) == ZramUse(0, 0, 0, 0, 0, 0, 0, 0)
        assert machine.vmstat()["nr_zspages"] == 0
        machine.audit().raise_for_findings()
        zram.reset()


def test_a_page_of_one_word_takes_nothing_and_random_bytes_a_page():
    with small() as machine:
        zram = machine.zram("64KiB")
        zram.write(0, b"12345678" * 512)
        assert zram.mm_stat == ZramUse(4096, 0, 0, 0, 0, 1, 0, 0)
        zram.write(1, content(1, 4096))
        assert zram.mm_stat == ZramUse(8192, 4096, 4096, 0, 4096, 1, 0, 1)
        assert [tuple(z) for z in zram.zspages()] == [(254, 1, 1, 1)]
        assert (zram.read(0), zram.read(1)) == (b"12345678" * 512, content(1, 4096))
        assert zram.read(2) == bytes(4096)


def test_a_store_beyond_the_limit_fails_and_keeps_the_old_content():
    with small() as machine:
        zram = machine.zram("64KiB", limit="8KiB")
        for block in range(2):
            zram.write(block, content(block, 4096))
        with pytest.raises(KernelError, match="limited to 2") as raised:
            zram.write(0, content(9, 4096))
        assert raised.value.errno == errno.ENOMEM
        assert zram.read(0) == content(0, 4096)
        assert (zram.mm_stat.used, zram.mm_stat.used_max) == (8192, 12288)


@pytest.mark.parametrize("kernel", KERNELS)
def test_swap_on_zram_compresses_into_frames_of_the_machine(kernel):
    with small(kernel) as machine:
        zram = machine.zram("256KiB")
        machine.swapon(zram)
        region = machine.address_space().mmap("64KiB")
        pages = [content(number, 1000) + bytes(3096) for number in range(16)]
        for number, page in enumerate(pages):
            region[number * 4096 : (number + 1) * 4096] = page
        machine.drain()
        region.madvise("pageout")
        assert machine.swap.used == 16
        assert 16 * 1000 < zram.mm_stat.compr < 16 * 1100
        assert machine.vmstat()["nr_zspages"] * 4096 == zram.mm_stat.used > 0
        assert move(machine, zram.pages()) > 0
        machine.audit().raise_for_findings()
        with pytest.raises(KernelError, match="swapoff first"):
            zram.reset()
        for number, page in enumerate(pages):
            assert region[number * 4096 : (number + 1) * 4096] == page
        machine.swapoff()
        assert machine.vmstat()["nr_zspages"] == 0
        zram.reset()


def test_refusals_name_the_way_out():
    with small() as machine, small() as other:
        zram = machine.zram("64KiB")
        with pytest.raises(ValueError, match="whole blocks"):
            zram.write(0, b"short")
        with pytest.raises(KernelError, match="no block 16"):
            zram.read(16)
        with pytest.raises(ValueError, match="choose one of lz4"):
            machine.zram("64KiB", compressor="zip")
        with pytest.raises(ValueError, match="another machine"):
            other.swapon(zram)
        pool = machine.zsmalloc()
        with pytest.raises(KernelError, match="1 to 4096 bytes"):
            pool.put(b"")
        handle = pool.put(b"x")
        with pytest.raises(KernelError, match="free them first"):
            pool.close()
        pool.free(handle)
        pool.close()
        with pytest.raises(KernelError, match="closed"):
            pool.put(b"x")
    unbacked = mmcore.Machine(nodes=["1MiB"], backed=False)
    with unbacked as machine, pytest.raises(KernelError, match="bytes of frames"):
        machine.zram("64KiB")


@pytest.mark.parametrize("compressor", ["lz4", "lz4_flex"])
def test_both_compressors_give_the_content_back(compressor):
    with small() as machine:
        zram = machine.zram("64KiB", compressor=compressor)
        text = (b"The life of a Linux memory page, " * 125)[:4096]
        for block, page in enumerate((text, content(3, 2000) + bytes(2096), bytes(4095) + b"x")):
            zram.write(block, page)
            assert zram.read(block) == page
        assert zram.mm_stat.compr < 4096


def test_a_deleted_pool_without_objects_makes_room_for_another_one():
    with small() as machine:
        # As many pools, files and mappings as a machine can have, and some more.
        for _ in range(66_000):
            machine.zsmalloc()
        pool = machine.zsmalloc()
        handle = pool.put(b"x" * 100)
        pool.free(handle)
        del pool
        machine.audit().raise_for_findings()
        assert machine.vmstat()["nr_zspages"] == 0


def test_a_deleted_pool_with_objects_warns_and_stays():
    with small() as machine:
        pool = machine.zsmalloc()
        pool.put(b"x" * 100)
        with pytest.warns(ResourceWarning, match="1 objects"):
            del pool
        assert machine.vmstat()["nr_zspages"] > 0
        machine.audit().raise_for_findings()


def test_a_deleted_device_gives_its_frames_back():
    with small() as machine:
        zram = machine.zram("64KiB")
        for block in range(16):
            zram.write(block, bytes(range(256)) * 16)
        assert machine.vmstat()["nr_zspages"] > 0
        del zram
        assert machine.vmstat()["nr_zspages"] == 0
        machine.audit().raise_for_findings()


def test_a_deleted_device_stays_as_long_as_it_is_the_swap_space():
    with small() as machine:
        machine.swapon(machine.zram("64KiB"))
        region = machine.address_space().mmap("16KiB")
        region[:] = bytes(range(256)) * 64
        region.madvise("pageout")
        assert machine.vmstat()["nr_zspages"] > 0
        assert region[:] == bytes(range(256)) * 64
        region.madvise("pageout")
        machine.swapoff()
        assert region[:] == bytes(range(256)) * 64
        assert machine.vmstat()["nr_zspages"] == 0
        machine.audit().raise_for_findings()
