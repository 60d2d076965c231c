"""`AddressSpace` and `Region`: bytes through the page table, forks, move_pages."""

import errno
import threading

import numpy as np
import pytest

import mmcore


@pytest.fixture
def region(machine):
    return machine.address_space().mmap("16KiB")


def refused(call):
    with pytest.raises(mmcore.errors.KernelError) as error:
        call()
    return error.value.errno


def test_a_region_is_its_bytes(region):
    assert (len(region), region.pages, region[0:4]) == (16384, 4, bytes(4))
    region[4090:4100] = b"0123456789"
    assert region[4090:4100] == b"0123456789"
    assert region[4095] == ord("5")
    region[-1] = 7
    assert region[-1] == region[16383] == 7
    region[0:8] = np.arange(8, dtype=np.uint8)
    assert region[:8] == bytes(range(8))
    region[0:0] = b""
    assert region[100:50] == b""
    assert region[16000:99999] == bytes(383) + b"\x07"
    into = np.full(16, 255, np.uint8)
    region.read_into(into, offset=4088)
    assert bytes(into) == bytes(2) + b"0123456789" + bytes(4)


def test_a_region_refuses_what_are_no_bytes(region):
    for index in (16384, -16385, 2**80):
        with pytest.raises((IndexError, TypeError)):
            region[index]
    for key in ("0", 1.5, None, (0, 1)):
        with pytest.raises(TypeError):
            region[key]
    with pytest.raises(ValueError, match="step"):
        region[::2]
    with pytest.raises(ValueError, match="fit"):
        region[0:4] = b"12345"
    with pytest.raises(OverflowError):
        region[0] = 256
    for value in ("text", 1, [1], None):
        with pytest.raises(TypeError):
            region[0:1] = value
    with pytest.raises(BufferError):
        region[0:16] = np.zeros(2)
    with pytest.raises(TypeError):
        region.read_into(b"12")
    with pytest.raises(NotImplementedError):
        del region[0]  # PyO3's message for an operation that a type does not have
    assert refused(lambda: region.read_into(bytearray(1), offset=16384)) == errno.EFAULT
    assert region[:] == bytes(16384)


def test_a_page_comes_with_its_first_write(region):
    assert refused(region.page) == errno.ENOENT
    assert region[0] == 0
    assert refused(region.page) == errno.ENOENT, "the zero page is no frame of the machine"
    region.fault(1)
    region.fault(2, write=False)
    assert region.page(1).mapcount == 1
    assert region.page(-3) == region.page(1)
    assert region.space.page_at(region.address + 4096 + 17) == region.page(1)
    assert region.space.page_at(region.address) is None
    for number in (4, -5, 2**40):
        with pytest.raises(IndexError):
            region.page(number)


def test_faults_allocate_from_the_node_asked_for(machine):
    region = machine.address_space().mmap(4096, node=1)
    region[0] = 1
    assert region.page().node == 1


@pytest.mark.parametrize(
    ("size", "number"),
    [(0, errno.EINVAL), ("0MiB", errno.EINVAL), ("x", errno.EINVAL), (2**63, errno.ENOMEM)],
)
def test_regions_that_cannot_be_are_refused(plain, size, number):
    space = plain.address_space()
    assert refused(lambda: space.mmap(size)) == number
    assert refused(lambda: space.mmap("4KiB", node=2)) == errno.EINVAL


def test_a_fork_shares_until_somebody_writes(machine, region):
    region[0:6] = b"before"
    machine.drain()
    child = region.space.fork()
    assert machine.address_spaces == (region.space, child)
    page = region.page()
    assert (page.mapcount, page.refcount) == (2, 2)
    assert child.page_at(region.address) == page
    region[0:6] = b"after!"
    assert child.page_at(region.address) == page
    assert page.peek()[:6] == b"before"
    assert region.page() != page
    child.exit()
    machine.drain()
    assert page.refcount == 0
    assert machine.address_spaces == (region.space,)


def test_after_its_exit_a_space_refuses(region):
    space = region.space
    region[0] = 1
    space.exit()
    space.exit()
    assert refused(lambda: region[0]) == errno.EFAULT
    assert refused(lambda: space.mmap("4KiB")) == errno.ESRCH
    assert refused(space.fork) == errno.ESRCH
    assert space.page_at(region.address) is None


def test_a_space_lives_without_a_handle(machine):
    machine.address_space().mmap("4KiB")[0] = 1
    (space,) = machine.address_spaces
    assert space.page_at(0x10000000).mapcount == 1


def test_unmapped_pages_fault(region):
    region[:] = b"x" * 16384
    region.unmap(1, 2)
    assert refused(lambda: region[4096]) == errno.EFAULT
    assert region[4095] == ord("x")
    region.unmap()
    assert refused(lambda: region[0]) == errno.EFAULT
    for wrong in ((3, 2), (0, 5), (4, None)):
        assert refused(lambda wrong=wrong: region.unmap(*wrong)) == errno.EINVAL


def test_a_pinned_page_does_not_move_and_is_copied_by_fork(machine, region):
    with region.pin() as pin:
        with memoryview(pin) as view:
            view[0:4] = b"data"
        machine.drain()
        statuses = region.space.move_pages(region.addresses()[:1], 1)
        assert statuses.tolist() == [mmcore.results.UNWRITTEN]
        child = region.space.fork()
        assert child.page_at(region.address) != region.page()
        assert child.page_at(region.address).peek()[:4] == b"data"
    assert region.page().refcount == 1


def test_move_pages_answers_for_each_page(machine, region):
    region[0:8192] = b"x" * 8192
    addresses = region.addresses()
    assert addresses.dtype == np.uint64
    assert addresses.tolist() == [region.address + 4096 * page for page in range(4)]
    space = region.space
    assert space.query_pages(addresses).tolist() == [0, 0, -errno.ENOENT, -errno.ENOENT]
    statuses = space.move_pages(addresses, [1, 0, 1, 0])
    assert statuses.dtype == np.int32
    assert statuses.tolist() == [1, 0, -errno.ENOENT, -errno.ENOENT]
    odd = np.array([*addresses[:2], 17, 2**64 - 1], dtype=np.uint64)
    assert space.query_pages(odd).tolist() == [1, 0, -errno.EFAULT, -errno.EFAULT]
    assert region[0:8192] == b"x" * 8192
    assert space.move_pages([], []).shape == (0,)
    assert machine.vmstat(node=1)["nr_anon_pages"] == 1


def test_shared_pages_move_only_if_all_are_asked_for(region):
    region[0] = 1
    region.space.fork()
    first = region.addresses()[:1]
    assert region.space.move_pages(first, 1).tolist() == [-errno.EACCES]
    assert region.space.move_pages(first, 1, move_all=True).tolist() == [1]


def test_move_pages_refuses_what_it_cannot_read(region):
    space = region.space
    assert refused(lambda: space.move_pages([region.address], [2])) == errno.ENODEV
    assert refused(lambda: space.move_pages([region.address], [-1])) == errno.ENODEV
    with pytest.raises(ValueError, match="2 addresses and 3 nodes"):
        space.move_pages([1, 2], [0, 0, 0])
    for wrong in (["a"], [0.5], [2**64], [None], object()):
        with pytest.raises(TypeError):
            space.move_pages(wrong, 0)
        with pytest.raises(TypeError):
            space.move_pages([0], wrong)
    with pytest.raises(ValueError, match="one dimension"):
        space.move_pages([[0]], 0)


def test_a_strided_array_is_read_as_it_is_indexed(region):
    region[:] = b"x" * 16384
    assert region.space.move_pages(region.addresses()[::-2], 1).tolist() == [1, 1]
    assert region.space.query_pages(region.addresses()).tolist() == [0, 1, 0, 1]


def test_threads_read_and_write_while_pages_move_under_them(machine):
    region = machine.address_space().mmap("64KiB")
    region[:] = bytes(65536)
    stop = threading.Event()
    lost = []

    def write(page):
        value = 0
        while not stop.is_set():
            value = (value + 1) % 256
            region[4096 * page : 4096 * page + 64] = bytes([value]) * 64
            if region[4096 * page : 4096 * page + 64] != bytes([value]) * 64:
                lost.append(page)

    writers = [threading.Thread(target=write, args=(page,)) for page in (0, 7)]
    for writer in writers:
        writer.start()
    for turn in range(60):
        region.space.move_pages(region.addresses(), turn % 2)
    stop.set()
    for writer in writers:
        writer.join()
    assert lost == []
    assert machine.vmstat()["pgmigrate_success"] > 0


def test_an_unbacked_machine_has_pages_without_bytes(build):
    machine = build(backed=False)
    region = machine.address_space().mmap("4KiB")
    region[0:3] = b"abc"
    assert region[0:3] == bytes(3)
    assert region.page().mapcount == 1
    region.space.move_pages(region.addresses(), 1)
    assert region.page().node == 1
