"""Ctrl-C: every long call ends soon, keeps its results so far, and leaves no thread behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import inside
import mmcore
from mmcore._exploration import many, standard
from mmcore._spread import workers_of

MOVE = """\
map r0 anon 2
write r0
drain
thread A
  move r0 node=1
thread B
  write r0
  madv r0:1 pageout
thread C
  read r0
"""
#: A program that waits for a lock that is never released.
STUCK = "map r0 anon 1\nwrite r0\nlock r0\nthread A\n  lock r0\n"
NO_END = 1 << 40
#: A folder with one entry for each thread of this process.
TASKS = Path("/proc/self/task")


def interrupted(call):
    """The exception of a call that gets SIGINT while it works."""
    begun = threading.Event()

    def fire():
        begun.wait()
        inside.wait_for_a_call()
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=fire)
    sender.start()
    begun.set()
    try:
        with pytest.raises(KeyboardInterrupt) as raised:
            call()
    finally:
        sender.join()
    return raised.value


def test_a_run_that_waits_tells_what_it_has_done():
    part = interrupted(lambda: mmcore.run(STUCK, patience=1e9)).partial
    assert part.interrupted
    assert part.clean
    assert [step["op"] for step in part.steps] == ["map r0 anon 1", "write r0", "lock r0"]


def test_a_stress_run_keeps_its_rounds():
    part = interrupted(lambda: mmcore.stress(MOVE, seconds=1e9)).partial
    assert part.interrupted
    assert part.clean
    assert sum(part.outcomes[0]["seen"].values()) == part.rounds


@pytest.mark.parametrize("search", ["portfolio", "exhaustive"])
def test_a_search_keeps_its_schedules(search):
    part = interrupted(
        lambda: mmcore.explore(MOVE, search=search, preemptions=None, schedules=NO_END)
    ).partial
    assert part.schedules > 0
    assert part.coverage == "incomplete"
    assert part.covered.startswith("stopped after")
    assert part.counterexample is None


def test_a_comparison_keeps_the_side_that_it_has():
    part = interrupted(
        lambda: mmcore.diff(MOVE, vary="pagevec=15,31", preemptions=None, schedules=0)
    ).partial
    assert part.reached[0].schedules > 0
    assert part.reached[1].covered == "not begun"
    assert part.verdict == "inconclusive"


def test_the_standard_set_ends_with_the_searches_that_go_on():
    workers = workers_of(None)
    interrupted(lambda: list(standard.run(preemptions=None, workers=workers)))
    running = [each.name for each in threading.enumerate() if "ThreadPool" in each.name]
    assert running == []


def test_a_soak_keeps_the_programs_that_are_done():
    def fire(_each):
        os.kill(os.getpid(), signal.SIGINT)
        return True

    with pytest.raises(KeyboardInterrupt) as raised:
        many.soak(NO_END, jobs=1, progress=fire)
    assert raised.value.partial.schedules > 0


def threads():
    return len(list(TASKS.iterdir()))


@pytest.mark.skipif(not TASKS.is_dir(), reason="no list of threads")
def test_no_call_leaves_a_thread_behind():
    before = threads()
    for _ in range(20):
        assert not mmcore.run(STUCK, patience=0.01, pages=16).clean
        assert not mmcore.stress(STUCK, seconds=1, patience=0.01, pages=16).clean
    assert threads() <= before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "stuck.mm"], "interrupted before the end"),
        (["run", "move.mm", "--stress", "1e19"], "rounds, each audited: clean"),
        (["explore", "move.mm", f"--schedules={NO_END}"], "no violation in"),
        (["explore", "move.mm", "--preemptions=all"], "no violation in"),
        (["soak"], "no violation; not exhaustive"),
        (["diff", "move.mm", "--vary=pagevec=15,31", "--preemptions=all"], "inconclusive"),
    ],
)
def test_the_command_prints_what_it_has_and_is_130(arguments, told, tmp_path):
    (tmp_path / "move.mm").write_text(MOVE)
    (tmp_path / "stuck.mm").write_text(STUCK)
    # The command prints a line when it is at work: an earlier signal would find no result so far.
    code = (
        "import sys, threading, inside, mmcore._cli\n"
        "def tell():\n    inside.wait_for_a_call()\n    print(0)\n"
        "threading.Thread(target=tell, daemon=True).start()\n"
        "sys.exit(mmcore._cli.run(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-uc", code, *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as process:
        shown = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        shown += process.communicate(timeout=120)[0]
    assert process.returncode == 130
    assert told in shown
