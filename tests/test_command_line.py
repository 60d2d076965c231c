"""The command line: verbs, exit codes, one line for an error."""

import functools
import io
import json
import subprocess
import sys

import pytest

import mmcore
from mmcore import comparison
from mmcore.cli import run
from mmcore.comparison.runner import measure
from simulated_rig import SimulatedBackend


def python(*args):
    command = [sys.executable, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def mmcore_command(*args):
    return subprocess.run(
        [sys.executable, "-m", "mmcore", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_version_names_the_version():
    done = mmcore_command("--version")
    assert (done.returncode, done.stdout) == (0, f"mmcore {mmcore.__version__}\n")


def test_env_as_json_names_build_and_machine():
    facts = json.loads(mmcore_command("env", "--json").stdout)
    assert facts["build"] == mmcore.build_info()
    assert facts["cpus"] >= 1


def test_help_lists_the_verbs():
    done = mmcore_command("--help")
    assert done.returncode == 0
    assert "env" in done.stdout


def test_a_missing_extra_is_named_in_one_line():
    # None in sys.modules makes an import fail as an absent package does.
    script = "import sys; sys.modules['cyclopts'] = None; import mmcore.__main__ as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "mmcore: the command line needs: pip install 'mmcore-linux[cli]'\n"


def test_an_unknown_verb_is_one_line_and_exit_2():
    done = mmcore_command("nonsense")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.fixture
def simulated(monkeypatch):
    """The command line in this process, over a simulated machine and its time."""

    def install(**options):
        backend = SimulatedBackend({"packed": 1.3}, **options)
        timed = functools.partial(measure, clock=backend.clock)
        monkeypatch.setattr(comparison, "_mmcore", backend)
        monkeypatch.setattr(comparison, "measure", timed)

    install()
    return install


QUICK = ["--seconds", "5", "--vary", "release=split,packed"]


@pytest.mark.usefixtures("simulated")
def test_compare_prints_table_and_verdict_and_writes_files(tmp_path, capsys):
    files = {name: tmp_path / f"out.{name}" for name in ("json", "html", "svg")}
    options = ["--json", files["json"], "--html", files["html"], "--plot", files["svg"]]
    assert run(["compare", *QUICK, *map(str, options)]) == 0
    shown = capsys.readouterr().out
    assert "packed: faster than split" in shown
    assert "lruvec lock acquisitions" in shown
    assert "the shipped trace of sqlite3" in shown
    assert all(path.stat().st_size > 1000 for path in files.values())
    assert json.loads(files["json"].read_text())["schema"] == 1


@pytest.mark.usefixtures("simulated")
def test_a_hyphen_is_the_standard_input(monkeypatch, capsys):
    def given(text):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    trace = "".join(f" S {page << 12:x},8\n" for page in range(300))
    program = "map r0 anon 1\nwrite r0\n"
    for command, text in (
        (["compare", "-", *QUICK], trace),
        (["policies", "-", "--policy", "lru", "--size", "64"], trace),
        (["run", "-"], program),
        (["diff", "-", "--vary", "passes=3,4"], program),
        (["explore", "-", "--schedules", "5"], f"{program}thread A\n  read r0\n"),
    ):
        given(text)
        assert run(command) == 0, capsys.readouterr().err
        monkeypatch.setattr(sys, "stdin", None)
        assert run(command) == 2
        assert "closed" in capsys.readouterr().err
        assert run([command[0], "--nonsense", *command[2:]]) == 2
        assert "nknown option" in capsys.readouterr().err


@pytest.mark.usefixtures("simulated")
def test_compare_reads_a_trace_and_takes_every_option(tmp_path, capsys):
    path = tmp_path / "t.npz"
    mmcore.Trace(range(300), [True] * 300).save(path)
    options = [
        "--nodes",
        "1MiB,4MiB:300ns",
        "--no-copy",
        "--seed",
        "9",
        "--threads",
        "1",
        "--kernel",
        "6.1",
    ]
    assert run(["compare", str(path), *QUICK, *options]) == 0
    shown = capsys.readouterr().out
    assert f"{path}: 300 accesses, 300 pages" in shown
    assert "nodes 1MiB:100ns,4MiB:300ns, no copy" in shown
    assert "kernel 6.1, 1 migrating threads" in shown
    assert "seed 9" in shown


@pytest.mark.usefixtures("simulated")
def test_compare_under_the_storm_needs_no_trace(capsys):
    assert run(["compare", "--load", "storm", *QUICK]) == 0
    assert "storm: random pages move" in capsys.readouterr().out


@pytest.mark.usefixtures("simulated")
def test_too_short_a_comparison_is_inconclusive(capsys):
    assert run(["compare", "--seconds", "0.0001"]) == 3
    assert "inconclusive" in capsys.readouterr().out


def test_a_finding_is_exit_1_with_the_command_to_repeat_it(simulated, capsys):
    simulated(fail={"finish": RuntimeError("frame 7: lost")})
    assert run(["compare", *QUICK]) == 1
    complaint = capsys.readouterr().err
    assert "mmcore: split: frame 7: lost" in complaint
    assert "repeat with: mmcore compare --load tiering" in complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/such/trace"], "no/such/trace: No such file or directory"),
        (["."], ".: Is a directory"),
        (["--threads", "0"], "threads must be a number from 1 to 15, not 0"),
        (["--threads", "two"], "two"),
        (["--vary", "release"], "FIELD=a,b"),
        (["--load", "rain"], "load 'rain'"),
        (["--nodes", "1GiB,1GiB:soon"], "'soon' is not a latency"),
        (["--plot", "out.gif"], "a plot is one of"),
        (["--json", "no/such/folder/out.json"], "cannot be written to"),
        (["--html", "."], "Is a directory"),
        (["--unknown", "1"], "--unknown"),
    ],
)
@pytest.mark.usefixtures("simulated")
def test_bad_input_is_one_line_and_exit_2(arguments, message, capsys):
    assert run(["compare", *arguments]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1
    assert complaint.startswith("mmcore: ")


def test_a_missing_report_extra_is_named_before_measuring(simulated, monkeypatch, capsys):
    simulated(fail={"build": AssertionError("measured although the plot cannot be drawn")})
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(["compare", "--html", "out.html"]) == 2
    assert capsys.readouterr().err == "mmcore: plotting needs: pip install 'mmcore-linux[report]'\n"
