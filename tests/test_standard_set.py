"""The standard set is complete, is the one that is generated, and finds no violation."""

import re
from collections import Counter
from importlib.resources import files
from itertools import product

import mmcore
from mmcore._exploration import guided, many, soak, standard
from mmcore._exploration.faulty import FAULTY
from mmcore._exploration.vocabulary import offered
from mmcore._spread import workers_of

#: Schedules of a program in the run of the whole set. Many programs on two pages or with three
#: threads have more; `mmcore standard` explores those to their end.
FIRST = 250
#: Schedules that cover a pair on one page. Most need some hundreds; a lasting pin drains the
#: batches of all CPUs, and a compaction and a slow allocation have many steps.
BOUND = 20_000

KINDS = (
    "mapped",
    "fresh",
    "pinned",
    "forked",
    "file",
    "written",
    "cached",
    "private",
    "uncopied",
    "mixed",
    "hollow",
    "short",
    "kept",
    "tiered",
    "failing",
    "free",
    "walked",
    "losing",
    "dropping",
    "swapped",
    "aging",
    "generations",
    "folded",
    "unfilled",
    "large",
    "block",
    "memory",
    "lent",
    "given",
    "active",
    "locked",
    "freed",
    "leaving",
    "blockwise",
    "lodged",
    "stowed",
    "strained",
    "preempted",
    "movable",
    "compressed",
    "paired",
    "compacted",
    "wanted",
    "hungry",
    "gathered",
    "released",
    "balloon",
    "pressed",
    "allocated",
)


def test_the_file_is_what_the_tables_make():
    text = files("mmcore").joinpath("data", "standard.txt").read_text(encoding="utf-8")
    assert text == standard.write(standard.generate())


def test_every_operation_that_the_core_offers_is_in_it():
    used = {op.name for program in standard.load().values() for op in program.ops}
    assert set(offered()) - used == set()


def test_pairs_are_complete_and_triples_few():
    names = standard.load()
    pairs = Counter(re.sub(":.*", "", name) for name in names if re.match(r"\w+ [12]:", name))
    assert pairs.keys() == {f"{kind} {pages}" for kind in KINDS for pages in (1, 2)}
    for kind in KINDS:
        operations = {
            name.split(": ")[1].split(", ")[0] for name in names if name.startswith(f"{kind} 1:")
        }
        assert (
            pairs[f"{kind} 1"] == pairs[f"{kind} 2"] == len(operations) * (len(operations) + 1) / 2
        )
    triples = [name for name, program in names.items() if len(program.threads) == 3]
    assert 10 <= len(triples) <= 50


def test_each_fault_of_the_set_strikes():
    programs = standard.load()
    names = {
        f"{kind}: {failing}, {beside}"
        for kind, each in FAULTY.items()
        for failing, beside in product(each.failing, each.beside)
    }
    assert names == {
        name for name, program in programs.items() if any(op.name == "fail" for op in program.ops)
    }
    # The programs with faults are few beside the pairs.
    assert len(names) < len(programs) / 25
    for name in names:
        found = mmcore.explore(programs[name], search="exhaustive", schedules=100, jobs=1)
        assert [each for each in found.refused if each.op.startswith("fail")] == [], name


def test_the_pairs_on_one_page_hold_to_two_preemptions():
    pairs = standard.run(designs=("split",), matching=" 1: ", limit=BOUND, workers=workers_of(None))
    for result in pairs:
        result.exploration.check()
        assert result.exploration.is_exhaustive, result.name


def test_a_bounded_run_of_the_whole_set_holds():
    for result in standard.run(designs=("split",), limit=FIRST, workers=workers_of(None)):
        result.exploration.check()


def test_a_bounded_run_in_the_other_designs_holds():
    """Runs the pairs on one page; the pairs on two pages run in the design split alone."""
    others = ("packed", "putback", "hook", "hook_late")
    for result in standard.run(designs=others, matching=" 1: ", limit=50, workers=workers_of(None)):
        result.exploration.check()


def test_merged_atomics_hold():
    merged = {"atomics": "merged"}
    for result in standard.run(matching="mapped 1: ", profile=merged, limit=50):
        result.exploration.check()


def test_a_defect_is_seen_by_the_standard_set():
    """The standard set finds most of the defects without knowing their programs."""
    program = standard.load()["mapped 1: read, move"]
    with_defect = mmcore.explore(program, mutation="copy-after-restore", search="exhaustive")
    assert with_defect.counterexample.rule == "data race"


def test_long_programs_hold():
    seen = list(soak.soak(40_000, seed=1))
    assert sum(each.exploration.schedules for each in seen) == 40_000
    assert [each.seed for each in seen] == [1, 2]
    for each in seen:
        each.exploration.check()


def test_a_soak_follows_from_its_seed():
    assert guided.drawn(3) == guided.drawn(3)
    assert len({guided.drawn(seed).program.text for seed in range(20)}) == 20
    assert {len(guided.drawn(seed).threads) for seed in range(30)} == {2, 3, 4}


def test_the_notes_of_many_programs_name_what_no_schedule_could_do():
    exploration = mmcore.explore("map r0 anon 1\nwrite r0\nthread A\n  isolate r0\n", schedules=9)
    searches = (standard.Explored("a pair", "hook", exploration),)
    (note,) = many.StandardResult(searches, 1, {"preemptions": 2}, 0.1).notes
    where = "isolate was refused in all schedules of a pair (hook): `isolate r0`"
    assert note.startswith(f"note: {where}: EBUSY")
    (note,) = many.SoakResult((soak.Soaked(7, "split", exploration),), 20, {}, 0.1).notes
    assert "of seed 7 (split)" in note


def test_races_are_grouped_by_rule_and_the_smallest_is_shown():
    def race(text, name):
        found = mmcore.explore(text, mutation="copy-after-restore")
        return standard.Explored(name, "split", found)

    small = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n"
    large = small.replace("  read r0\n", "  write r0\n  read r0\n  read r0\n")
    searches = tuple(race(text, name) for text, name in ((large, "large"), (small, "small")))
    result = many.StandardResult(searches, 2, {"preemptions": 2}, 0.1)
    groups = result.by_rule
    sizes = {
        rule: [len(e.exploration.counterexample.trace) for e in g] for rule, g in groups.items()
    }
    assert sum(map(len, sizes.values())) == 2
    assert all(sorted(each) == each for each in sizes.values())
    firsts = [each[0] for each in sizes.values()]
    assert sorted(firsts) == firsts
    assert len(result.counterexample.trace) == firsts[0]
    text = str(result)
    for rule, (smallest, *others) in groups.items():
        assert f"{rule}: {len(others) + 1} programs break it; the smallest race is" in text
        assert smallest.label in text
        assert all(f"  also {other.label}" in text for other in others)
