"""What the schedules of a search are checked against."""

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
