"""Programs on real threads: one pass, passes under stress, and the command for both."""

import contextlib
import json
import sys
import threading

import pytest

import mmcore
from mmcore import _running as running
from mmcore._cli import run as command
from mmcore.errors import InputError

MOVE = """\
machine nodes=2 pages=16
map r0 anon 2
write r0
drain
finally
  move r0 node=1
  read r0
"""
RACE = """\
machine nodes=2 pages=16
map r0 anon 1
write r0
drain
thread A
  move r0 node=1
thread B
  write r0
  read r0
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "p.mm"
        path.write_text(text)
        return str(path)

    return write


def test_a_pass_tells_what_each_operation_did():
    result = mmcore.run(MOVE)
    assert result.clean
    assert not result.unsupported
    assert [step["op"] for step in result.steps][-2:] == ["move r0 node=1", "read r0"]
    move, read = result.steps[-2:]
    assert (move["ret"], move["status"]) == (0, [[2, 1]])
    assert read["acc"] == [[2, "ok"]]


def test_a_pass_runs_threads_and_audits_every_design():
    for release in ["putback", "split", "hook", "hook_late", "packed", "mine"]:
        result = mmcore.run(RACE, release=release)
        assert result.clean, result.findings
        assert {step["section"] for step in result.steps} >= {"A", "B"}


FORKS = """
map r0 anon 1
write r0
thread A
  fork c2
  cread c2 r0
thread B
  fork c2
  cwrite c2 r0
thread C
  fork c2
  exit c2
finally
  audit
  cread c2 r0
"""


def test_children_of_one_name_in_several_threads_all_end():
    for _ in range(20):
        result = mmcore.run(FORKS)
        assert result.clean, str(result)
    assert mmcore.stress(FORKS, seconds=0.1).found is None
    found = mmcore.explore(FORKS, schedules=300, jobs=1).counterexample
    assert found is None, str(found)


def test_handles_that_a_program_still_holds_are_named():
    result = mmcore.run("machine nodes=2 pages=16\nallocate p0\nget p0\n")
    assert result.clean
    assert any("p0" in held for held in result.held)


def test_json_carries_where_it_was_made_and_how_to_repeat_it():
    data = json.loads(mmcore.run(MOVE, kernel="6.1", release="packed").to_json())
    assert (data["status"], data["kind"], data["clean"]) == ("clean", "run", True)
    assert data["build"] == mmcore.build_info()
    assert data["command"] == "mmcore run PROGRAM.mm --set=kernel=6.1 --set=release=packed"
    assert data["program"] == MOVE
    again = json.loads(mmcore.stress(RACE, seconds=0.05, pages=32).to_json())
    assert (again["status"], again["kind"], again["broken"], again["found"]) == (
        "clean",
        "stress",
        None,
        None,
    )
    assert again["command"] == "mmcore run PROGRAM.mm --stress=0.05 --set=pages=32"


def test_stress_counts_what_each_operation_came_to():
    result = mmcore.stress(RACE, seconds=0.2)
    assert result.clean
    assert result.rounds > 1
    write = next(row for row in result.outcomes if row["section"] == "B" and "write" in row["op"])
    assert sum(write["seen"].values()) == result.rounds


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        ("jump r0\n", {}, "jump"),
        (MOVE, {"kernel": "5.0"}, "5.0"),
        (MOVE, {"release": "nonsense"}, "nonsense"),
        (MOVE, {"pagevec": "a b"}, "FIELD=VALUE"),
        (MOVE, {"wind": 3}, "wind"),
    ],
)
def test_a_program_that_cannot_run_is_bad_input(text, fields, message):
    with pytest.raises(mmcore.errors.InputError, match=message):
        mmcore.run(text, **fields)
    with pytest.raises(mmcore.errors.InputError, match=message):
        mmcore.stress(text, seconds=0.01, **fields)


#: Values that are no duration.
NO_TIMES = [-1.0, 0, float("nan"), float("inf"), 10**400, "1", [], b"1"]


@pytest.mark.parametrize("time", NO_TIMES)
def test_a_duration_is_a_time_that_exists(time):
    with pytest.raises(mmcore.errors.InputError, match="seconds must be more than 0"):
        mmcore.stress(MOVE, seconds=time)
    with pytest.raises(mmcore.errors.InputError, match="patience must be more than 0"):
        mmcore.stress(MOVE, seconds=0.1, patience=time)
    with pytest.raises(mmcore.errors.InputError, match="patience must be more than 0"):
        mmcore.run(MOVE, patience=time)
    with pytest.raises(mmcore.errors.InputError, match="seconds must be more than 0"):
        mmcore.explore(RACE, seconds=time)
    with pytest.raises(mmcore.errors.InputError, match="seconds must be more than 0"):
        mmcore.diff(RACE, kernel="6.1,6.12", seconds=time)


#: Durations longer than any clock runs, which count as endless.
AGES = [1e10, 1.8e19, 1e19, 2.0**64, 1e300, sys.float_info.max]


@pytest.mark.parametrize("time", AGES)
def test_a_duration_may_be_longer_than_any_clock_runs(time):
    broken = "map r0 anon 1\nwrite r0\nlock r0\nthread A\n  lock r0\n"
    assert mmcore.run(MOVE, patience=time).clean
    # The run ends, because a rule breaks.
    assert mmcore.stress(broken, seconds=time, patience=0.01).broken == 0
    assert mmcore.explore(RACE, schedules=10, seconds=time).schedules == 10


@pytest.mark.parametrize("name", ["pages", "nodes", "cpus", "movable", "pagevec"])
@pytest.mark.parametrize("number", [-1, 0, 2**31, 2**32 - 1, 2**32, 2**64, 10**30, "1e9", "x"])
def test_a_number_of_the_machine_line_is_refused_or_taken(name, number):
    for program in (MOVE, RACE):
        # Neither another exception nor a broken rule may come of it.
        with contextlib.suppress(mmcore.errors.InputError):
            assert mmcore.run(program, **{name: number}).clean


def test_more_threads_than_a_program_can_have_are_refused_before_anything_runs():
    many = "".join(f"thread T{n}\n  drain\n" for n in range(255))
    with pytest.raises(InputError, match=r"a run on real threads takes .* 254 threads, .* 255"):
        mmcore.run(many)
    with pytest.raises(InputError, match=r"a run on real threads takes .* 254 threads, .* 255"):
        mmcore.stress(many, seconds=1)
    for search in ("portfolio", "exhaustive"):
        with pytest.raises(InputError, match=r"the explorer takes at most 8 threads, .* 255"):
            mmcore.explore(many, search=search)
    with pytest.raises(InputError, match=r"the explorer takes at most 8 threads, .* 255"):
        mmcore.diff(many, kernel="6.1,6.12")
    with pytest.raises(InputError, match=r"the explorer takes at most 8 threads, .* 255"):
        mmcore.replay(many, "0")


def test_threads_that_others_leave_no_room_for_are_refused():
    machine = mmcore.Machine(nodes=["1MiB"])
    ready, over = threading.Barrier(251), threading.Event()

    def use():
        machine.drain()
        ready.wait()
        over.wait()

    users = [threading.Thread(target=use) for _ in range(250)]
    try:
        for user in users:
            user.start()
        ready.wait()
        many = "".join(f"thread T{n}\n  drain\n" for n in range(10))
        for call in (mmcore.run, lambda text: mmcore.stress(text, seconds=1)):
            with pytest.raises(
                mmcore.errors.InputError, match="no room for 10 more threads: at most 256"
            ):
                call(many)
        # The explorer needs no slots, because its threads are coroutines.
        assert mmcore.explore("thread A\n  drain\nthread B\n  drain", schedules=10).schedules == 10
    finally:
        over.set()
        for user in users:
            user.join()
    assert mmcore.run(many).clean


NEVER_DRAINED = "map r0 anon 1\nwrite r0\nthread A\n  isolate r0\nthread B\n  read r0\n"


def test_an_operation_that_did_nothing_is_told():
    result = mmcore.run(NEVER_DRAINED)
    assert result.clean
    (refused,) = result.refused
    assert (refused.section, refused.i, refused.op) == ("A", 0, "isolate r0")
    assert refused.errnos == ("EBUSY",)
    (note,) = result.notes
    assert note.startswith("note: A: `isolate r0` was refused: EBUSY")
    assert json.loads(result.to_json())["refused"][0]["op"] == "isolate r0"
    rounds = mmcore.stress(NEVER_DRAINED, seconds=0.05)
    (note,) = rounds.notes
    assert f"was refused in all {rounds.rounds:,} rounds: EBUSY" in note
    assert json.loads(rounds.to_json())["refused"][0]["errnos"] == ["EBUSY"]
    assert mmcore.run(RACE).refused == ()


#: Operations that find nothing to do, with the reason.
NOTHING = {
    "read r0@400-500": "no page of the region is in these frames",
    "unmap r0@7": "no page of the region is in these frames",
    "pin g0 r0@400 pipe": "no page of the region is in these frames",
    "frame r1": "none of the pages is in memory",
    "punch r0 keep=2 of=2": "nothing is dropped if the first 2 of each 2 pages stay",
    "punch r0 keep=0 of=0": "nothing is dropped",
    "zram_punch keep=3 of=2": "nothing is dropped",
    "zs_put 5,9 size=100": "the device has blocks 0 to 1, not 5,9",
    "zs_check 2": "the device has blocks 0 to 1, not 2",
    "zs_del 2-4": "the device has blocks 0 to 1, not 2-4",
    "begin_writeback r2": "no page was touched",
}


@pytest.mark.parametrize("op", NOTHING)
def test_an_operation_that_finds_nothing_is_told_by_each_runner(op):
    program = "map r0 anon 1\nwrite r0\nmap r1 anon 1\nmap r2 file 1\nread r2\nzs_open 2\n"
    program += f"thread A\n  {op}\n"
    for result in (
        mmcore.run(program),
        mmcore.stress(program, seconds=0.01),
        mmcore.explore(program, schedules=5, jobs=1),
        mmcore.diff(program, vary="pagevec=15,31", schedules=5).reached[0],
    ):
        (refused,) = result.refused
        assert (refused.section, refused.op) == ("A", op)
        assert NOTHING[op] in refused.why


def test_the_verb_tells_what_was_not_done(file, capsys):
    assert command(["run", file(NEVER_DRAINED)]) == 0
    assert "note: A: `isolate r0` was refused: EBUSY" in capsys.readouterr().out
    assert command(["run", file(NEVER_DRAINED), "--stress", "0.05"]) == 0
    assert "note: A: `isolate r0` was refused in all" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("map r0 anon 1\nthread A\n  read r7\n", "A: `read r7`: there is no r7"),
        ("unpin g0\n", "setup: `unpin g0`: there is no g0"),
        ("thread A\n  drain\nfinally\n  release m0\n", "finally: `release m0`: there is no m0"),
    ],
)
def test_a_program_that_names_a_thing_before_it_is_made_is_refused(text, message, file, capsys):
    for call in (mmcore.run, lambda text: mmcore.stress(text, seconds=1), mmcore.explore):
        with pytest.raises(mmcore.errors.InputError, match=message):
            call(text)
    assert command(["run", file(text)]) == 2
    assert command(["explore", file(text)]) == 2
    assert message in capsys.readouterr().err


def test_the_verb_prints_a_table_and_the_verdict(file, capsys):
    assert command(["run", file(MOVE)]) == 0
    shown = capsys.readouterr().out
    assert "move r0 node=1" in shown
    assert "audit: clean" in shown


def test_the_verb_runs_under_stress(file, capsys):
    assert command(["run", file(RACE), "--stress", "0.1", "--set", "release=packed"]) == 0
    assert "rounds, each audited: clean" in capsys.readouterr().out


def test_the_verb_prints_json(file, capsys):
    assert command(["run", file(MOVE), "--json", "--kernel", "6.1"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "run"
    assert command(["run", file(RACE), "--json", "--stress", "0.05"]) == 0
    assert json.loads(capsys.readouterr().out)["rounds"] >= 1


def test_a_broken_rule_is_exit_1(file, capsys, monkeypatch):
    finding = {"rule": "the count is the sum of its holders", "pfn": 7, "detail": "count 2, held 1"}

    def broken(*_):
        return json.dumps({"steps": [], "findings": [finding], "held": []})

    monkeypatch.setattr(running._mmcore, "run_program", broken)
    assert command(["run", file(MOVE)]) == 1
    assert "broken: the count is the sum of its holders: page 0x7: count 2, held 1" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/such.mm"], "no/such.mm: No such file"),
        (["{file}", "--set", "release"], "--set takes FIELD=VALUE"),
        (["{file}", "--set", "=hook"], "--set takes FIELD=VALUE"),
        (["{file}", "--set", "pagevec=1", "--set", "pagevec=2"], "--set gives pagevec twice"),
        (["{file}", "--set", "patience=1"], "--set takes FIELD=VALUE"),
        (["{file}", "--kernel", "5.0"], "5.0"),
        (["{file}", "--stress", "soon"], "soon"),
        (["{file}", "--stress", "-1"], "seconds"),
        (["{file}", "--stress", "0"], "seconds"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(file, arguments, message, capsys):
    path = file(MOVE)
    assert command(["run", *(word.format(file=path) for word in arguments)]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.startswith("mmcore: ")
    assert complaint.count("\n") == 1
