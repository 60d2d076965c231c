"""The standard set: complete, as it was made, and without a violation."""

import re
from collections import Counter
from importlib.resources import files

import mmcore
from mmcore.exploration import soak, standard
from mmcore.exploration.vocabulary import offered

#: Schedules of a program in a bounded run; on two pages, and with three threads, more are needed.
BOUND = 10_000

KINDS = (
    "mapped",
    "fresh",
    "pinned",
    "forked",
    "file",
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
    "preempted",
    "movable",
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
        operations = {name.split(": ")[1].split(", ")[0] for name in names if f"{kind} 1:" in name}
        assert (
            pairs[f"{kind} 1"] == pairs[f"{kind} 2"] == len(operations) * (len(operations) + 1) / 2
        )
    triples = [name for name, program in names.items() if len(program.threads) == 3]
    assert 10 <= len(triples) <= 40


def test_the_pairs_hold_to_two_preemptions():
    """Everything, bounded; the pairs on one page of each kind exhaustively."""
    for result in standard.run(designs=("split",), limit=BOUND):
        result.exploration.check()
        pair = len(result.exploration.program.threads) == 2
        if pair and " 2: " not in result.name:
            assert result.exploration.is_exhaustive, result.name


def test_a_bounded_run_in_the_other_designs_holds():
    for result in standard.run(designs=("packed", "putback", "hook", "hook_late"), limit=200):
        result.exploration.check()


def test_a_defect_is_seen_by_the_standard_set():
    """The set is no formality: it would have found most of the defects."""
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
    assert soak.drawn(3) == soak.drawn(3)
    assert len({soak.drawn(seed).text for seed in range(20)}) == 20
    assert {len(soak.drawn(seed).threads) for seed in range(30)} == {2, 3, 4}
