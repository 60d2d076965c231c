"""The example of the documentation, with its outputs."""

import errno

import pytest

import mmcore


def test_the_example_of_the_documentation():
    with mmcore.Machine(nodes=["64MiB", "256MiB"], cpus=2) as machine:
        space = machine.address_space()
        region = space.mmap("16MiB")
        region[0:5] = b"hello"  # faults a page in on node 0
        assert region[0:5] == b"hello"
        machine.drain()  # lru_add_drain_all

        page = region.page(0)  # names the frame behind it; no reference
        assert (page.refcount, page.mapcount, page.node) == (1, 1, 0)
        assert page.flags == (
            "lru",
            "uptodate",
            "swapbacked",
            "anon",
            "anon_exclusive",
        )
        (holder,) = page.holders()
        assert str(holder) == f"entry of space 0 at {region.address:#x}"
        assert repr(page) == (
            f"<Page pfn={page.pfn:#x} node=0 count=1 "
            "[lru uptodate swapbacked anon anon_exclusive] mapped×1>"
        )

        token = page.isolate()
        new = token.migrate(node=1)  # the token is spent whatever happens
        with pytest.raises(mmcore.errors.MisuseError):
            token.putback()
        assert new == region.page(0)
        assert new.node == 1
        assert page.refcount == 0
        assert region[0:5] == b"hello"

        with new.get():  # a counted reference ...
            status = space.move_pages(region.addresses(), nodes=0)
        # ... so the page cannot move. As in the kernel the call ends there and leaves its status
        # unwritten. The next page is a hole: it ended the run of the first page, and has a status.
        assert status.tolist() == [
            mmcore.results.UNWRITTEN,
            -errno.ENOENT,
            *[mmcore.results.UNWRITTEN] * (region.pages - 2),
        ]
        assert space.move_pages(region.addresses()[:2], nodes=0).tolist() == [0, -errno.ENOENT]
        assert space.query_pages(region.addresses()[:2]).tolist() == [0, -errno.ENOENT]
        assert machine.vmstat()["pgmigrate_success"] == 2
        assert machine.vmstat()["pgmigrate_fail"] == 1
        audit = machine.audit()
        assert not audit
        assert repr(audit) == "<Audit clean>"
