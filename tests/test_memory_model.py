"""The memory of x86 in explored programs: `memory="tso"`."""

import pytest

import mmcore
from mmcore import Replay
from mmcore._exploration.guided import drawn
from mmcore.errors import InputError, ProgramError

MOVE = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  write r0\n"

#: An access whose section word can still be in the buffer when a flush looks at it.
DEFECT = "enter-without-fence"


@pytest.fixture(scope="module")
def race():
    return mmcore.explore(MOVE, memory="tso", mutation=DEFECT).counterexample


def test_the_memory_is_a_field_of_the_machine():
    program = mmcore.Program.parse(f"machine memory=tso\n{MOVE}")
    assert program.machine.memory == "tso"
    assert mmcore.Program.parse(program.text) == program
    found = mmcore.explore(MOVE, memory="tso", schedules=20)
    assert found.program == program
    assert found.schedules == 20
    assert mmcore.explore(program, memory="sc", schedules=20).program.machine.memory == "sc"
    with pytest.raises(ProgramError, match="should be one of sc, tso"):
        mmcore.Program.parse(f"machine memory=weak\n{MOVE}")


def test_a_missing_fence_shows_in_this_memory_alone(race):
    assert mmcore.explore(MOVE, memory="tso").counterexample is None
    assert mmcore.explore(MOVE, mutation=DEFECT).counterexample is None
    assert race.program.machine.memory == "tso"
    assert len(race.program.threads) == 2
    assert [len(thread.ops) for thread in race.program.threads] == [1, 1]


def test_a_race_in_this_memory_replays(race, tmp_path):
    assert Replay.of_line(race.line, mutation=DEFECT).rule == race.rule
    race.save(tmp_path / "race.mm")
    played = Replay.load(tmp_path / "race.mm")
    assert (played.rule, played.schedule) == (race.rule, race.schedule)


def test_a_store_leaves_its_buffer_in_a_step_of_its_thread():
    played = mmcore.replay(f"machine memory=tso\n{MOVE}", "1,5," * 60)
    left = [step for step in played.trace if step.kind == "leave"]
    assert left
    assert {step.thread for step in left} == {1}
    assert all(step.name == "B" and step.before != step.after for step in left)
    assert "leaves its thread" in played.to_html()
    assert played.to_chrome()


def test_programs_in_this_memory_have_four_threads_at_most():
    threads = "".join(f"thread {name}\n  drain\n" for name in "ABCDE")
    with pytest.raises(InputError, match="4 threads at most, not 5"):
        mmcore.explore(threads, memory="tso", schedules=1)


def test_various_programs_hold_in_this_memory():
    for seed in range(30):
        program = drawn(seed).program
        found = mmcore.explore(
            program, memory="tso", checks="all", schedules=40, seed=seed, jobs=1, shrink=0
        )
        assert found.counterexample is None, f"seed {seed}: {found}"
