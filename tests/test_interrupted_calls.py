"""A call whose callback was interrupted raises the exception, and keeps nothing of its own."""

import contextlib

import pytest

import mmcore
from mmcore.errors import KernelError, MisuseError

PAGE = 4096


class Owner(mmcore.handles.MovableOps):
    """Agrees to each request, until a method is replaced."""


def interrupts(*_):
    raise KeyboardInterrupt


def in_use(machine):
    """The number of frames that are in use, once nothing waits in a batch."""
    machine.drain()
    return sum(node.frames - node.free for node in machine.nodes)


def pages_of(machine, owner):
    pool = machine.page_pool(ops=owner)
    return [pool.page(pool.add()) for _ in range(20)]


def in_pieces(machine, owner):
    """Fills a machine with pages of the owner and of a region, then frees every other page of the
    region: a block of 16 frames is found only after compaction, which begins with the owner."""
    pool = machine.page_pool(ops=owner)
    for _ in range(4):
        pool.add()
    region = machine.address_space().mmap(machine.nodes[0].frames * PAGE)
    pages = 0
    with contextlib.suppress(KernelError):
        while pages < machine.nodes[0].frames:
            region[pages * PAGE] = 1
            pages += 1
    for page in range(0, pages, 2):
        region.madvise("dontneed", page, page + 1)
    return pool, region


TAKES = {
    "alloc": lambda machine: machine.alloc(order=4),
    "pin": lambda machine: machine.address_space().mmap("64KiB", order=4).pin(),
}


@pytest.mark.parametrize("name", TAKES)
def test_a_block_that_an_interrupted_call_has_found_is_free_again(build, name):
    machine = build(nodes=["1MiB"], pageblock_order=4, pressure=True)
    owner = Owner()
    in_pieces(machine, owner)
    owner.isolate = interrupts
    with pytest.raises(KeyboardInterrupt):
        TAKES[name](machine)
    for space in machine.address_spaces[1:]:
        space.exit()
    held = [machine.page(pfn) for pfn in range(256)]
    handles = {"reference", "pin"}
    kinds = {holder.kind for page in held for holder in page.holders()}
    assert not kinds & handles, kinds


def test_a_range_that_an_interrupted_call_has_emptied_is_free_again(build):
    machine = build(nodes=["1MiB", "1MiB"], release="hook")
    owner = Owner()
    pool = machine.page_pool(ops=owner)
    page = pool.page(pool.add())
    before = in_use(machine)

    def releases(*_):
        pool.release(0)
        raise KeyboardInterrupt

    owner.migrate = releases
    with pytest.raises(KeyboardInterrupt):
        machine.alloc_range(page.pfn, 1)
    assert in_use(machine) == before - 1
    machine.alloc_range(page.pfn, 1).free()


def test_an_owner_is_asked_nothing_more_after_an_interruption(build):
    machine = build()
    owner = Owner()
    pages = pages_of(machine, owner)
    asked, told = [], []

    def migrate(source, *_):
        asked.append(source)
        raise KeyboardInterrupt

    owner.migrate, owner.putback = migrate, told.append
    with pytest.raises(KeyboardInterrupt):
        machine.migrate_pages(pages, node=1)
    assert len(asked) == 1
    assert asked[0] in told, "the owner has got its page back"


def test_a_nested_call_does_not_end_by_the_exception_of_its_outer_call(build):
    machine = build()
    owner = Owner()
    pages = pages_of(machine, owner)
    taken = []
    owner.migrate = interrupts
    owner.putback = lambda _: taken.append(machine.alloc())
    with pytest.raises(KeyboardInterrupt):
        machine.migrate_pages(pages, node=1)
    assert taken
    for reference in taken:
        reference.put()
    assert in_use(machine) == 20


def test_a_nested_call_that_suppresses_exceptions_does_not_swallow_the_outer_one(build):
    machine = build()
    owner = Owner()
    pages = pages_of(machine, owner)
    owner.migrate = interrupts

    def putback(_):
        with contextlib.suppress(BaseException):
            machine.vmstat()

    owner.putback = putback
    with pytest.raises(KeyboardInterrupt):
        machine.migrate_pages(pages, node=1)


def test_an_interruption_in_an_audit_comes_out_of_the_audit(build):
    machine = build()
    owner = Owner()
    machine.page_pool(ops=owner).add()
    owner.held = interrupts
    with pytest.raises(KeyboardInterrupt):
        machine.audit()
    machine.alloc().put()
    owner.held = lambda: None


def test_a_callback_of_an_audit_cannot_enter_the_machine(build):
    machine, other = build(), build()
    owner = Owner()
    pool = machine.page_pool(ops=owner)
    page = pool.page(pool.add())
    refused, read = [], []

    def held():
        with pytest.raises(MisuseError, match="an audit has the machine alone"):
            machine.vmstat()
        with pytest.raises(MisuseError, match="callback"):
            machine.audit()
        refused.append(True)
        other.vmstat()
        read.append(page.refcount)

    owner.held = held
    machine.audit().raise_for_findings()
    assert (refused, read) == ([True], [1])
