"""Programs on real threads: one pass, passes under stress, and the verb that does both."""

import json

import pytest

import mmcore
from mmcore import running
from mmcore.cli import run as command

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


def test_what_a_program_still_holds_is_named():
    result = mmcore.run("machine nodes=2 pages=16\nallocate p0\nget p0\n")
    assert result.clean
    assert any("p0" in held for held in result.held)


def test_json_carries_where_it_was_made_and_how_to_repeat_it():
    data = json.loads(mmcore.run(MOVE, kernel="6.1", release="packed").to_json())
    assert (data["schema"], data["kind"], data["clean"]) == (1, "run", True)
    assert data["build"] == mmcore.build_info()
    assert data["command"] == "mmcore run PROGRAM.mm --set=kernel=6.1 --set=release=packed"
    assert data["program"] == MOVE
    again = json.loads(mmcore.stress(RACE, seconds=0.05, pages=32).to_json())
    assert (again["schema"], again["kind"], again["broken"], again["found"]) == (
        1,
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
def test_what_cannot_run_is_bad_input(text, fields, message):
    with pytest.raises(mmcore.InputError, match=message):
        mmcore.run(text, **fields)
    with pytest.raises(mmcore.InputError, match=message):
        mmcore.stress(text, seconds=0.01, **fields)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_stress_lasts_a_time_that_exists(seconds):
    with pytest.raises((mmcore.InputError, ValueError)):
        mmcore.stress(MOVE, seconds=seconds)


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
    assert json.loads(capsys.readouterr().out)["schema"] == 1
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
        (["{file}", "--set", "patience=1"], "--set takes FIELD=VALUE"),
        (["{file}", "--kernel", "5.0"], "5.0"),
        (["{file}", "--stress", "soon"], "soon"),
        (["{file}", "--stress", "-1"], "seconds"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(file, arguments, message, capsys):
    path = file(MOVE)
    assert command(["run", *(word.format(file=path) for word in arguments)]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.startswith("mmcore: ")
    assert complaint.count("\n") == 1
