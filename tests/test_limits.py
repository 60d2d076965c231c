"""Resources that users can exhaust: at the limit a call is refused, and all others go on."""

import errno
import subprocess
import sys
import textwrap

import pytest

import mmcore


def test_forks_too_many_are_refused_and_change_nothing():
    with mmcore.Machine(nodes=["16MiB"], backed=False) as machine:
        space = machine.address_space()
        # With pages of order 10 an area of one page has the same limit as an area of a whole large
        # page.
        region = space.mmap("4KiB", order=10)
        region[0:1] = b"x"
        machine.drain()
        children = []

        def fork_on():
            while len(children) < 65_536:
                children.append(space.fork())

        with pytest.raises(
            mmcore.errors.KernelError, match="address spaces share this memory"
        ) as raised:
            fork_on()
        assert raised.value.errno == errno.ENOMEM
        page = region.page(0)
        before = page.refcount, page.mapcount
        assert before == (len(children) + 1,) * 2
        with pytest.raises(mmcore.errors.KernelError):
            space.fork()
        assert (page.refcount, page.mapcount) == before
        # The limit of areas leaves room for pins, and the exit of a process makes room for a fork.
        with page.pin(), page.get():
            pass
        children.pop().exit()
        children.append(space.fork())
        for child in children:
            child.exit()
        assert (page.refcount, page.mapcount) == (1, 1)
        assert machine.audit() == ()


def test_threads_too_many_are_refused_and_the_others_go_on():
    script = textwrap.dedent("""
        import errno, threading, mmcore
        from mmcore._mmcore import LoadRig

        machine = mmcore.Machine(nodes=["4MiB"])
        config = '{"migrators": 2, "mutators": 2, "pages": 256, "memcpy": false}'
        rig = LoadRig(config)
        refused, used, stay = [], [], threading.Event()
        arrived = threading.Semaphore(0)

        def use():
            try:
                machine.alloc().put()
                used.append(1)
            except mmcore.errors.KernelError as error:
                assert error.errno == errno.EAGAIN
                refused.append(str(error))
            arrived.release()
            stay.wait()

        threads = [threading.Thread(target=use) for _ in range(300)]
        for thread in threads:
            thread.start()
        for _ in threads:
            arrived.acquire()
        assert len(used) == 255 and len(refused) == 45, (len(used), len(refused))
        assert "at most 256 threads" in refused[0], refused[0]
        # This thread has its slot; a load, which needs four more, is refused and kept.
        machine.alloc().put()
        try:
            rig.run(1, 0.01)
        except ValueError as error:
            assert "4 more threads" in str(error), error
        else:
            raise SystemExit("a load ran without room for its threads")
        stay.set()
        for thread in threads:
            thread.join()
        rig.run(1, 0.01)
        rig.finish()
        assert machine.audit() == ()
    """)
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]


def test_ranges_beyond_an_end_are_refused():
    with mmcore.Machine(nodes=["4MiB", "4MiB"]) as machine:
        space = machine.address_space()
        file = machine.file("16KiB")
        for region in (space.mmap("16KiB"), space.mmap("16KiB", order=2), space.mmap(file=file)):
            region[0:1] = b"x"
            for start, stop in [(4, 5), (0, 5), (3, 2), (2**32 - 2, 2**32 - 1), (0, 2**32 - 1)]:
                for advice in ("cold", "pageout", "dontneed", "free", "willneed"):
                    with pytest.raises(mmcore.errors.KernelError):
                        region.madvise(advice, start, stop)
                for call in (region.mlock, region.munlock, region.unmap):
                    with pytest.raises(mmcore.errors.KernelError):
                        call(start, stop)
                with pytest.raises(mmcore.errors.KernelError):
                    region.mbind(1, start, stop, move=True)
            with pytest.raises(mmcore.errors.KernelError):
                region.msync(0, 2**32 - 1)
            for number in (4, -5, 2**40):
                for call in (region.page, region.fault, region.pin):
                    with pytest.raises(IndexError):
                        call(number)
            assert machine.audit() == ()
        for address in (0, 2**47, 2**64 - 1):
            assert space.page_at(address) is None
            with pytest.raises(mmcore.errors.KernelError):
                space.numa_fault(address, 1)
        assert space.query_pages([0, 2**47])[0] == -errno.EFAULT
        with pytest.raises(mmcore.errors.KernelError):
            space.migrate_pages(0, 2)
