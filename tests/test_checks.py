"""The rules against which the schedules of a search are checked."""

import mmcore
from mmcore import Replay
from mmcore._exploration.hunting import defect


def test_answers_are_checked_if_all_is(tmp_path):
    name = "trylock-gives-up"
    program = defect(name).program
    options = {"mutation": name, "schedules": 5_000, "jobs": 1}
    lenient = mmcore.explore(program, **options)
    assert lenient.counterexample is None
    assert "--checks" not in lenient.command
    strict = mmcore.explore(program, checks="all", **options)
    assert "--checks all" in strict.command
    found = strict.counterexample
    assert found.rule == "an answer is true at some moment of its operation"
    # A replay always checks all, however the schedule is given.
    found.save(tmp_path / "race.mm")
    replays = (Replay.load(tmp_path / "race.mm"), Replay.of_line(found.line, mutation=name))
    assert [replay.rule for replay in replays] == [found.rule] * 2
    assert mmcore.shrink(found.program, found.schedule, mutation=name).rule == found.rule


def test_a_block_that_a_compaction_captured_is_neither_a_hit_nor_a_miss():
    # B asks for node 0, and its compaction of node 1 captures a block that A's reclaim frees.
    program = (
        "machine nodes=2 pages=8 cpus=1 pressure=on pageblock_order=2 release=split ; "
        "set min_free_kbytes 16 ; swapon 1 zram ; map r0 anon 12 ; write r0 ; drain ; "
        "thread A ; allocate p2 order=1 ; free p2 ; "
        "thread B ; allocate p3 order=1"
    )
    reclaims = 560
    alone = Replay.of_line(f"{program} @ 0x{reclaims},1x9999,0")
    # B is about to look whether it has got a block.
    ends = [
        number - reclaims
        for number, step in enumerate(alone.trace)
        if (step.thread, step.function) == (1, "Capture::take_away")
    ]
    runs = [Replay.of_line(f"{program} @ 0x{reclaims},1x{end},0") for end in ends]
    assert [run.rule for run in runs] == [None] * len(ends)
    functions = {step.function for run in runs for step in run.trace}
    assert "Capture::fill" in functions, "no schedule reaches a capture"


def test_a_range_allocation_leaves_an_active_page_that_it_cannot_drop_inactive():
    # `reclaim_clean_pages_from_list` clears the mark, so reclaim sets it, and counts it, once more.
    program = """
        machine nodes=1 pages=2 cpus=1
        map r0 anon 1
        write r0
        map r1 file 1
        write r1
        begin_writeback r1
        reclaim 1
        thread B
          alloc_range p3 1 1
        thread C
          end_writeback r1
    """
    found = mmcore.explore(program, search="exhaustive", checks="all")
    assert found.counterexample is None, found.counterexample
    assert found.is_exhaustive
