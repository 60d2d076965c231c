"""The comparison skips the values that a boot leaves open, and no other value."""

import copy
import json
from pathlib import Path

import pytest

import mmcore
from mmcore import _mmcore
from mmcore._recordings import compare
from mmcore._recordings.kernel_pages import kernel_pages
from mmcore._recordings.layouts import letters_of
from mmcore._recordings.passes import replay_passes
from mmcore._recordings.reading import read, release_of
from mmcore._recordings.replaying import replay

SHIPPED = Path(__file__).parent / "recordings"
#: Frames of the small third node.
SMALL = 3805


def recording_of(name, kernel="6.12"):
    return read(SHIPPED / kernel / f"{name}.json")


def verdict(recording, change=None):
    """The comparison of a recording that `change` has changed with the replay of its script."""
    changed = copy.deepcopy(recording)
    if change:
        change(changed["steps"])
    return compare(changed, replay(changed, release_of(changed)))


def setting(step, *path, to):
    """A change of one value of a step; an order of free blocks is a number in the path."""

    def change(steps):
        at = steps[step]
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("name", "change", "differs"),
    [
        # The balloon's pages on the kernel's own node: their number is the script's.
        ("b0301", setting(7, "kinds", "b", to=1), "kinds.b"),
        ("b0301", setting(7, "kinds", "R", to=1), None),
        ("b0301", setting(6, "nonlru", "balloon0", to=1), "nonlru.balloon0"),
        # zsmalloc: where its pages lie is the boot's, how many there are is the script's.
        ("z0302", setting(4, "kinds", "z", to=149), "kinds.z"),
        ("z0302", setting(4, "buddy_DMA32", 5, to=9), None),
        ("z0302", setting(7, "mm_stat", "used", to=4096), "mm_stat.used"),
        # A region that holds all of a node lies in the same frames after each boot.
        ("c01-every-second", setting(4, "buddy_DMA32", 2, to=1), "buddy_DMA32.2"),
        ("c01-every-second", setting(6, "vm", "pgmigrate_success", to=40), "vm.pgmigrate_success"),
        # The placement of pages decides how many calls there are, but not what they return.
        ("c13-file-dirty", setting(2, "calls_ret", to=[[3, 0]]), None),
        ("c13-file-dirty", setting(2, "calls_ret", to=[[3, "-EINVAL"]]), "calls_ret"),
        # After a compaction that moved other pages, others wait in the batch.
        ("z14-between-locked", setting(15, "kinds", "v", to=27), "kinds.v"),
        # Mlocked pages of the recording program come back from a batch, up to 31 of them.
        ("b7014", setting(19, "n0", "nr_unevictable", to=31), None),
        ("b7014", setting(19, "n0", "nr_unevictable", to=32), "n0.nr_unevictable"),
        ("b7014", setting(19, "n0", "nr_unevictable", to=-1), "n0.nr_unevictable"),
        # 6.12 asks once for each allocation of slab pages, of which there are 22.
        ("c38-mixed", setting(30, "calls", "isolate_movable_page", to=22), None),
        (
            "c38-mixed",
            setting(30, "calls", "isolate_movable_page", to=23),
            "calls.isolate_movable_page",
        ),
        # debugfs's indexes.
        (
            "c27-extfrag",
            setting(6, "extfrag_index_DMA32", to="-1.000 " * 11),
            "extfrag_index_DMA32.1",
        ),
        (
            "c27-extfrag",
            setting(9, "unusable_index_DMA32", to="0.000 " * 10),
            "unusable_index_DMA32.1",
        ),
        # The device of `zram_fill`.
        ("h31-compact-zsmalloc", setting(2, "ret", to=3071), "ret"),
        ("h31-compact-zsmalloc", setting(6, "checked", to=1023), "checked"),
        # A list that lacks zspages is not compared, a whole one is.
        ("o09-zsmalloc", setting(4, "zspages", to=[[95, 1, 8, 1]]), None),
        ("o09-zsmalloc", setting(8, "zspages", to=[[95, 9, 8, 1], [95, 21, 8, 24]]), "zspages"),
    ],
)
def test_only_what_a_boot_leaves_open_is_left_out(name, change, differs):
    recording = recording_of(name)
    assert verdict(recording).verdict == "match"
    outcome = verdict(recording, change)
    assert (outcome.verdict == "differs") is (differs is not None), outcome
    if differs is not None:
        assert differs in {found.field for found in outcome.differences}


@pytest.mark.parametrize(
    ("counted", "fits"), [(1014, True), (1024, True), (1025, False), (900, False)]
)
def test_an_old_kernel_counts_an_allocation_of_several_frames_as_one(counted, fits):
    recording = recording_of("c36-proactive", "6.1")
    change = setting(6, "vm", "compact_migrate_scanned", to=counted)
    assert (verdict(recording, change).verdict == "match") is fits


def test_a_pass_compares_the_free_blocks_before_it_and_each_frame_after_it():
    recording = recording_of("z0302")
    (found,) = replay_passes(recording, "6.12")
    assert found.matches
    before, after = recording["steps"][4], recording["steps"][6]
    assert isinstance(before["buddy_DMA32"][5], int)
    changed = copy.deepcopy(recording)
    changed["steps"][4]["buddy_DMA32"][5] += 1
    (found,) = replay_passes(changed, "6.12")
    assert [each.field for each in found.differences] == ["buddy.5"]
    letters = letters_of(after)
    frame = letters.index("z")
    letters = letters[:frame] + "." + letters[frame + 1 :]
    changed = copy.deepcopy(recording)
    changed["steps"][6].pop("layout", None)
    changed["steps"][6]["info"] = {"layout": [[1, letters]]}
    (found,) = replay_passes(changed, "6.12")
    assert [each.field for each in found.differences] == [f"layout.{frame}"]


def test_a_page_that_failed_has_a_reference_and_takes_part_in_the_pass():
    """Recording b5001: two pages of a file are isolated, get a frame each, and stay."""
    recording = recording_of("b5001")
    assert all(found.matches for found in replay_passes(recording, "6.12"))
    without = copy.deepcopy(recording)
    for step in without["steps"]:
        step.pop("fails", None)
        step.get("info", {}).pop("fails", None)
    found = replay_passes(without, "6.12")[0]
    assert found.matching == 942
    assert found.differences[0].field == "moves.942"


def test_a_page_of_a_file_in_a_batch_moves_though_its_letter_is_the_kernels():
    recording = recording_of("b5004")
    found = {each.step: each for each in replay_passes(recording, "6.12")}
    assert found[12].matches
    assert letters_of(recording["steps"][11])[11149] == "k"


def test_a_page_in_a_batch_has_a_reference_only_until_the_pass_drains_the_batches():
    """Recording c38-mixed: pages that MADV_FREE has queued have the letter of pinned pages."""
    recording = recording_of("c38-mixed")
    assert all(found.matches for found in replay_passes(recording, "6.12"))
    before, after = (letters_of(recording["steps"][step]) for step in (21, 24))
    assert (before[2032], after[2032]) == ("p", "a")


def test_a_layout_that_no_node_can_have_is_a_difference():
    recording = recording_of("z0302")
    step = recording["steps"][4]
    letters = letters_of(step).replace("z", "v")
    changed = copy.deepcopy(recording)
    changed["steps"][4].pop("layout", None)
    changed["steps"][4]["info"] = {"layout": [[1, letters]]}
    (found,) = replay_passes(changed, "6.12")
    assert found.differences[0].field == "layout"
    assert "batches" in found.differences[0].replayed
    # Failed attempts at a free frame, or at a frame beyond the node, give no page a reference.
    changed = copy.deepcopy(recording)
    changed["steps"][5]["fails"] = [[letters.index("."), "-EAGAIN"], [1 << 20, "-EAGAIN"], "..."]
    assert replay_passes(changed, "6.12")[0].matches


def test_the_kernels_pages_follow_the_layouts():
    """Recording c0305: ten frames were left over from the first region, and the second got them."""
    recording = recording_of("c0305")
    steps = [step for step, _, _ in kernel_pages(recording, 2, SMALL)]
    assert steps == [0, 5, 12, 15]
    first, second, *_ = (letters for _, _, letters in kernel_pages(recording, 2, SMALL))
    assert first[2038:2048] == b"?" * 10
    assert second[2038:2048] == b"." * 10
    assert second[2198:2208] == b"?" * 10
    # A frame whose page the script discards later was the region's, not the kernel's.
    recording = recording_of("c24-shm-two-regions", "6.1")
    letters = letters_of(recording["steps"][13])
    first = kernel_pages(recording, 2, SMALL)[0][2]
    assert letters[578:580] == "SS"
    assert first[578:580] == b".."


def test_the_kernels_pages_come_and_go_with_a_step():
    script = "layout node=0\nmap r0 anon 1\nlayout node=0\nlayout node=0"
    letters = bytearray(b"." * 16)
    held = bytearray(letters)
    held[3:5] = b"ST"
    kernel = [(0, 0, bytes(held)), (2, 0, bytes(letters))]
    told = json.loads(_mmcore.replay_program(script, "machine pages=16", kernel))
    shown = [letters_of(step) for step in told["steps"] if step["op"].startswith("layout")]
    assert shown == [bytes(held).decode(), "." * 16, "." * 16]
    with pytest.raises(ValueError, match="does not have 3 frames"):
        _mmcore.replay_program(script, "machine pages=16", [(0, 0, b"...")])


def test_a_pin_of_no_page_is_refused():
    """Recording c5003: io_uring registers no buffer."""
    run = mmcore.run("map r0 anon 2\npin g0 r0@5 longterm")
    assert run.steps[1]["errno"] == "EINVAL"


def test_a_page_of_a_file_in_a_batch_is_followed_from_an_earlier_layout():
    """Recordings c6101 and c6108: pages that were put back wait in a batch in the next layout."""
    for kernel, name, step in (("6.1", "c6101", 21), ("6.12", "c6108", 26)):
        recording = recording_of(name, kernel)
        letters = letters_of(recording["steps"][step - 1])
        assert "k" in letters
        assert all(found.matches for found in replay_passes(recording, kernel))
        # Without the layout in which the pages are on their list they are the kernel's.
        unknown = copy.deepcopy(recording)
        for each in unknown["steps"][: step - 3]:
            each.pop("layout", None)
            each.get("info", {}).pop("layout", None)
        # An unmapped file frees its pages, so nothing is known of the frames after it.
        forgotten = copy.deepcopy(recording)
        forgotten["steps"][step - 2]["op"] = "unmap r1"
        for changed in (unknown, forgotten):
            found = {each.step: each for each in replay_passes(changed, kernel)}
            assert "vm.compact_isolated" in {each.field for each in found[step].differences}


def test_frames_that_were_left_over_are_used_by_the_kernel_or_free():
    """Recording c6101: fourteen frames were left over, and the file got them."""
    recording = recording_of("c6101")
    assert verdict(recording).verdict == "match"
    for kinds, differs in (({"S": 22}, False), ({"S": 36}, True), ({"S": 20, "H": 1}, True)):
        outcome = verdict(recording, setting(3, "kinds", to={"R": 569, **kinds}))
        assert (outcome.verdict == "differs") is differs, kinds


def test_a_pass_may_begin_with_the_lists_of_the_cpus_given_back():
    """Recording b7013: no page moved to the frames that a timer had given back."""
    recording = recording_of("b7013")
    first, *rest = replay_passes(recording, "6.12")
    assert (first.step, first.matches) == (11, True)
    assert all(found.matches for found in rest)
    step = copy.deepcopy(recording["steps"][11])
    vm = {**step.get("vm", {}), **step["info"].get("vm", {}), "pgmigrate_success": 2305}
    step["info"]["vm"] = vm
    other = {**recording, "steps": [*recording["steps"][:11], step, *recording["steps"][12:]]}
    assert not replay_passes(other, "6.12")[0].matches


def test_attempts_until_a_signal_may_be_more_or_fewer_and_nothing_else():
    """Recording o7004: one page was tried 764 times until the signal came."""
    recording = recording_of("o7004")
    step = recording["steps"][13]
    assert (step["errno"], step["vm"]["pgmigrate_fail"]) == ("EINTR", 764)
    assert verdict(recording).verdict == "match"
    for change, field in (
        (setting(13, "calls", "putback_movable_pages", to=765), "vm.pgmigrate_fail"),
        (setting(13, "calls", "move_to_new_folio=0", to=32), "calls.move_to_new_folio=0"),
        (setting(13, "fails", to=[[11, "-EAGAIN", 7639, 0], [12, "-EAGAIN"]]), "fails.1000"),
        (setting(13, "vm", "pgmigrate_success", to=32), "vm.pgmigrate_success"),
    ):
        outcome = verdict(recording, change)
        assert field in {found.field for found in outcome.differences}, field
    final = copy.deepcopy(recording)
    final["final"]["pgmigrate_fail"] += 1
    assert verdict(final).verdict == "differs"


def test_a_pass_without_types_is_compared_if_all_pageblocks_are_movable():
    """Recording c01-every-second has the totals by type; those of b04-migrate-twice are unknown."""
    recording = recording_of("c01-every-second")
    assert "types" not in recording["steps"][5]
    wrong = copy.deepcopy(recording)
    wrong["steps"][6]["info"]["moves"][0] = [575, 1537, 1, 0, 0]
    first = replay_passes(wrong, "6.12")[0]
    assert (first.reason, first.matches) == ("", False)
    first, second = replay_passes(recording_of("b04-migrate-twice"), "6.12")
    assert (first.differences, first.matches, first.matching) == ((), False, 0)
    assert "types of the pageblocks" in first.reason
    assert second.matches
