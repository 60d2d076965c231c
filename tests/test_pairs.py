"""The pairs of steps that a search has interleaved, and the soak that they guide."""

import json
import re
from dataclasses import replace

import pytest

import mmcore
from mmcore import searches
from mmcore._exploration import guided, planned, soak
from mmcore._exploration.pairs import merged
from mmcore._spread import Checkpoint, Part, spread, workers_of
from mmcore.results import Pair

PROGRAM = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n"


@pytest.fixture(scope="module")
def explored():
    return mmcore.explore(PROGRAM, schedules=2_000, pairs=True)


def test_pairs_are_told_only_if_they_are_asked_for(explored):
    without = mmcore.explore(PROGRAM, schedules=2_000)
    assert without.pairs is None
    assert without.to_dict()["pairs"] is None
    assert (without.schedules, without.steps) == (explored.schedules, explored.steps)
    assert "--coverage" in explored.command
    assert explored.pairs.command == explored.command


def test_text_page_and_document_have_all_pairs(explored):
    pairs = explored.pairs
    assert pairs.pairs
    text, page = str(explored), explored.to_html()
    document = json.loads(explored.to_json())["pairs"]
    assert document["pairs"] == pairs.table
    assert pairs.verdict in text
    for pair in pairs.pairs:
        row = rf"^{re.escape(pair.object)} +{re.escape(pair.first)} +{re.escape(pair.second)} "
        assert re.search(row, text, re.MULTILINE), pair
        assert f">{pair.first}<" in page
    for line in pairs.lines:
        assert line.place in text
        assert line.interleaved <= line.schedules <= explored.schedules


def test_the_two_steps_of_a_migration_that_a_reader_can_meet_are_a_pair(explored):
    # The reader loads the entry that the migration replaces by its own entry, in both orders.
    entries = [pair for pair in explored.pairs.pairs if pair.object == "entry"]
    assert any(not pair.is_one_way and pair.first != pair.second for pair in entries), entries


def test_a_schedule_that_is_never_interleaved_covers_less():
    none = mmcore.explore(PROGRAM, search="exhaustive", preemptions=0, pairs=True).pairs
    two = mmcore.explore(PROGRAM, search="exhaustive", preemptions=2, pairs=True).pairs
    assert {pair.name for pair in none.pairs} < {pair.name for pair in two.pairs}
    assert sum(pair.is_one_way for pair in none.pairs) > 0


def test_blocks_add_up(monkeypatch):
    whole = mmcore.explore(PROGRAM, schedules=300, pairs=True)
    monkeypatch.setattr(planned, "_BLOCK", 100)
    monkeypatch.setattr(planned, "_seed", lambda seed, block: seed + block)
    parts = [mmcore.explore(PROGRAM, schedules=100, seed=seed, pairs=True) for seed in range(3)]
    blocks = mmcore.explore(PROGRAM, schedules=300, pairs=True)
    assert blocks.pairs.content() == merged(part.pairs.content() for part in parts)
    assert whole.pairs.content() != blocks.pairs.content()


def test_an_order_that_no_schedule_had_is_one_way():
    pair = Pair("page word", "fork", "unmap", 3, 0)
    assert pair.is_one_way
    assert not replace(pair, second="fork").is_one_way
    assert not replace(pair, second_then_first=1).is_one_way


def soaked(schedules=480, **options):
    return searches.soak(schedules, seed=5, **options)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(soak, "_EACH", 20)


@pytest.mark.usefixtures("small")
def test_a_soak_makes_programs_from_those_that_covered_new_pairs():
    found = soaked(jobs=1)
    assert len(found.searches) == 24 or found.counterexample is not None
    made = [each for each in found.searches if each.parent is not None]
    kept = {each.seed for each in found.searches if each.new_pairs}
    assert made
    assert {each.parent for each in made} <= kept
    assert all(each.parent < each.seed for each in made)
    covered = [each.pairs for each in found.searches]
    assert covered == sorted(covered)
    assert covered[-1] == found.pairs == sum(each.new_pairs for each in found.searches)
    assert f"{found.pairs:,} pairs of steps covered" in str(found)
    # A program that was made from another differs from the one that its seed alone draws.
    fresh = {each.seed: guided.drawn(each.seed).program for each in found.searches}
    assert all(each.exploration.program.threads != fresh[each.seed].threads for each in made)


@pytest.mark.usefixtures("small")
def test_a_soak_is_the_same_with_any_workers_and_from_a_checkpoint(tmp_path):
    alone = soaked(jobs=1)
    assert soaked(jobs=3).searches == alone.searches
    kept = tmp_path / "kept"

    def stop(each):
        return each.seed < 5 + 5

    part = soaked(jobs=2, checkpoint=kept, progress=stop)
    assert part.searches == alone.searches[:6]
    assert soaked(jobs=2, checkpoint=kept).searches == alone.searches
    # Once more, with nothing left to do.
    assert soaked(jobs=2, checkpoint=kept).searches == alone.searches


def double(task):
    return 2 * task


@pytest.mark.parametrize("jobs", [None, 2])
def test_a_part_can_wait_for_the_results_before_it(jobs):
    results = []

    def parts():
        for number in range(6):
            while number >= 2 and len(results) < number - 1:
                yield None
            yield Part(f"part {number}", number)

    workers = None if jobs is None else workers_of(None, jobs)
    with Checkpoint(None, "test", {}) as kept:
        for each in spread(double, parts(), workers=workers, checkpoint=kept):
            results.append(each)  # noqa: PERF402 - a part waits for it
    assert results == [(number, 2 * number) for number in range(6)]
