"""Every defect is found, breaks its rule, and shrinks to the recorded minimum."""

import re
import time
from pathlib import Path

import pytest

import mmcore
from mmcore._exploration.hunting import BUDGET, defects, hunt, minimum

NAMES = [known.name for known in defects()]


@pytest.fixture(params=defects(), ids=NAMES)
def defect(request):
    return request.param


def size(found):
    operations = sum(len(thread.ops) for thread in found.program.threads)
    return len(found.program.threads), operations, found.switches


def test_a_defect_is_found_and_shrinks_to_its_minimum(defect):
    # Several seeds, because the schedule that is found first must not matter.
    for seed in range(3):
        found = mmcore.explore(
            defect.program,
            mutation=defect.name,
            checks="all",
            schedules=BUDGET,
            seed=seed,
            jobs=1,
            shrink=500,
        ).counterexample
        assert found is not None, f"not found with seed {seed}"
        assert found.shrink_runs <= 500
        # A defect may break several rules; the recorded minimum is for one of them.
        if found.rule == defect.rule:
            assert size(found) == defect.minimum.size, str(found)


def test_a_defect_shrinks_to_its_minimum_among_other_work(defect):
    """The same with unrelated operations and an unrelated thread added to the program."""
    program = defect.program
    extra = mmcore.Program.parse("allocate p7\nthread Z\n  try_get p7\n  put p7\n  free p7")
    busy = [
        mmcore.program.Thread(
            thread.name, (*thread.ops, mmcore.program.Op("query", pages=(zero(),))), thread.cpu
        )
        for thread in program.threads
    ]
    noisy = mmcore.Program(
        setup=(*extra.setup, *program.setup),
        threads=(*busy, *extra.threads),
        finally_=program.finally_,
        machine=program.machine,
    )
    found = mmcore.explore(
        noisy, mutation=defect.name, checks="all", schedules=4 * BUDGET, jobs=1, shrink=500
    ).counterexample
    assert found is not None
    assert found.shrink_runs <= 500
    # No added operation is left, unless all runs were used up.
    spent = found.shrink_runs >= 499
    if found.rule == defect.rule and not spent:
        assert size(found) == defect.minimum.size, str(found)


def zero():
    return mmcore.program.Selection("zero0")


def test_shrinking_is_quick_and_leaves_nothing_to_take_away(defect):
    """Starts from the race as it was found; no operation and no switch of the result can go."""
    met = mmcore.explore(
        defect.program, mutation=defect.name, checks="all", schedules=BUDGET, jobs=1, shrink=0
    ).counterexample
    begin = time.perf_counter()
    small = mmcore._exploration.shrink(met.program, met.schedule, mutation=defect.name, budget=500)
    print(f"shrunk in {time.perf_counter() - begin:.3f} s, {small.shrink_runs} runs")
    assert small.rule == met.rule
    assert small.shrink_runs <= 500
    runs = small.schedule.runs
    for at in range(len(runs)):
        fewer = [thread for thread, length in runs[:at] + runs[at + 1 :] for _ in range(length)]
        assert mmcore.replay(small.program, fewer, mutation=defect.name).rule != small.rule
    for program in without_one(small.program):
        shorter = searched(program, defect)
        if shorter is not None:
            assert shorter.counterexample is None or shorter.counterexample.rule != small.rule


def test_a_defect_replays_identically(defect):
    """Each defect a few times; `test_exploration` replays one a thousand times."""
    kept = defect.minimum
    replays = {
        mmcore.replay(kept.program, kept.schedule, mutation=defect.name).to_json()
        for _ in range(20)
    }
    assert len(replays) == 1


def test_the_minimal_schedule_breaks_the_rule_in_the_defective_core_alone(defect):
    kept = defect.minimum
    played = mmcore.replay(kept.program, kept.schedule, mutation=defect.name)
    assert played.rule == defect.rule
    assert mmcore.replay(kept.program, kept.schedule).rule is None


def without_one(program):
    """Yields the program without one operation, for each operation of its threads."""
    for thread in program.threads:
        for at in range(len(thread.ops)):
            shorter = mmcore.program.Thread(
                thread.name, thread.ops[:at] + thread.ops[at + 1 :], thread.cpu
            )
            others = (shorter if t is thread else t for t in program.threads)
            threads = tuple(t for t in others if t.ops)
            if threads:
                yield mmcore.Program(
                    setup=program.setup,
                    threads=threads,
                    finally_=program.finally_,
                    machine=program.machine,
                )


def searched(program, defect):
    """Searches all schedules; None if the program names an object that is no longer made."""
    try:
        return mmcore.explore(program, mutation=defect.name, checks="all", search="exhaustive")
    except mmcore.errors.InputError:
        return None


def test_no_operation_and_no_switch_of_the_minimum_can_go(defect):
    kept = defect.minimum
    for program in without_one(kept.program):
        result = searched(program, defect)
        if result is None:
            continue
        found = result.counterexample
        assert found is None or found.rule != defect.rule, str(found)
        assert found is not None or result.is_exhaustive
    runs = kept.schedule.runs
    for at in range(len(runs)):
        fewer = [thread for thread, length in runs[:at] + runs[at + 1 :] for _ in range(length)]
        played = mmcore.replay(kept.program, fewer, mutation=defect.name)
        assert played.rule != defect.rule


def test_the_program_holds_in_the_sound_core(defect):
    assert mmcore.explore(defect.program, checks="all", search="exhaustive").check().is_exhaustive


# The search for all minima takes minutes, one with five operations up to two: `make minima`.
QUICK = [
    known.name for known in defects() if known.minimum.threads < 3 and known.minimum.operations < 5
]


@pytest.mark.parametrize("name", QUICK[::5])
def test_the_minimum_is_what_an_exhaustive_search_finds(name):
    (known,) = [defect for defect in defects() if defect.name == name]
    assert minimum(name, known.program, known.rule) == known.minimum


def test_the_site_lists_them():
    page = (Path(__file__).parent.parent / "docs" / "explorer.md").read_text(encoding="utf-8")
    for known in defects():
        assert f"| `{known.name}` | {known.origin} | {known.text} |" in page


def test_the_site_tells_what_each_operation_promises():
    page = (Path(__file__).parent.parent / "docs" / "explorer.md").read_text(encoding="utf-8")
    section = page.split("### What an answer promises")[1].split("### Marks at")[0]
    named = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`[^`]+`", section))))
    twice = {"drain_cpu", "migrate_pages"}
    assert {op.name for op in mmcore.program.operations()} - named == twice


def test_every_minimum_is_proven():
    assert [known.name for known in defects() if not known.minimum.proven] == []


def test_a_hunt_tells_what_it_found():
    (hunted,) = hunt("hook-without-lock")
    assert hunted.found
    assert hunted.schedules >= 1
    assert hunted.size == hunted.defect.minimum.size
    assert hunted.size.threads == len(hunted.exploration.counterexample.program.threads)
    assert str(hunted.size) == str(hunted.defect.minimum)
    assert hunted.to_dict()["minimum"]["threads"] == 2
    with pytest.raises(mmcore.errors.InputError, match="no mutation 'hook'"):
        list(hunt("hook"))
