"""SIGINT and SIGTERM end every long command soon, with its results so far and its exit code."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mmcore._cli import run
from mmcore._interrupted import partial
from mmcore._waiting import heard, heard_all

RECORDINGS = Path(__file__).parent / "recordings" / "6.1"

#: Runs `mmcore`, and sends a signal to itself at a call of one of its functions: a moment later, so
#: that the call is still running, or at once.
SIGNALLED = """
import importlib, os, sys, threading
module, name, call, delay, number, *command = sys.argv[1:]
owner = importlib.import_module(module)
*path, name = name.split(".")
for part in path:
    owner = getattr(owner, part)
original, calls = getattr(owner, name), 0

def patched(*arguments, **options):
    global calls
    calls += 1
    if calls == int(call):
        send = lambda: os.kill(os.getpid(), int(number))
        threading.Timer(float(delay), send).start() if float(delay) else send()
    return original(*arguments, **options)

setattr(owner, name, patched)
sys.argv = ["mmcore", *command]
from mmcore.__main__ import main
main()
"""


def signalled(number, where, call, delay, *command):
    """Runs a command that would take minutes; returns its output and its exit code."""
    module, _, name = where.partition(":")
    arguments = [module, name, call, delay, int(number), *command]
    return subprocess.run(
        [sys.executable, "-c", SIGNALLED, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        # A process in the background of a shell ignores SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
TOLD = "mmcore: the result above is incomplete: the command was interrupted\nmmcore: interrupted\n"


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.mm"
    threads = (f"thread {t}\n  move r0 node=1\n  read r0\n  write r0\n" for t in "ABCD")
    path.write_text("map r0 anon 2\nwrite r0\n" + "".join(threads))
    return path


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_compare_keeps_the_trials_that_were_verified(number, code, tmp_path):
    page = tmp_path / "r.html"
    vary = ["--vary", "release=split,packed", "--load", "storm", "--nodes", "16MiB,16MiB"]
    options = ["--seconds", 600, "--json", "--html", page]
    where = "mmcore._comparison.runner:_Trials._finish"
    done = signalled(number, where, 3, 0, "compare", *vary, *options)
    assert (done.returncode, done.stderr) == (code, TOLD)
    facts = json.loads(done.stdout)
    assert facts["stopped"] == "interruption"
    assert {sample["trial"] for sample in facts["samples"]} == {0, 1}
    assert [len(ends) for ends in facts["verified"]] == [2, 2]
    assert "stopped by interruption" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_compare_that_has_nothing_yet_says_so(number, code):
    where = "mmcore._waiting:threading.Thread.start"
    done = signalled(number, where, 1, 0.3, "compare", "--load", "storm", "--nodes", "1GiB,1GiB")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "mmcore: interrupted\n"


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_policies_keep_the_replays_that_have_ended(number, code):
    command = ["policies", "--policy", "fifo,lru", "--size", "100,50", "--json"]
    done = signalled(number, "mmcore._replacement:_outcome", 2, 0, *command)
    assert (done.returncode, done.stderr) == (code, TOLD)
    facts = json.loads(done.stdout)
    assert (facts["complete"], len(facts["table"])) == (False, 1)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_conformance_keeps_the_recordings_that_were_compared(number, code):
    command = ["conformance", RECORDINGS, "--until-unsupported"]
    done = signalled(number, "mmcore._recordings:_replayed", 3, 0, *command)
    assert (done.returncode, done.stderr) == (code, TOLD)
    assert "2 of 2 recordings match" in done.stdout
    assert "incomplete: interrupted" in done.stdout


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_diff_keeps_the_side_that_was_searched(number, code, program):
    where = "mmcore._difference.outcomes:_gather"
    command = ["diff", program, "--kernel", "6.1,6.12", "--preemptions", "0"]
    done = signalled(number, where, 2, 0, *command)
    assert (done.returncode, done.stderr) == (code, TOLD)
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("6.1: ")
    assert second.startswith("6.12: 0 outcomes in 0 schedules")
    assert "inconclusive" in done.stdout


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_searches_and_stress_end_within_their_calls(number, code, program):
    for where, command in (
        ("mmcore:explore", ["explore", program, "--schedules", 1 << 40]),
        ("mmcore:explore", ["explore", program, "--exhaustive", "--preemptions", "all"]),
        ("mmcore:stress", ["run", program, "--stress", 600]),
        ("mmcore._difference.outcomes:_gather", ["diff", program, "--kernel", "6.1,6.12"]),
    ):
        done = signalled(number, where, 1, 0.3, *command)
        assert done.returncode == code, command
        assert done.stderr.endswith("mmcore: interrupted\n")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_lists_of_searches_keep_those_that_have_ended(number, code):
    where = "mmcore._exploration.planned:call"
    done = signalled(number, where, 3, 0, "soak", "--schedules", 1 << 40, "--jobs", 1)
    assert (done.returncode, done.stderr) == (code, TOLD)
    # The second search may have ended without being put to the result yet.
    ended = ("1 programs, 20,000 schedules", "2 programs, 40,000 schedules")
    assert done.stdout.splitlines()[-1].startswith(ended)
    # Short searches may end before the main thread has put the first one to the result.
    done = signalled(number, where, 20, 0, "hunt", "--json", "--jobs", 1)
    assert (done.returncode, done.stderr) == (code, TOLD)
    facts = json.loads(done.stdout)
    assert 0 < len(facts["mutations"]) < 20
    assert facts["not_begun"] > 40


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_map_that_is_interrupted_is_no_other_result(number, code, tmp_path):
    stuck = tmp_path / "stuck.mm"
    stuck.write_text("map r0 anon 1\nwrite r0\nlock r0\nthread A\n  lock r0\n")
    command = ["map", stuck, "--plot", tmp_path / "map.svg"]
    done = signalled(number, "mmcore._map.running:run", 1, 0.3, *command)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "mmcore: interrupted\n"


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_the_exit_code_is_that_of_a_signal_at_the_very_end(number, code):
    # The third call gives the signals their first handlers back.
    where = "mmcore._cli.signals:signal.signal"
    done = signalled(number, where, 3, 0, "profiles", "6.1", "6.12")
    assert done.returncode == code
    assert "Traceback" not in done.stderr


#: Runs `main` with a command that was interrupted, and sends one more signal at its end.
AGAIN = """
import os, signal, sys
from mmcore import __main__, _cli
_cli.run = lambda _: 143
__main__._flush = lambda: os.kill(os.getpid(), int(sys.argv[1]))
__main__.main()
"""


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_one_more_signal_ends_a_command_that_is_ending(number, code):
    command = [sys.executable, "-c", AGAIN, str(int(number))]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    # A shell shows a process that was ended by signal N as 128 + N.
    assert (-done.returncode, done.stderr) == (code - 128, b"")


def test_a_signal_ends_the_waiting_for_a_call_that_hears_none():
    forever = threading.Event()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt) as raised:
        heard(forever.wait, 600)
    forever.set()
    assert partial(raised.value) is None


def test_results_and_errors_of_a_call_come_through_the_waiting():
    assert heard(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        heard(divmod, 7, 0)


def test_calls_that_run_together_return_in_their_order_and_raise_the_first_fault():
    both = threading.Barrier(2, timeout=60)
    together = [lambda: both.wait() >= 0, lambda: both.wait() >= 0]
    assert heard_all(together, threads=2) == [True, True]
    one, two = threading.Event(), threading.Event()
    calls = [lambda: one.wait(60) and "first", lambda: one.set() or "second", lambda: two.is_set()]
    assert heard_all(calls, threads=2) == ["first", "second", False]
    with pytest.raises(KeyError):
        heard_all([lambda: {}[1], lambda: 1 // 0], threads=2)
    assert heard_all([], threads=2) == []
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    forever = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        heard_all([lambda: forever.wait(600)], threads=1)
    forever.set()


def test_handlers_are_as_before_when_a_command_has_ended(capsys):
    before = [signal.getsignal(number) for number, _ in SIGNALS]
    assert run(["profiles", "6.1", "6.12"]) == 0
    assert [signal.getsignal(number) for number, _ in SIGNALS] == before
    # A signal that was ignored at the start stays ignored: `nohup` relies on it.
    ignored = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run(["profiles", "6.1", "6.12"]) == 0
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, ignored)
    capsys.readouterr()
