"""A terminal shows tables as wide as itself, and the progress of the work."""

import io
import re
import time

import pytest
from rich.console import Console
from rich.progress import Progress

import every_result
import mmcore
from mmcore._cli.progress import share
from terminal import on_terminal

#: Commands with wide tables, and the rows that each shows at least.
TABLES = {
    "hunt --list": 60,
    "explore PROGRAM --mutation copy-after-restore": 15,
    "policies --policy lru,clock --size 64,128": 5,
}


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "race.mm"
    path.write_text(every_result.PROGRAM)
    return path


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("command", TABLES)
def test_a_table_is_as_wide_as_the_terminal_at_most(command, width, program):
    words = [str(program) if word == "PROGRAM" else word for word in command.split()]
    shown, _, code = on_terminal(*words, width=width)
    assert code in (0, 1)
    lines = [line for line in shown.replace("\r", "\n").splitlines() if "━" not in line]
    # Only cells of a table have two spaces between them. Other lines may be longer.
    rows = [line for line in lines if re.search(r"\S {2,}\S", line)]
    assert len(rows) >= TABLES[command]
    assert max(map(len, rows)) <= width


def test_lines_of_a_soak_go_to_the_pipe_and_its_bar_to_the_terminal():
    shown, piped, code = on_terminal("soak", "--schedules", 3_000, "--seed", 5, pipe=True)
    assert code == 0
    assert "seed 5 (putback): 3,000 schedules" in piped
    assert "seed 5" not in shown
    assert "soaking" in shown


@pytest.mark.parametrize("verb", ["explore", "run"])
def test_the_bar_of_a_time_limit_shows_its_share(verb, program):
    limit = {"explore": ["--seconds", 1], "run": ["--stress", 1]}[verb]
    shown, _, code = on_terminal(verb, program, *limit)
    assert code == 0
    shares = [int(each) for each in re.findall(r"(\d+)%", shown)]
    assert shares == sorted(shares)
    assert shares[0] < 50 <= shares[-1] <= 100


def test_a_bar_shows_the_larger_share_of_work_and_time():
    bar = Progress(console=Console(file=io.StringIO()))

    def of(seconds, **work):
        number = bar.add_task("", seconds=seconds, **work)
        task = bar.tasks[number]
        task.start_time = time.monotonic()
        task.stop_time = task.start_time + 1
        return share(task)

    assert of(None, total=None) is None
    assert of(None, total=4, completed=1) == 0.25
    assert of(2, total=None) == 0.5
    assert of(2, total=4, completed=3) == 0.75
    assert of(2, total=4, completed=1) == 0.5
    assert of(0.5, total=4, completed=1) == 1


def test_a_search_of_one_part_says_what_ends_it(program):
    limits = {"--schedules 400": "400 schedules at most", "": "--schedules or --seconds ends it"}
    for words, limit in limits.items():
        shown, _, code = on_terminal("explore", program, "--exhaustive", *words.split(), width=160)
        assert code in (0, 3)
        assert "every interleaving with at most 2 preemptions" in shown
        assert limit in shown
    shown, _, _ = on_terminal("explore", program, width=160)
    assert "20,000 schedules, drawn" in shown
    shown, _, _ = on_terminal("explore", program, "--schedules", 70_000, width=160)
    # The last part is short: the terminal may be drawn anew only after its end.
    assert re.search(r"(65,536|70,000) schedules, [\d,]+ a second", shown)


def test_a_comparison_of_profiles_shows_its_share(program, tmp_path):
    shown, _, code = on_terminal("diff", program, "--kernel", "6.1,6.12", width=160)
    assert code == 1
    assert "50%" in shown
    assert "6.12: every interleaving with at most 2 preemptions; 200,000 schedules" in shown
    moved = tmp_path / "moved.mm"
    moved.write_text(every_result.MOVE)
    shares = []
    mmcore.diff(moved.read_text(), kernel="6.1,6.12", progress=lambda *told: shares.append(told))
    assert shares[:2] == [(0, 2, "6.1"), (1, 2, "6.12")]
    fields = mmcore.diff(moved.read_text(), kernel="6.1,6.12").fields
    assert [what for _, _, what in shares[2:]] == list(fields)
    assert all(of == 2 + len(fields) for _, of, _ in shares[2:])


def test_a_trace_that_is_written_tells_how_far_it_is(tmp_path):
    trace = mmcore.Trace.zipf(2_000, 400_000, threads=2)
    told = []
    trace.save(tmp_path / "t.npz", progress=lambda done, of: told.append((done, of)))
    assert mmcore.Trace.load(tmp_path / "t.npz") == trace
    assert len(told) >= 5
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    shown, _, code = on_terminal("trace", "convert", tmp_path / "t.npz", tmp_path / "u.npz")
    assert code == 0
    assert "writing" in shown
    assert "looking through it" in shown
