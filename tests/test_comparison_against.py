"""Two builds in one comparison: the other one runs in a process of another interpreter."""

import json
import os
import stat
import sys
import venv

import pytest

import mmcore
from mmcore import _mmcore
from mmcore._cli import run as command
from mmcore._comparison import against
from mmcore.errors import InputError

LOAD = {"load": "storm", "copy": False, "nodes": "8MiB,8MiB", "vary": "release=split,putback"}

WORDS = ["compare", "--load", "storm", "--no-copy", "--nodes", "8MiB,8MiB"]
WORDS += ["--vary", "release=split"]


def interpreter(tmp_path, script):
    """A program in the place of an interpreter, which gets the source of the worker."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time, signal\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def saying(answer):
    """The line with which a worker answers whatever it is asked next."""
    return f"sys.stdin.readline(); print({answer!r}, flush=True); sys.stdin.readline()"


def counting(answer):
    """A worker's answer to what it counts."""
    return saying(json.dumps({"value": answer}))


def worker(changes):
    """The worker of this build, with changes."""
    return f"from mmcore import _mmcore\n{changes}\nexec(sys.argv[-1])"


def answering(changes="", then=""):
    """A worker that says hello as this build does, with changes, and then does something else."""
    facts = json.dumps(against.here().as_dict())
    return f"""
sys.stdin.readline()
facts = json.loads({facts!r})
{changes}
print(json.dumps({{"value": facts}}), flush=True)
{then}
"""


def test_the_same_build_twice_does_the_same_work_and_both_are_named():
    result = mmcore.compare(**LOAD, against=sys.executable, gate="work")
    assert result.labels == ["split, base", "split", "putback, base", "putback"]
    assert result.plan.compared == (1, 3)
    assert result.status == "clean"
    assert len(result.work) == 2
    assert all("operation for operation" in line for line in result.work)
    text = str(result)
    assert f"base: mmcore {mmcore.__version__}, " in text
    assert f"here: mmcore {mmcore.__version__}, " in text
    assert result.command.endswith(f"--against {sys.executable} --seed 1 --gate work")
    base, here = json.loads(result.to_json())["builds"]
    assert base == here


class OneMoreAtomic:
    """This build as it would be if each migrated page took an atomic more."""

    LoadRig = _mmcore.LoadRig
    count_hits = staticmethod(_mmcore.count_hits)

    @staticmethod
    def count_ops(config, trace):
        planted = {**json.loads(config), "planted": {"atomics": 1}}
        return _mmcore.count_ops(json.dumps(planted), trace)


def test_an_atomic_more_than_in_the_other_build_closes_the_gate(monkeypatch):
    monkeypatch.setattr("mmcore._comparison._mmcore", OneMoreAtomic)
    result = mmcore.compare(**LOAD, against=sys.executable, gate="work")
    assert result.status == "finding"
    reasons = str(result).splitlines()
    for design in ("split", "putback"):
        (told,) = (line for line in reasons if line.startswith(f"gate work: {design}:"))
        assert "1.0000 atomics a page more" in told
    allowed = mmcore.compare(**LOAD, against=sys.executable, gate="work", allow={"atomics": 1.0})
    assert allowed.status == "clean"


def test_the_same_build_twice_is_measured_in_paired_rounds():
    result = mmcore.compare(
        **{**LOAD, "vary": "release=split"}, against=sys.executable, seconds=6.0, alone=True
    )
    assert result.labels == ["split, base", "split"]
    order = [sample.variant for sample in result.measurement.samples]
    assert order.count(0) == order.count(1) > 0
    assert result.interval(1).known
    # Two processes of one build: a difference of a third would be a fault of the comparison.
    assert 0.67 < result.interval(1).ratio < 1.5
    assert all(end["rounds"] > 0 for ends in result.measurement.verified for end in ends)


def test_the_trace_goes_to_the_other_build():
    result = mmcore.compare(vary="release=split,packed", against=sys.executable, gate="work")
    base, here, *_ = result.table
    assert base["per_page"] == here["per_page"] != {}
    assert base["fast_share"] == here["fast_share"]


def test_a_refusal_of_the_other_build_names_its_variant():
    with pytest.raises(InputError, match="nosuchfield"):
        mmcore.compare(**{**LOAD, "vary": "nosuchfield=1"}, against=sys.executable, gate="work")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (answering("facts['version'] = '9.0.0'"), "its version is 9, here it is"),
        (answering("facts['build']['profile'] = 'debug2'"), "its build profile is debug2"),
        (answering("del facts['commit']"), "tells no build of mmcore"),
        (answering("facts['version'] = 9"), "tells a build in another form"),
        (answering("facts = [1]"), "tells no build of mmcore"),
        (answering(then="sys.exit(7)"), "its process has ended with code 7: without a word"),
        (answering(then="os.kill(os.getpid(), 9)"), "its process has ended by signal 9"),
        (answering(then=saying("lost")), "answered to count_ops with b'lost'"),
        (answering(then=saying("{}")), "answered to count_ops with b'{}'"),
        (answering(then=saying("[" * 99999)), "answered to count_ops with b'[[["),
        (answering(then=counting("1")), "split, base: the build of --against answers in another"),
        (answering(then=counting('{"rmw": 1}')), "answers in another form: 'migrated'"),
        ("sys.exit('ModuleNotFoundError: no mmcore')", "ended with code 1: ModuleNotFoundError"),
        (worker("del _mmcore.count_ops"), "cannot do count_ops: "),
        (
            worker('_mmcore.count_ops = lambda *_: \'{"migrated": 9, "waits": 9}\''),
            "has no count in common with this one: it counts waits",
        ),
    ],
)
def test_a_build_that_cannot_be_compared_is_refused_in_one_line(script, message, tmp_path, capsys):
    path = interpreter(tmp_path, script)
    assert command([*WORDS, "--against", path, "--gate", "work"]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1


def test_an_environment_without_mmcore_is_refused_in_one_line(tmp_path, capsys):
    venv.create(tmp_path / "bare", with_pip=False)
    path = str(tmp_path / "bare" / "bin" / "python")
    assert command([*WORDS, "--against", path, "--gate", "work"]) == 2
    complaint = capsys.readouterr().err
    assert "cannot do hello: No module named 'mmcore'" in complaint
    assert complaint.count("\n") == 1


#: A rig that fails in the fifth turn of all, while a comparison is measured.
DYING = """
class Dying:
    turns, real = 0, _mmcore.LoadRig
    def __init__(self, *arguments):
        self.rig = Dying.real(*arguments)
    def run(self, *arguments):
        Dying.turns += 1
        if Dying.turns == 5:
            {ends}
        return self.rig.run(*arguments)
    def finish(self):
        return self.rig.finish()
_mmcore.LoadRig = Dying
"""


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ("os.kill(os.getpid(), 9)", "its process has ended by signal 9"),
        ("os._exit(3)", "its process has ended with code 3"),
        ("raise KeyError('lost')", "cannot do run: 'lost'"),
        ("return 'no report'", "the build of --against answers in another form"),
        ("return '{}'", "the build of --against answers in another form"),
        ("raise MemoryError", "split, base: MemoryError"),
    ],
)
def test_a_worker_that_fails_in_a_turn_ends_the_comparison_in_one_line(
    ends, message, tmp_path, capsys
):
    path = interpreter(tmp_path, worker(DYING.format(ends=ends)))
    assert command([*WORDS, "--against", path, "--seconds", "5"]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1


def test_a_finding_of_the_other_build_is_a_finding(tmp_path, capsys):
    path = interpreter(tmp_path, worker(DYING.format(ends="raise RuntimeError('a lost page')")))
    assert command([*WORDS, "--against", path, "--seconds", "5"]) == 1
    assert "split, base: a lost page" in capsys.readouterr().err


def test_an_interpreter_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(against, "START", 0.3)
    path = interpreter(tmp_path, "time.sleep(600)")
    with pytest.raises(InputError, match="has not answered to hello for 0 s and was ended"):
        mmcore.compare(**LOAD, against=path, gate="work")


def test_a_worker_that_hangs_is_ended(tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    script = f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
    greeted = against.Worker.check

    def then_impatient(self, mine):
        # The interpreter itself may take long to start.
        greeted(self, mine)
        monkeypatch.setattr(against, "PATIENCE", 0.3)

    monkeypatch.setattr(against.Worker, "check", then_impatient)
    path = interpreter(tmp_path, script + answering(then="time.sleep(600)"))
    with pytest.raises(InputError, match="has not answered to count_ops for 0 s and was ended"):
        mmcore.compare(**LOAD, against=path, gate="work")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize("path", ["no/such/python", ".", "nul\0l"])
def test_an_interpreter_that_cannot_start_is_one_line(path):
    with pytest.raises(InputError, match="--against"):
        mmcore.compare(**LOAD, against=path, gate="work")


def test_a_policy_has_no_other_build():
    with pytest.raises(InputError, match="cannot run in that of --against"):
        mmcore.compare(vary={"policy": [None, print]}, against=sys.executable)
