"""`Machine.migrate_pages`: lists, destinations from a callable, and the result of each page."""

import errno
import gc
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore

PRESETS = {"one by one": "6.1", "batched": "6.12"}


@pytest.fixture(params=PRESETS.values(), ids=PRESETS)
def two(request, build):
    """A machine of each migration order."""
    return build(kernel=request.param)


def mapped(machine, pages=4):
    """A region whose pages are on their lists, each with its number in it."""
    region = machine.address_space().mmap(pages * 4096)
    for number in range(pages):
        region[number * 4096] = number + 1
    machine.drain()
    return region


def content(region):
    return [region[number * 4096] for number in range(region.pages)]


def counters(machine):
    found = machine.vmstat()
    names = ("pgmigrate_success", "pgmigrate_fail", "nr_isolated_anon", "nr_isolated_file")
    return tuple(found[name] for name in names)


def used(machine):
    machine.drain()
    return [node.frames - node.free for node in machine.nodes]


def test_a_callable_sends_each_page_where_it_says(machine):
    region = mapped(machine, 3)
    pages = [region.page(number) for number in range(3)]
    asked = []

    def get_new_page(old):
        asked.append(old)
        return (lambda: 1, lambda: machine.nodes[1], machine.alloc)[pages.index(old)]()

    moved = machine.migrate_pages(pages, get_new_page)
    assert asked == pages
    assert (moved.ret, moved.succeeded, moved.status.tolist()) == (0, 3, [1, 1, 0])
    assert moved.pfns.tolist() == [region.page(number).pfn for number in range(3)]
    assert content(region) == [1, 2, 3]
    assert counters(machine) == (3, 0, 0, 0)


def test_tokens_are_spent_whatever_happens(machine):
    region = mapped(machine, 2)
    tokens = [region.page(number).isolate() for number in range(2)]
    held = region.page(1).get()
    moved = machine.migrate_pages(tokens, node=1)
    assert (moved.ret, moved.succeeded) == (1, 1)
    assert moved.status.tolist() == [1, -errno.EAGAIN]
    for token in tokens:
        with pytest.raises(mmcore.errors.MisuseError, match="given back already"):
            token.putback()
    held.put()


def test_none_ends_the_migration_as_enomem(two):
    region = mapped(two)
    answers = iter([1, None])
    moved = two.migrate_pages([region.page(n) for n in range(4)], lambda _old: next(answers))
    assert moved.ret == -errno.ENOMEM
    # Pages that are unmapped by then still move; pages that were not tried are not counted.
    assert moved.status.tolist() == [
        1,
        -errno.ENOMEM,
        mmcore.results.UNWRITTEN,
        mmcore.results.UNWRITTEN,
    ]
    assert counters(two) == (1, 1, 0, 0)
    assert content(region) == [1, 2, 3, 4]


def test_an_exception_is_raised_when_everything_is_put_back(two):
    region = mapped(two)
    before = [region.page(n).pfn for n in range(4)]

    def fails(old):
        if old.pfn == before[2]:
            raise ZeroDivisionError("in the middle")
        return two.alloc(node=1)

    with pytest.raises(ZeroDivisionError, match="in the middle"):
        two.migrate_pages(before, fails)
    two.drain()
    assert [region.page(n).node for n in range(4)] == [1, 1, 0, 0]
    assert content(region) == [1, 2, 3, 4]
    assert counters(two) == (2, 1, 0, 0)
    assert used(two) == [2, 2]
    assert all("lru" in region.page(n).flags for n in range(4))


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (lambda _, old: old, TypeError, "a node, a reference"),
        (lambda *_: "1", TypeError, "a node, a reference"),
        (lambda *_: -1, TypeError, "a node, a reference"),
        (lambda *_: 7, mmcore.errors.KernelError, "no node 7"),
        (lambda _, old: old.get(), mmcore.errors.MisuseError, "not fresh"),
        (lambda machine, _: machine.alloc(order=1), mmcore.errors.MisuseError, "not fresh"),
        (lambda *_: mmcore.Machine(nodes=["64KiB"]).alloc(), mmcore.errors.MisuseError, "another"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_wrong_answer_is_an_exception(plain, answer, error, text):
    region = mapped(plain, 1)
    state = region.page().state()
    with pytest.raises(error, match=text):
        plain.migrate_pages([region.page()], lambda old: answer(plain, old))
    gc.collect()
    plain.drain()
    assert region.page().state() == state
    assert counters(plain) == (0, 1, 0, 0)


def test_a_spent_reference_is_no_new_page(plain):
    region = mapped(plain, 2)
    new = plain.alloc(node=1)
    with pytest.raises(mmcore.errors.MisuseError):
        plain.migrate_pages([region.page(0), region.page(1)], lambda _: new)
    assert sorted(region.page(n).node for n in range(2)) == [0, 1]
    with pytest.raises(mmcore.errors.MisuseError, match="given back already"):
        new.put()


def test_calls_that_wait_for_pages_are_refused_inside(two):
    region = mapped(two, 2)
    calls = {
        "read": lambda: region[0],
        "write": lambda: region.__setitem__(0, 1),
        "migrate": lambda: two.migrate_pages([region.page(1)], node=1),
        "reclaim": lambda: two.reclaim_pages([region.page(1)]),
        "move": lambda: region.space.move_pages(region.addresses(), 1),
        "offline": lambda: two.soft_offline_page(region.page(1)),
        "audit": two.audit,
        "exit": region.space.fork,
    }
    refused = []

    def get_new_page(_old):
        for name, call in calls.items():
            with pytest.raises(mmcore.errors.MisuseError, match="callback"):
                call()
            refused.append(name)
        two.drain()
        return 1

    assert two.migrate_pages([region.page(0), region.page(1)], get_new_page).ret == 0
    assert refused == list(calls) * 2


def test_other_threads_go_on_while_the_callable_thinks(two):
    region, other = mapped(two, 1), mapped(two, 1)
    seen = []

    def get_new_page(_old):
        thread = threading.Thread(target=lambda: seen.append(other[0]))
        thread.start()
        thread.join()
        return 1

    assert two.migrate_pages([region.page()], get_new_page).succeeded == 1
    assert seen == [1]


def test_bad_input_changes_nothing(plain):
    region = mapped(plain, 1)
    token = region.page().isolate()
    other = mmcore.Machine(nodes=["64KiB"])
    bad = [
        (TypeError, lambda: plain.migrate_pages([token])),
        (TypeError, lambda: plain.migrate_pages([token], lambda _: 1, node=1)),
        (TypeError, lambda: plain.migrate_pages([token, "1"], node=1)),
        (TypeError, lambda: plain.migrate_pages(7, node=1)),
        (ValueError, lambda: plain.migrate_pages([token], node=1, mode="fast")),
        (ValueError, lambda: plain.migrate_pages([token], node=1, reason="why")),
        (mmcore.errors.KernelError, lambda: plain.migrate_pages([token], node=2)),
        (mmcore.errors.KernelError, lambda: plain.migrate_pages([token, 1 << 31], node=1)),
        (mmcore.errors.MisuseError, lambda: plain.migrate_pages([token, token], node=1)),
        (mmcore.errors.MisuseError, lambda: plain.migrate_pages([token, other.page(0)], node=1)),
        (mmcore.errors.MisuseError, lambda: other.migrate_pages([token], node=0)),
    ]
    for error, call in bad:
        with pytest.raises(error):
            call()
    token.putback()


def test_pages_that_cannot_be_isolated_are_told_apart(plain):
    region = mapped(plain, 2)
    free = plain.nodes[1].base
    moved = plain.migrate_pages([free, region.page(0), region.page(0)], node=1)
    assert moved.status.tolist() == [-errno.EBUSY, 1, -errno.EBUSY]
    assert (moved.ret, moved.succeeded) == (0, 1)
    assert moved.pfns.dtype == np.int64


def test_a_page_released_by_its_users_is_freed(two):
    region = mapped(two, 1)
    token = region.page().isolate()
    region.unmap()
    asked = []
    moved = two.migrate_pages([token], asked.append)
    assert (moved.ret, moved.succeeded, moved.status.tolist()) == (0, 1, [-errno.ENOENT])
    assert moved.pfns.tolist() == [-1]
    assert not asked
    assert used(two) == [0, 0]


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


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_seen_in_the_trace_and_counted_once(machine, reason):
    region = mapped(machine, 2)
    pool = machine.page_pool()
    number = pool.add()
    pages = [region.page(0), region.page(1), pool.page(number)]
    held = pages[1].get()
    with machine.trace() as trace:
        moved = machine.migrate_pages(pages, node=1, reason=reason)
    (event,) = [event for event in trace.events if event.name == "mm_migrate_pages"]
    assert event.args["reason"] == reason
    assert (moved.ret, moved.succeeded) == (1, 2)
    held.put()
    assert counters(machine) == (2, 1, 0, 0)
    pool.release(number)
    machine.drain()
    assert used(machine) == [1, 1]


@given(
    st.lists(st.sampled_from(["node", "fresh", "none", "raise", "stale"]), min_size=1, max_size=8),
    st.sampled_from(["6.1", "6.12"]),
    st.sampled_from(["async", "sync_light", "sync"]),
    st.sets(st.integers(0, 3)),
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_nothing_is_lost_whatever_the_callable_does(answers, kernel, mode, held):
    with mmcore.Machine(nodes=["256KiB", "64KiB"], kernel=kernel) as machine:
        region = mapped(machine, 4)
        references = [region.page(number).get() for number in sorted(held)]
        left = iter(answers)

        def get_new_page(old):
            match next(left, "node"):
                case "node":
                    return 1
                case "fresh":
                    return machine.alloc(node=1)
                case "none":
                    return None
                case "stale":
                    return old.get()
            raise LookupError("as drawn")

        before = [region.page(n).pfn for n in range(4)]
        try:
            moved = machine.migrate_pages(before, get_new_page, mode=mode)
        except (LookupError, mmcore.errors.MisuseError):
            pass
        else:
            assert [page.pfn for page in map(region.page, range(4))] == moved.pfns.tolist()
            assert moved.succeeded == sum(status >= 0 for status in moved.status)
        for reference in references:
            reference.put()
        del get_new_page
        gc.collect()
        assert sum(used(machine)) == 4
        for number in range(4):
            page = region.page(number)
            assert page.pfn == before[number] or page.node == 1
            assert number not in held or page.pfn == before[number]
            assert (page.refcount, "lru" in page.flags) == (1, True)
        assert content(region) == [1, 2, 3, 4]
        assert counters(machine)[2:] == (0, 0)
        machine.audit().raise_for_findings()
