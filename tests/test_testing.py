"""mmcore.testing: strategies, searches inside Hypothesis, the page's life, the pytest plugin."""

import json
import shlex
import subprocess
import sys
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

import mmcore
from mmcore import Program, Schedule
from mmcore._cli import run
from mmcore._exploration.vocabulary import offered
from mmcore.errors import InputError, MisuseError
from mmcore.handles import MovableOps
from mmcore.testing import PageLife, explore, programs, replaying, schedules
from schema_errors import errors

QUICK = settings(max_examples=25, deadline=None)


@QUICK
@given(programs())
def test_programs_of_everything_hold(program):
    assert len(program.threads) == 2
    explore(program, schedules=200).check()


@QUICK
@given(programs(threads=3, pages=2, length=2))
def test_programs_of_three_threads_on_two_pages_hold(program):
    explore(program, schedules=200, release="packed").check()


@given(programs(ops=["move", "write r0", mmcore.program.Op("drain")], length=4))
def test_only_the_operations_asked_for_are_drawn(program):
    assert {op.name for thread in program.threads for op in thread.ops} <= {
        "move",
        "write",
        "drain",
    }
    assert {op.name for op in program.setup} <= {"map", "write", "drain"}


@given(programs(ops=["get r0", "put r0"], setup="map r0 anon 2\nwrite r0"))
def test_a_set_up_of_ones_own(program):
    assert [op.text for op in program.setup] == ["map r0 anon 2", "write r0"]


def test_every_offered_operation_is_drawn():
    for name in offered():
        program = find(programs(threads=1, ops=[name], length=1), lambda _: True)
        assert [op.name for op in program.threads[0].ops] == [name]
        # Many of the operations have no effect alone.
        mmcore.explore(program, schedules=20).check()


NEVER_DRAINED = "map r0 anon 1\nwrite r0\nthread A\n  isolate r0\nthread B\n  read r0\n"


def test_an_operation_that_no_schedule_could_do_is_a_warning():
    with pytest.warns(
        mmcore.errors.RefusedWarning, match="`isolate r0` was refused in all 50 schedules"
    ):
        explore(NEVER_DRAINED, schedules=50)


def test_an_operation_that_no_schedule_could_do_is_an_event_of_hypothesis(tmp_path):
    file = tmp_path / "test_it.py"
    file.write_text(
        f"""
from hypothesis import given, strategies as st
from mmcore.testing import explore

@given(st.just({NEVER_DRAINED!r}))
def test_it(program):
    explore(program, schedules=50).check()
"""
    )
    command = [sys.executable, "-m", "pytest", "--hypothesis-show-statistics", str(file)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "refused in all schedules: isolate r0: EBUSY" in told.stdout


@given(programs(threads=3, length=4))
def test_drawn_operations_name_existing_things(program):
    assert mmcore.explore(program, schedules=1, jobs=1).counterexample is None


@given(programs(ops=["unpin", "exit", "free"], setup="map r7 anon 1"))
def test_things_that_an_own_set_up_lacks_are_made(program):
    assert program.setup[0].text == "map r7 anon 1"
    assert mmcore.explore(program, schedules=1, jobs=1).counterexample is None


@given(st.from_type(Program), st.from_type(Schedule))
def test_types_are_known_to_hypothesis(program, schedule):
    assert isinstance(program, Program)
    assert isinstance(schedule, Schedule)
    assert mmcore.replay(program, schedule).rule is None


@given(programs(ops=["drain"]))
def test_seconds_are_refused_inside_a_test(program):
    with pytest.raises(MisuseError, match="must not depend on the clock"):
        explore(program, seconds=1)


def shrunk(strategy, mutation, **options):
    """Returns the smallest program for which Hypothesis still finds a race."""

    def races(program):
        result = explore(program, mutation=mutation, shrink=0, **options)
        return result.counterexample is not None

    return find(
        strategy,
        races,
        settings=settings(
            max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_operations_shrink_through_hypothesis_to_the_minimum():
    ops = ["read r0", "write r0", "drain", "query", "get", "put", "move"]
    program = shrunk(programs(ops=ops, length=4), "copy-after-restore", schedules=300)
    bodies = sorted([op.text for op in thread.ops] for thread in program.threads)
    assert bodies == [["move r0 node=1"], ["read r0"]]


def test_a_missing_lock_shrinks_through_hypothesis_to_the_minimum():
    ops = ["isolate m0", "migrate m0 node=1", "try_get m0", "put m0", "drain", "lock m0"]
    program = shrunk(
        programs(ops=ops, setup="machine release=hook\nmovable m0 1"),
        "hook-without-lock",
        schedules=1_000,
    )
    bodies = sorted([op.text for op in thread.ops] for thread in program.threads)
    mover = ["isolate m0", "migrate m0 node=1"]
    # The other thread can hold a reference for a moment in two ways.
    assert bodies in ([mover, ["try_get m0", "put m0"]], [["isolate m0"], mover])


def test_schedules_shrink_to_the_one_switch_that_matters():
    program = "allocate p0\nthread A\n  free p0\nthread B\n  try_get p0\n  put p0\n"

    def races(schedule):
        return mmcore.replay(program, schedule, mutation="try-get-in-two-steps").rule is not None

    found = find(
        schedules(steps=20),
        races,
        settings=settings(
            max_examples=2_000,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
    # B takes one step, then A frees the page that B is about to reference.
    assert str(found) == "1,0"


def test_the_life_of_pages_holds():
    run_state_machine_as_test(PageLife, settings=settings(max_examples=15, stateful_step_count=25))


class MovesWithoutCopying(MovableOps):
    def migrate(self, *_):
        return True


class Packed(PageLife):
    machine_options: ClassVar = {"release": "packed", "pagevec": 3}

    @rule(written=PageLife.mapped)
    def move_there_and_back(self, written):
        for node in (1, 0):
            self.move_pages(written, node)


def test_a_life_with_rules_of_ones_own_holds():
    run_state_machine_as_test(Packed, settings=settings(max_examples=15, stateful_step_count=25))


def test_a_replay_instead_of_a_search(tmp_path):
    program = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n"
    found = explore(program, mutation="copy-after-restore").counterexample
    found.save(tmp_path / "race.mm")
    for what in (found.line, str(tmp_path / "race.mm")):
        with replaying(what):
            again = explore("thread A\n  drain", mutation="copy-after-restore")
        assert again.counterexample.rule == found.rule
        assert again.schedules == 1
    with replaying(found.line):
        sound = explore("thread A\n  drain")
        assert sound.check() is sound
        assert not sound.is_exhaustive


@pytest.mark.parametrize("mutation", ["copy-after-restore", None])
def test_a_replay_is_a_result_as_any_other(mutation):
    program = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n"
    found = explore(program, mutation="copy-after-restore").counterexample
    with replaying(found.line):
        again = explore("thread A\n  drain", seed=7, mutation=mutation, max_steps=5_000)
    assert again.status == ("finding" if mutation else "clean")
    assert again.seed is None, "nothing was drawn"
    document = json.loads(again.to_json())
    assert errors(document) == []
    assert document["options"]["replay"] == found.line
    assert again.title in again.to_html()
    # The command is one that can be typed, and shows the same schedule.
    words = shlex.split(again.command)
    assert words[:2] == ["mmcore", "replay"]
    assert run(words[1:]) == (1 if mutation else 0)


def test_a_replay_has_the_owners_of_its_program():
    program = "movable m0 1\nmovable m1 1\nthread A\n  isolate m0\n  migrate m0 node=1\n"
    owners = {"m0": MovesWithoutCopying(), "m1": MovableOps()}
    found = explore(program, owners=owners, schedules=100).counterexample
    assert found.rule == "content is what was last written"
    assert "m1" not in found.program.text, "the owner of other pages has been removed"
    with replaying(found.line):
        again = explore(program, owners=owners)
    assert again.counterexample is not None
    assert again.counterexample.rule == found.rule


USER = """
import pytest
from hypothesis import given, settings
from mmcore.testing import explore, programs

@pytest.mark.mmcore_machine(release="packed")
def test_machine(machine):
    assert machine.profile["release"] == "packed"
    machine.alloc(node=0).put()

def test_plain_machine(machine):
    assert len(machine.nodes) == 2

@settings(max_examples=50, database=None, deadline=None)
@given(programs(ops=["move", "read"], length=2))
def test_race(program):
    explore(program, schedules=300, mutation="copy-after-restore").check()

def test_closed_already(machine):
    machine.close()
"""


def pytest_run(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_plugin_gives_machines_and_replays(tmp_path):
    (tmp_path / "test_user.py").write_text(USER)
    done = pytest_run(tmp_path)
    assert "3 passed" in done.stdout, done.stdout
    assert "1 failed" in done.stdout
    assert "mmcore.errors.RaceError: " in done.stdout
    (line,) = {
        row.strip() for row in done.stdout.splitlines() if row.startswith("pytest test_user.py::")
    }
    race = line.split("--mmcore-replay ")[1].strip("'")
    again = pytest_run(tmp_path, "-k", "test_race", "--mmcore-replay", race)
    assert "1 failed" in again.stdout
    harmless = "map r0 anon 1 ; thread A ; read r0 @ 0"
    passed = pytest_run(tmp_path, "-k", "test_race", "--mmcore-replay", harmless)
    assert "1 passed" in passed.stdout, passed.stdout


BROKEN = """
import mmcore

class Broken:
    closed = False

    def __init__(self, **options):
        pass

    def audit(self):
        return self

    def raise_for_findings(self):
        raise mmcore.errors.FindingError("frame 7 is on two lists")

    def close(self):
        print("closed all the same")

mmcore.Machine = Broken

def test_machine(machine):
    pass
"""


def test_the_fixture_audits_at_teardown(tmp_path):
    (tmp_path / "test_teardown.py").write_text(BROKEN)
    done = pytest_run(tmp_path)
    assert "1 passed, 1 error" in done.stdout
    assert "frame 7 is on two lists" in done.stdout
    assert "closed all the same" in done.stdout


@pytest.mark.parametrize(
    "odd",
    [{"threads": 0}, {"threads": 9}, {"length": 0}, {"pages": 0}, {"pages": 65}, {"pages": 2**32}],
)
def test_programs_have_some_threads_operations_and_pages(odd):
    with pytest.raises(InputError, match="1 to 64 pages"):
        programs(**odd)


def test_schedules_are_drawn_only_from_numbers():
    # Hypothesis keeps the arguments of its strategies; a machine among them would live for ever.
    for bad in ({"steps": object()}, {"steps": -1}, {"threads": 0}, {"threads": "2"}):
        with pytest.raises(InputError):
            schedules(**bad)
