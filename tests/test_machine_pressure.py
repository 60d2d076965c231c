"""Memory pressure through Python: watermarks, reclaim by allocations, daemons, out of memory."""

import errno
import gc
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import mmcore
from mmcore.errors import KernelError, MisuseError
from mmcore.results import Watermarks
from moody import RAISED, Moody
from test_daemon_ends import daemons

PAGE = 4096


def test_watermarks_follow_the_reserve():
    with mmcore.Machine(nodes=["4MiB", "4MiB"], pressure=True) as machine:
        assert machine.pressure
        assert machine.min_free_kbytes == 256
        assert machine.watermarks(1) == Watermarks(32, 40, 48)
        machine.min_free_kbytes = 64
        assert machine.watermarks() == Watermarks(8, 10, 12)
        with pytest.raises(KernelError) as raised:
            machine.watermarks(2)
        assert raised.value.errno == 22
    with mmcore.Machine(nodes=["64KiB"]) as machine:
        assert not machine.pressure
        assert machine.watermarks() == Watermarks(0, 0, 0)
        with pytest.raises(KernelError, match="memory pressure"):
            machine.min_free_kbytes = 4


def test_more_memory_than_there_is_goes_to_swap_and_comes_back():
    with mmcore.Machine(nodes=["1MiB"], pressure=True) as machine:
        machine.swapon("4MiB")
        spaces = [machine.address_space() for _ in range(3)]
        regions = [space.mmap("512KiB") for space in spaces]
        for number, region in enumerate(regions):
            for page in range(128):
                region[page * PAGE] = (page + number) % 251
        for number, region in enumerate(regions):
            for page in range(128):
                assert region[page * PAGE] == (page + number) % 251
        counters = machine.vmstat()
        assert counters["allocstall"] > 0
        assert counters["pswpout"] > 128
        assert counters["oom_kill"] == 0
        machine.audit().raise_for_findings()


def test_an_allocation_ends_out_of_memory():
    with mmcore.Machine(nodes=["256KiB"], pressure=True) as machine:
        region = machine.address_space().mmap("256KiB")
        written = 64 - machine.watermarks().min
        for page in range(written):
            region[page * PAGE] = 1
        with pytest.raises(KernelError, match="out of memory") as raised:
            region[written * PAGE] = 1
        assert raised.value.errno == errno.ENOMEM
        assert machine.vmstat()["oom_kill"] == 1
        region.madvise("dontneed", 0, 1)
        region[written * PAGE] = 1
        machine.audit().raise_for_findings()


def test_an_allocation_makes_its_block():
    with mmcore.Machine(nodes=["1MiB"], pageblock_order=4, pressure=True) as machine:
        region = machine.address_space().mmap("1MiB")
        machine.min_free_kbytes = 0
        for page in range(256):
            region[page * PAGE] = page % 251
        for page in range(0, 256, 2):
            region.madvise("dontneed", page, page + 1)
        block = machine.alloc(order=3)
        counters = machine.vmstat()
        assert (counters["compact_stall"], counters["compact_success"]) == (1, 1)
        assert all(region[page * PAGE] == page % 251 for page in range(1, 256, 2))
        block.put()
        machine.audit().raise_for_findings()


def test_one_run_of_kswapd_reaches_the_high_watermark():
    with mmcore.Machine(nodes=["4MiB"], pressure=True) as machine:
        file = machine.file("8MiB")
        file.read(PAGE * 1500)
        freed = machine.kswapd()
        assert 0 < freed < 200
        assert machine.vmstat()["nr_free_pages"] > machine.watermarks().high
        assert machine.vmstat()["pageoutrun"] == 1
        assert machine.kswapd() == 0
        with pytest.raises(KernelError):
            machine.kswapd(node=1)


def test_daemons_work_and_stop_with_their_machine():
    assert daemons() == []
    with mmcore.Machine(nodes=["4MiB"], pressure=True) as machine:
        machine.start_daemons()
        machine.start_daemons()
        file = machine.file("16MiB")
        deadline = time.monotonic() + 20
        while machine.vmstat()["pgsteal_kswapd"] == 0:
            file.read(PAGE * 3000)
            assert time.monotonic() < deadline
        # A thread has its name a moment after its start.
        while daemons() != ["kcompactd0", "kswapd0"]:
            assert time.monotonic() < deadline
        machine.audit().raise_for_findings()
        machine.stop_daemons()
        machine.stop_daemons()
        runs = machine.vmstat()["pageoutrun"]
        file.read(PAGE * 3000)
        assert machine.vmstat()["pageoutrun"] == runs
        assert daemons() == []
        machine.start_daemons()
    assert daemons() == []
    # A machine that is dropped and not closed ends its daemons, too.
    machine = mmcore.Machine(nodes=["4MiB"], pressure=True)
    machine.start_daemons()
    del machine
    gc.collect()
    assert daemons() == []


def test_settings_of_a_closed_machine_are_neither_read_nor_written():
    machine = mmcore.Machine(nodes=["1MiB"], pressure=True)
    machine.close()
    settings = {
        "min_free_kbytes": 1,
        "compaction_proactiveness": 1,
        "compact_unevictable_allowed": True,
    }
    for name, value in settings.items():
        with pytest.raises(MisuseError, match="closed"):
            getattr(machine, name)
        with pytest.raises(MisuseError, match="closed"):
            setattr(machine, name, value)


#: Seconds of load; a longer storm is in the core's tests (`a_minute_of_storm`).
SECONDS = 3


def use(machine, seed):
    """Writes and reads more memory than there is; returns the number of refused accesses."""
    chance = random.Random(seed)
    region = machine.address_space().mmap("4MiB")
    written = {}
    refused = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        page = chance.randrange(1024)
        value = chance.randrange(1, 256)
        try:
            if page in written and chance.random() < 0.5:
                assert region[page * PAGE] == written[page]
            else:
                region[page * PAGE] = value
                written[page] = value
        except KernelError as error:
            refused += out_of_memory(error)
    while written:
        try:
            page, value = next(iter(written.items()))
            assert region[page * PAGE] == value
            del written[page]
        except KernelError as error:
            # Other threads have not given their memory back yet.
            out_of_memory(error)
            assert time.monotonic() < end + 60
    region.space.exit()
    return refused


def press(machine, seed):
    """Allocates and frees blocks of all sizes, and compacts."""
    chance = random.Random(seed)
    held = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        node, order = chance.randrange(2), chance.randrange(6)
        try:
            held.append(machine.alloc(node=node, order=order))
        except KernelError as error:
            out_of_memory(error)
        if len(held) > 8:
            held.pop(chance.randrange(len(held))).put()
        if chance.random() < 0.01:
            machine.compact(chance.randrange(2))
    for reference in held:
        reference.put()


def out_of_memory(error):
    """Passes on every error but ENOMEM."""
    if error.errno != errno.ENOMEM:
        raise error
    return 1


def test_a_storm_at_full_use_loses_nothing():
    with mmcore.Machine(nodes=["4MiB", "4MiB"], pageblock_order=5, pressure=True) as machine:
        device = machine.zram("16MiB")
        machine.swapon(device)
        machine.start_daemons()
        pool = machine.page_pool()
        numbers = [pool.add() for _ in range(100)]
        for number in numbers:
            pool.write(number, 0, number + 7)
        with ThreadPoolExecutor(4) as threads:
            users = [threads.submit(use, machine, seed) for seed in range(3)]
            presser = threads.submit(press, machine, 9)
            for user in users:
                user.result(timeout=120)
            presser.result(timeout=120)
        counters = machine.vmstat()
        assert counters["allocstall"] > 0
        assert counters["compact_stall"] > 0
        assert counters["pswpout"] > 0
        assert [pool.read(number, 0) for number in numbers] == [n + 7 for n in numbers]
        machine.stop_daemons()
        machine.audit().raise_for_findings()


def test_programs_have_pressure_when_they_ask_for_it():
    program = (
        "machine nodes=1 pages=64 pressure=on\nset min_free_kbytes 16\nswapon 1\n"
        "map r0 anon 60\nmap r1 anon 60\nwrite r0\nwrite r1\nread r0\nkswapd\n"
        "wmark low\nwmark normal\naudit\n"
    )
    result = mmcore.run(program)
    assert result.clean
    calm = mmcore.run(program.replace("pressure=on", "pressure=off"))
    returned = [step["ret"] for step in calm.steps]
    assert returned[0] == -1  # there are no watermarks
    assert calm.steps[5]["errno"] == "ENOMEM" or "-ENOMEM" in str(calm.steps[5])
    spec = mmcore.Program.parse(program).machine
    assert spec.pressure == "on"
    assert "pressure=on" in str(mmcore.Program.parse(program))


def test_owners_in_python_are_asked_by_allocations_and_daemons(unraisable):
    with mmcore.Machine(nodes=["1MiB"], pageblock_order=4, pressure=True) as machine:
        machine.start_daemons()
        owner = Moody()
        pool = machine.page_pool(ops=owner)
        machine.min_free_kbytes = 16
        region = machine.address_space().mmap("512KiB")
        numbers = []
        for page in range(100):
            numbers.append(pool.add())
            pool.write(numbers[-1], 0, page)
            region[page * PAGE] = page
        for page in range(0, 100, 2):
            region.madvise("dontneed", page, page + 1)
        for number in numbers[1::3]:
            pool.release(number)
        held = []
        deadline = time.monotonic() + 20
        while owner.calls < 20 and time.monotonic() < deadline:
            try:
                held.append(machine.alloc(order=4))
            except KernelError as error:
                out_of_memory(error)
                if held:
                    held.pop().put()
        assert owner.calls >= 20
        for reference in held:
            reference.put()
        left = [number for place, number in enumerate(numbers) if place % 3 != 1]
        assert [pool.read(number, 0) for number in left] == [p for p in range(100) if p % 3 != 1]
        machine.audit().raise_for_findings()
    assert set(unraisable) <= set(RAISED)
