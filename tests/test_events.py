"""A machine's events: the steps and tracepoints of the protocol, while a trace is open."""

import json
import threading

import pytest

import mmcore


def names(events):
    return [event.name for event in events]


@pytest.fixture
def region(plain):
    region = plain.address_space().mmap("16KiB")
    region[0:5] = b"hello"
    plain.drain()
    return region


def test_a_migration_is_the_protocols_steps_in_order(plain, region):
    page = region.page(0)
    with plain.trace() as tracing:
        page.isolate().migrate(node=1)
    entries = [event for event in tracing if event.ret is None]
    steps = [
        "folio_isolate_lru",
        "migrate_pages",
        "mm_page_alloc",
        "try_to_migrate",
        "move_to_new_folio",
        "folio_mc_copy",
        "__folio_migrate_mapping",
        "migrate_folio_done",
        "mm_page_free",
        "mm_migrate_pages",
    ]
    places = [names(entries).index(step) for step in steps]
    assert places == sorted(places)
    mapped = entries[names(entries).index("try_to_migrate")]
    assert (mapped.pfn, mapped.refcount, mapped.mapcount) == (page.pfn, 2, 1)
    moved = entries[names(entries).index("move_to_new_folio")]
    assert (moved.pfn, moved.dst, moved.mapcount) == (page.pfn, region.page(0).pfn, 0)
    told = entries[names(entries).index("mm_migrate_pages")]
    assert told.args["nr_succeeded"] == 1
    assert told.args["mode"] in {"async", "sync_light", "sync"}


def test_the_return_of_a_step_is_an_event_of_its_own(plain, region):
    held = region.page(0).get()
    with plain.trace() as tracing, pytest.raises(mmcore.errors.KernelError):
        region.page(0).isolate().migrate(node=1)
    held.put()
    returns = {event.name: event.ret for event in tracing if event.ret is not None}
    assert returns["folio_isolate_lru"] == 1
    assert returns["move_to_new_folio"] < 0
    assert returns["migrate_pages"] == 1


def test_names_are_those_of_the_machines_kernel(build):
    machine = build(kernel="6.1")
    region = machine.address_space().mmap("4KiB")
    region[0:1] = b"x"
    machine.drain()
    with machine.trace() as tracing:
        region.page(0).isolate().migrate(node=1)
    seen = names(tracing)
    assert "isolate_lru_page" in seen
    assert "folio_isolate_lru" not in seen


def test_pages_come_on_lists_when_their_batch_is_drained(plain):
    region = plain.address_space().mmap("8KiB")
    with plain.trace() as tracing:
        region[0:1] = b"x"
        assert names(tracing) == ["mm_page_alloc"], "inside of the block: what is there so far"
        plain.drain()
    insertion = tracing.events[-1]
    assert insertion.name == "mm_lru_insertion"
    assert (insertion.pfn, insertion.args["lru"]) == (region.page(0).pfn, "nr_inactive_anon")


def test_nothing_is_recorded_outside_of_the_block(plain, region):
    with plain.trace() as tracing:
        pass
    region.page(0).isolate().migrate(node=1)
    plain.drain()
    assert len(tracing) == 0
    with plain.trace() as again:
        region.page(0).isolate().putback()
    assert names(again)[0] == "folio_isolate_lru"
    assert all(one.ns <= other.ns for one, other in zip(again, list(again)[1:], strict=False))


def test_one_trace_at_a_time(plain):
    with (
        plain.trace(),
        pytest.raises(mmcore.errors.MisuseError, match="traced already"),
        plain.trace(),
    ):
        pass
    with plain.trace():
        pass
    plain.close()
    with pytest.raises(mmcore.errors.MisuseError, match="closed"):
        plain.trace()


def test_events_say_which_thread_and_cpu(plain):
    def work(cpu):
        region = plain.address_space().mmap("4KiB")
        with plain.cpu(cpu):
            region[0:1] = b"x"

    with plain.trace() as tracing:
        threads = [threading.Thread(target=work, args=(cpu,)) for cpu in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    allocated = [event for event in tracing if event.name == "mm_page_alloc"]
    assert {event.cpu for event in allocated} == {0, 1}


def test_a_viewers_trace_has_spans_for_what_returned_and_moments_for_the_rest(
    plain, region, tmp_path
):
    with plain.trace() as tracing:
        region.page(0).isolate().migrate(node=1)
    path = tmp_path / "trace.json"
    text = tracing.to_chrome(path)
    assert path.read_text(encoding="utf-8") == text
    rows = {row["name"]: row for row in json.loads(text)["traceEvents"]}
    outer, inner = rows["migrate_pages"], rows["move_to_new_folio"]
    assert (outer["ph"], inner["ph"], outer["args"]["ret"]) == ("X", "X", 0)
    assert outer["ts"] <= inner["ts"]
    assert inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]
    assert rows["mm_page_alloc"]["ph"] == "i"
    assert rows["try_to_migrate"]["args"]["mapcount"] == 1
    number = tracing.events[0].thread
    assert rows["thread_name"]["args"]["name"] == f"thread {number}"
    assert rows["thread_name"]["tid"] == inner["tid"]


def counted(tracing, name):
    rows = json.loads(tracing.to_chrome())["traceEvents"]
    return [row["args"]["value"] for row in rows if row["ph"] == "C" and row["name"] == name]


def test_a_viewers_trace_has_counters(plain):
    region = plain.address_space().mmap("16KiB")
    with plain.trace() as tracing:
        region[:] = bytes(16 << 10)
        plain.drain()
        region.page(0).isolate().migrate(node=1)
        held = region.page(1).get()
        with pytest.raises(mmcore.errors.KernelError):
            region.page(1).isolate().migrate(node=1)
        held.put()
    # Four pages of the region; the target of a migration, and the page that has moved.
    assert counted(tracing, "pages allocated")[:6] == [1, 2, 3, 4, 5, 4]
    assert counted(tracing, "insertions into LRU lists")[:4] == [1, 2, 3, 4]
    assert counted(tracing, "pages migrated") == [1, 1]
    assert counted(tracing, "pages not migrated") == [0, 1]
    first = next(event for event in tracing if event.pfn is not None)
    assert counted(tracing, f"references of page {first.pfn:#x}")[0] == first.refcount


def test_references_of_many_pages_are_no_counters(plain):
    region = plain.address_space().mmap("128KiB")
    with plain.trace() as tracing:
        region[:] = bytes(128 << 10)
    assert counted(tracing, "pages allocated")[-1] == 32
    assert "references of page" not in tracing.to_chrome()
