"""`mmcore explore`: every flag, every exit code."""

import json
import re
import shlex

import pytest

import mmcore
from mmcore.cli import run

PROGRAM = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n"
DEFECT = ["--mutation", "copy-after-restore"]


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.mm"
    path.write_text(PROGRAM)
    return str(path)


def explore(*arguments):
    return run(["explore", *map(str, arguments)])


def test_a_finished_random_budget_is_0_and_not_exhaustive(program, capsys):
    assert explore(program, "--schedules", 300) == 0
    shown = capsys.readouterr().out
    assert re.match(r"no violation in 300 schedules, [\d,]+ steps \(.*not exhaustive\)\n", shown)


def test_an_exhaustive_search_is_0_when_it_has_seen_everything(program, capsys):
    assert explore(program, "--exhaustive", "--preemptions", 1) == 0
    assert "every interleaving with at most 1 preemptions" in capsys.readouterr().out
    assert explore(program, "--preemptions", 0) == 0
    assert "every interleaving with at most 0 preemptions" in capsys.readouterr().out


def test_an_exhaustive_search_that_stops_early_is_3(program, capsys):
    assert explore(program, "--exhaustive", "--schedules", 5) == 3
    assert "not exhaustive" in capsys.readouterr().out
    assert explore(program, "--preemptions", "all", "--seconds", 0.2) == 3
    assert "not exhaustive" in capsys.readouterr().out


def test_seconds_alone_are_a_budget(program, capsys):
    assert explore(program, "--seconds", 0.2, "--search", "pct") == 0
    assert "not exhaustive" in capsys.readouterr().out


def test_a_race_is_1_and_its_last_line_replays_it(program, capsys):
    assert explore(program, *DEFECT) == 1
    shown = capsys.readouterr().out
    assert ">>>" in shown
    line = shown.splitlines()[-1].removeprefix("replay: ")
    command = shlex.split(line)
    assert command[:2] == ["mmcore", "explore"]
    assert run(command[1:]) == 1
    replayed = capsys.readouterr().out
    assert replayed == shown
    assert explore("--replay", command[-1]) == 0, "the sound core"
    assert "no rule broke" in capsys.readouterr().out


def test_a_race_is_saved_drawn_and_replayed(program, capsys, tmp_path):
    saved, page = tmp_path / "race.mm", tmp_path / "race.html"
    # Of the rules that the defect breaks, this seed meets the race first.
    assert explore(program, *DEFECT, "--seed", 1, "--save", saved, "--html", page) == 1
    shown = capsys.readouterr().out
    assert "<svg" in page.read_text(encoding="utf-8")
    assert explore("--replay", saved) == 1
    assert capsys.readouterr().out == shown
    schedule = saved.read_text().split("# schedule: ")[1].splitlines()[0]
    assert explore(saved, *DEFECT, "--replay", schedule, "--json") == 1
    assert json.loads(capsys.readouterr().out)["rule"] == "data race"


def test_json(program, capsys):
    assert explore(program, "--schedules", 10, "--json", "--seed", 3, "--jobs", 1) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["schema"], facts["schedules"], facts["options"]["seed"]) == (1, 10, 3)


def test_the_machine_can_be_changed(program, capsys):
    options = ["--kernel", "6.1", "--release", "packed", "--set", "pagevec=3", "--json"]
    assert explore(program, "--schedules", 10, *options) == 0
    text = json.loads(capsys.readouterr().out)["program"]
    assert text.startswith("machine kernel=6.1 pagevec=3 release=packed\n")


def test_a_program_from_the_standard_input(capsys, monkeypatch, tmp_path):
    path = tmp_path / "in"
    path.write_text(PROGRAM)
    with path.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert explore("-", "--schedules", 10) == 0
    assert "no violation" in capsys.readouterr().out


def test_a_mutation_brings_its_program(capsys):
    assert explore("--mutation", "hook-without-lock") == 1
    shown = capsys.readouterr().out
    assert "released is called once" in shown
    assert "--mutation hook-without-lock" in shown


def test_the_list_of_mutations(capsys):
    assert explore("--list-mutations") == 0
    text = capsys.readouterr().out
    assert explore("--list-mutations", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["mutations"]
    assert len(rows) >= 30
    assert all(row["mutation"] in text for row in rows)


def test_all_mutations_are_found(capsys):
    assert explore("--all-mutations") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^(\d+) of \1 found in", shown, re.MULTILINE)
    assert "117aad1e9e4d" in shown


def test_mutations_that_are_missed_are_1(capsys):
    assert explore("--all-mutations", "--schedules", 1, "--json") == 1
    rows = json.loads(capsys.readouterr().out)["mutations"]
    assert not all(row["found"] for row in rows)


def test_a_part_of_the_standard_set(capsys):
    options = ["--standard", "--matching", "movable 1", "--release", "split"]
    assert explore(*options) == 0
    assert re.match(
        r"\d+ programs, [\d,]+ schedules, [\d,]+ steps, [\d.]+ s: 0 violations \(to 2 ",
        capsys.readouterr().out,
    )
    assert explore(*options, "--schedules", 3, "--json") == 3
    facts = json.loads(capsys.readouterr().out)
    assert facts["incomplete"]
    assert facts["violations"] == []


def test_a_standard_set_that_is_out_of_time_is_3(capsys):
    assert explore("--standard", "--seconds", 0.01) == 3
    assert "programs were not finished" in capsys.readouterr().out


def test_a_soak_logs_its_seeds(capsys):
    assert explore("--soak", "--schedules", 30_000, "--seed", 5) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("seed 5 ")
    assert lines[1].startswith("seed 6 ")
    assert lines[-1].endswith("no violation; not exhaustive")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to explore"),
        (["--exhaustivly"], "Unknown option: --exhaustivly."),
        (["nowhere.mm"], "nowhere.mm: No such file or directory"),
        (["--mutation", "nothing"], "no mutation 'nothing'"),
        (["--search", "dfs"], "dfs"),
        (["--replay", "drain @ x"], "run of a schedule"),
        (["--replay", "nowhere.mm"], "No such file"),
        (["--replay", "mvoe r0 @ 1"], "did you mean"),
        (["--standard", "--release", "mislaid"], "mislaid"),
        (["--standard", "--matching", "nothing like it"], "nothing like it"),
        (["--preemptions", "some"], "some"),
        (["--mutation", "drain-puts-first", "--preemptions", "-1"], "preemptions must be"),
        (["--mutation", "drain-puts-first", "--shrink", "-1"], "shrink must be"),
        (["--mutation", "drain-puts-first", "--seconds", "-1"], "seconds must be more than 0"),
        (["--mutation", "drain-puts-first", "--max-steps", "0"], "max_steps must be"),
        (["--mutation", "drain-puts-first", "--schedules", "0"], "schedules must be"),
        (["--soak", "--schedules", "0"], "schedules must be"),
        (["--all-mutations", "--schedules", "0"], "schedules must be"),
        (["--standard", "--mutation", "drain-puts-first"], "does not go with --mutation"),
        (["--soak", "--standard"], "--soak does not go with --standard"),
        (["--soak", "program.mm"], "--soak does not go with a program"),
        (["--standard", "--search", "random"], "does not go with --search"),
        (["--all-mutations", "--release", "split"], "does not go with --release"),
        (["--exhaustive", "--search", "pct"], "two searches"),
        (["--mutation", "drain-puts-first", "--matching", "x"], "say --standard too"),
        (["--replay", ""], "takes a schedule"),
        (["--set", "pagevec"], "FIELD=VALUE"),
        (["--mutation", "drain-puts-first", "--html", "no/such/folder"], "No such file"),
        (["--mutation", "drain-puts-first", "--schedules", "-4"], "schedules"),
    ],
)
def test_bad_input_is_one_line_and_2(arguments, message, capsys):
    assert explore(*arguments) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.startswith("mmcore: ")
    assert complaint.count("\n") == 1


def test_the_command_of_a_program_with_quotes_can_be_pasted():
    found = mmcore.explore(PROGRAM, mutation="copy-after-restore").counterexample
    assert shlex.split(found.command)[-1] == found.line


def test_json_of_the_longer_jobs_says_what_repeats_them(capsys):
    for command in (
        ["--list-mutations"],
        ["--standard", "--release", "split", "--preemptions", "1", "--matching", "move"],
        ["--soak", "--kernel", "6.1", "--schedules", "50", "--seed", "3"],
    ):
        assert run(["explore", *command, "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert (data["schema"], data["command"]) == (1, " ".join(["mmcore", "explore", *command]))
        assert data["build"] == mmcore.build_info()
