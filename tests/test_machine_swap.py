"""Swap from Python: `Machine.swapon`, `swapoff`, `swap`, and `Region.madvise`."""

import errno
import threading

import pytest

import mmcore

PAGE = 4096


def refused(call):
    with pytest.raises(mmcore.errors.KernelError) as error:
        call()
    return error.value.errno


@pytest.fixture
def region(machine):
    machine.swapon("64KiB")
    region = machine.address_space().mmap("16KiB")
    for page in range(4):
        region[page * PAGE : page * PAGE + 4] = f"pg {page}".encode()
    machine.drain()
    return region


def content(region):
    return [bytes(region[page * PAGE : page * PAGE + 4]).decode() for page in range(4)]


def test_a_page_that_was_paged_out_reads_back(machine, region):
    assert machine.swap == (16, 0)
    region.madvise("pageout", 1, 3)
    assert machine.swap == (16, 2)
    addresses = region.addresses()
    assert region.space.page_at(int(addresses[1])) is None
    assert list(region.space.query_pages(addresses[:2])) == [0, -errno.ENOENT]
    assert machine.audit() == ()
    assert content(region) == ["pg 0", "pg 1", "pg 2", "pg 3"]
    counters = machine.vmstat()
    assert [counters[name] for name in ("pswpout", "pswpin", "pgmajfault")] == [2, 2, 2]
    assert machine.swap == (16, 0)


def test_a_child_finds_in_the_swap_cache_what_its_parent_read(machine, region):
    region.madvise("pageout")
    child = region.space.fork()
    assert content(region)[0] == "pg 0"
    page = region.page(0)
    assert "swapcache" in page.flags
    assert "swap" in [holder.kind for holder in page.holders()]
    assert machine.vmstat()["nr_swapcached"] == 4
    child.exit()
    region[0:4] = b"mine"
    assert "swapcache" not in region.page(0).flags


def test_advice_says_what_is_needed(machine, region):
    region.madvise("pageout")
    region.madvise("dontneed", 0, 1)
    region.madvise("willneed", 1, 2)
    assert machine.vmstat()["pswpin"] == 1
    assert content(region) == ["\0\0\0\0", "pg 1", "pg 2", "pg 3"]
    with pytest.raises(ValueError, match="choose one of cold, pageout"):
        region.madvise("sequential")
    region.unmap(3)
    assert refused(lambda: region.madvise("cold")) == errno.ENOMEM


def test_files_in_memory_are_swapped_too(machine, region):
    file = machine.file("4KiB", kind="tmpfs")
    mapping = region.space.mmap(file=file)
    mapping[0:4] = b"file"
    machine.drain()
    mapping.madvise("pageout")
    assert (file.cached, machine.swap) == (0, (16, 1))
    assert file.read(4) == b"file"
    assert file.cached == 1


def test_swapoff_brings_everything_back(machine, region):
    region.madvise("pageout")
    machine.swapoff()
    assert machine.swap == (0, 0)
    assert machine.vmstat()["pgmajfault"] == 0
    assert all(region.page(number).mapcount == 1 for number in range(4))
    assert content(region) == ["pg 0", "pg 1", "pg 2", "pg 3"]
    assert refused(machine.swapoff) == errno.EINVAL


def test_there_is_one_swap_space(machine):
    machine.swapon(PAGE)
    assert machine.swap == (1, 0)
    assert refused(lambda: machine.swapon("4KiB")) == errno.EBUSY
    machine.swapoff()
    assert refused(lambda: machine.swapon(0)) == errno.EINVAL


def test_a_thread_with_a_page_lock_is_refused_what_may_wait(machine, region):
    with region.page(0).lock():
        with pytest.raises(mmcore.errors.MisuseError):
            region[PAGE]
        with pytest.raises(mmcore.errors.MisuseError):
            machine.swapoff()


def test_threads_page_out_and_read_what_they_wrote(machine, region):
    wrong = []

    def work(number):
        at = number * PAGE
        for turn in range(50):
            region[at : at + 4] = turn.to_bytes(4, "little")
            machine.drain()
            region.madvise("pageout", number, number + 1)
            if int.from_bytes(region[at : at + 4], "little") != turn:
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert machine.vmstat()["pswpout"] > 0
