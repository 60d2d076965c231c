"""Every call that names a page, with the head of a large page, a part, or a former part."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

import mmcore

PAGE = 4096

REASONS = [
    "compaction",
    "memory_failure",
    "memory_hotplug",
    "syscall",
    "mempolicy_mbind",
    "numa_misplaced",
    "contig_range",
    "longterm_pin",
    "demotion",
]

Call = Callable[[mmcore.Machine, mmcore.Page], object]


def looks(machine: mmcore.Machine, page: mmcore.Page) -> None:
    """Makes every call that only reads."""
    _ = (page.pfn, page.node, page.refcount, page.mapcount, page.flags, page.order)
    _ = (page.head.pfn, page.holders(), page.state(), repr(page), page.peek())
    machine.page_states([page.pfn, page.head.pfn])
    assert machine.page(page.pfn) == page


def references(machine: mmcore.Machine, page: mmcore.Page) -> None:
    with page.get(), page.pin():
        looks(machine, page)


def locks(machine: mmcore.Machine, page: mmcore.Page) -> None:
    with page.lock(timeout=1):
        assert page.trylock() is None
        looks(machine, page)


def isolates(machine: mmcore.Machine, page: mmcore.Page) -> None:
    with page.isolate():
        looks(machine, page)
        with pytest.raises(mmcore.errors.KernelError):
            page.isolate()


def splits(_machine: mmcore.Machine, page: mmcore.Page) -> None:
    page.split()


def token_migrates(mode: str, reason: str) -> Call:
    def call(_machine: mmcore.Machine, page: mmcore.Page) -> None:
        page.isolate().migrate(node=1, mode=mode, reason=reason)

    call.__name__ = f"token migrates {mode} {reason}"
    return call


def migrates(how: str, mode: str, reason: str) -> Call:
    def call(machine: mmcore.Machine, page: mmcore.Page) -> None:
        what = {"token": page.isolate, "page": lambda: page, "number": lambda: page.pfn}[how]()
        moved = machine.migrate_pages([what], node=1, mode=mode, reason=reason)
        node = moved.status[0]
        assert node < 0 or machine.page(int(moved.pfns[0])).node == node
        machine.drain()

    call.__name__ = f"migrate_pages {how} {mode} {reason}"
    return call


def reclaims(how: str, to: int | None) -> Call:
    def call(machine: mmcore.Machine, page: mmcore.Page) -> None:
        what = {"token": page.isolate, "page": lambda: page, "number": lambda: page.pfn}[how]()
        machine.reclaim_pages([what], demote_to=to)
        machine.drain()

    call.__name__ = f"reclaim_pages {how} {to}"
    return call


def soft_offlines(machine: mmcore.Machine, page: mmcore.Page) -> None:
    machine.soft_offline_page(page)


def fails(machine: mmcore.Machine, page: mmcore.Page) -> None:
    machine.memory_failure(page)


def fails_and_is_good_again(machine: mmcore.Machine, page: mmcore.Page) -> None:
    with contextlib.suppress(mmcore.errors.KernelError):
        machine.memory_failure(page.pfn)
    machine.unpoison(page)


CALLS: list[Call] = [
    looks,
    references,
    locks,
    isolates,
    splits,
    soft_offlines,
    fails,
    fails_and_is_good_again,
    *(token_migrates(mode, "syscall") for mode in ("async", "sync_light", "sync")),
    *(token_migrates("sync", reason) for reason in REASONS),
    *(migrates("token", mode, "syscall") for mode in ("async", "sync_light", "sync")),
    *(migrates(how, "sync", reason) for how in ("token", "page", "number") for reason in REASONS),
    *(reclaims(how, to) for how in ("token", "page", "number") for to in (None, 1)),
]


def isolated(machine: mmcore.Machine) -> int:
    counters = machine.vmstat()
    return counters["nr_isolated_anon"] + counters["nr_isolated_file"]


def frame(machine: mmcore.Machine, which: str, order: int) -> mmcore.Page:
    """A frame that is or was part of a large page, which was mapped and on a list."""
    space = machine.address_space()
    region = space.mmap(PAGE << order, order=order)
    region[0:3] = b"abc"
    machine.drain()
    head, part = region.page(0), region.page((1 << order) - 1)
    assert (head.order, part.head) == (order, head)
    if which == "head":
        return head
    if which == "middle":
        return region.page((1 << order) // 2)
    if which == "last part":
        return part
    if which == "split":
        head.split()
    elif which == "partly unmapped":
        region.unmap(0, 1)
    else:
        region.unmap()
        if which == "allocated anew":
            again = space.mmap(PAGE << order)
            for number in range(1 << order):
                again[number * PAGE : number * PAGE + 1] = b"x"
        elif which == "part of another":
            space.mmap(PAGE << order, order=order)[0:1] = b"x"
    machine.drain()
    return part


WHICH = [
    "head",
    "middle",
    "last part",
    "split",
    "partly unmapped",
    "free",
    "allocated anew",
    "part of another",
]


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
@pytest.mark.parametrize("order", [1, 4])
@pytest.mark.parametrize("which", WHICH)
def test_every_call_takes_any_frame_of_a_large_page(kernel: str, order: int, which: str) -> None:
    for call in CALLS:
        with mmcore.Machine(nodes=["4MiB", "4MiB"], kernel=kernel) as machine:
            machine.swapon("1MiB")
            page = frame(machine, which, order)
            with contextlib.suppress(mmcore.errors.KernelError):
                call(machine, page)
            assert isolated(machine) == 0, call.__name__
            assert machine.audit() == (), call.__name__
            for space in machine.address_spaces:
                space.exit()
            assert machine.audit() == (), call.__name__


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_a_part_migrates_as_its_large_page_and_hears_of_itself(kernel: str) -> None:
    with mmcore.Machine(nodes=["4MiB", "4MiB"], kernel=kernel) as machine:
        region = machine.address_space().mmap(PAGE << 3, order=3)
        for number in range(8):
            region[number * PAGE : number * PAGE + 1] = bytes([number])
        machine.drain()
        moved = machine.migrate_pages([region.page(5).isolate()], node=1)
        assert moved.status[0] == 1
        assert machine.page(int(moved.pfns[0])) == region.page(5)
        assert all(region.page(number).node == 1 for number in range(8))
        assert region[5 * PAGE] == 5
        assert machine.audit() == ()


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
@pytest.mark.parametrize("pinned", [False, True])
def test_a_demotion_by_token_counts_all_base_pages_of_a_large_page(
    kernel: str, *, pinned: bool
) -> None:
    with mmcore.Machine(nodes=["4MiB", "4MiB"], kernel=kernel) as machine:
        region = machine.address_space().mmap(PAGE << 9, order=9)
        region[0:1] = b"x"
        machine.drain()
        token = region.page(0).isolate()
        assert machine.vmstat()["nr_isolated_anon"] == 512
        # A referenced page is put back, and is then not isolated any more either.
        with region.page(7).get() if pinned else contextlib.nullcontext():
            machine.migrate_pages([token], node=1, reason="demotion", mode="async")
        assert isolated(machine) == 0
        machine.drain()
        assert machine.audit() == ()
