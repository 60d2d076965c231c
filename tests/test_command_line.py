"""The command line: verbs, exit codes, one line for an error."""

import functools
import importlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts.completion.detect import ShellDetectionError

import mmcore
from mmcore import _cli
from mmcore import _comparison as comparison
from mmcore._cli import GROUPS, VERBS, app, run
from mmcore._comparison.runner import measure
from mmcore._environment import environment
from simulated_rig import SimulatedBackend


def python(*args):
    command = [sys.executable, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def mmcore_command(*args):
    # pytest-xdist sets COLUMNS, and the help is as wide as that says.
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.run(
        [sys.executable, "-m", "mmcore", *args],
        env=environ,
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
    assert facts["environment"]["cpus"] >= 1
    assert facts["environment"]["page_copy"] in ("avx512", "avx2", "sse2", "plain")


def test_env_names_the_last_level_cache_and_the_copy_of_pages():
    table = mmcore_command("env").stdout
    facts = environment()
    assert re.search(rf"last_level_cache_kib +{facts['last_level_cache_kib']}", table)
    assert re.search(rf"page_copy +{facts['page_copy']}", table)


def test_help_says_of_each_verb_in_groups_what_it_does():
    done = mmcore_command("--help")
    assert done.returncode == 0
    for group, verbs in GROUPS.items():
        assert group in done.stdout
        for verb, text in verbs.items():
            assert re.search(rf"{verb} +{re.escape(text)}", done.stdout), verb


def test_no_file_replaces_a_function_of_the_command_line():
    # The import of a file of a package replaces what the package has under its name.
    files = {path.stem for path in Path(_cli.__file__).parent.glob("*.py")}
    assert not files & {*_cli.__all__}
    assert {*VERBS} <= {path.stem for path in Path(_cli.__file__).parent.glob("verbs/*.py")}
    for verb in VERBS:
        importlib.import_module(f"mmcore._cli.verbs.{verb}")
    assert callable(_cli.run)


#: The commands of verbs that have some.
COMMANDS = {"trace": ("convert", "show")}


def test_each_verb_says_the_same_of_itself():
    for verb, text in ((v, t) for verbs in GROUPS.values() for v, t in verbs.items()):
        told = mmcore_command(verb, "--help").stdout
        assert " ".join(text.removesuffix(".").split()[:4]) in told
        commands = COMMANDS.get(verb, ())
        assert all(command in told for command in commands)
        texts = [mmcore_command(verb, command, "--help").stdout for command in commands] or [told]
        assert all("--json" in text for text in texts), "every verb has JSON"


def test_completion_knows_verbs_options_and_choices():
    for shell in ("bash", "zsh", "fish"):
        script = app().generate_completion(shell=shell)
        for word in (*VERBS, "--preemptions", "hook_late", "portfolio", "6.12", "storm"):
            assert word in script, (shell, word)


def test_completion_is_installed_by_an_option(tmp_path):
    script = tmp_path / "mmcore.bash"
    words = ["--install-completion", "--shell", "bash", "--output", str(script)]
    done = subprocess.run(
        [sys.executable, "-m", "mmcore", *words],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "hook_late" in script.read_text()


def test_a_shell_that_cannot_be_detected_is_one_line(monkeypatch, capsys):
    def unknown():
        raise ShellDetectionError

    monkeypatch.setattr("cyclopts.completion.detect.detect_shell", unknown)
    assert run(["--install-completion"]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert "--shell" in told.err


def without_parser(*words):
    # None in sys.modules makes an import fail as if the package were absent.
    script = "import sys; sys.modules['cyclopts'] = None; import mmcore.__main__ as m; m.main()"
    return subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
    )


def test_a_missing_extra_is_named_in_one_line():
    done = without_parser("explore", "race.mm")
    assert done.returncode == 2
    assert done.stderr.startswith("mmcore: the command line needs the extra cli: pip install ")
    assert done.stderr.count("\n") == 1


def test_an_unknown_verb_is_one_line_and_exit_2():
    done = mmcore_command("nonsense")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.fixture
def simulated(monkeypatch):
    """Runs the command line in this process, with a simulated machine and simulated time."""

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
    files = {name: tmp_path / f"out.{name}" for name in ("html", "svg")}
    options = ["--html", files["html"], "--plot", files["svg"]]
    assert run(["compare", *QUICK, *map(str, options)]) == 0
    shown = capsys.readouterr().out
    assert "packed: faster than split" in shown
    assert "lruvec lock acquisitions" in shown
    assert "the shipped trace of sqlite3" in shown
    assert all(path.stat().st_size > 1000 for path in files.values())
    assert run(["compare", *QUICK, "--set", "passes=3", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["kind"] == "comparison"
    assert [config["profile"]["passes"] for config in data["configurations"]] == ["3", "3"]
    assert "--set=passes=3" in data["command"]


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
        (["--threads", "0"], "--threads must be a number from 1 to 15, not 0"),
        (["--threads", "two"], "two"),
        (["--vary", "release"], "FIELD=a,b"),
        (["--load", "rain"], "rain"),
        (["--nodes", "1GiB,1GiB:soon"], "'soon' is not a latency"),
        (["--plot", "out.gif"], "must end in one of"),
        (["--html", "no/such/folder/out.html"], "no file can be made in the directory"),
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
    told = capsys.readouterr().err
    assert re.fullmatch("mmcore: plotting needs the extra report: pip install .*\n", told)


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_the_help_of_an_installation_without_the_parser_has_all_verbs(words):
    done = without_parser(*words)
    assert (done.returncode, done.stderr) == (0, "")
    for verbs in GROUPS.values():
        for verb, text in verbs.items():
            assert re.search(rf"^  {verb} +{re.escape(text)}$", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1].startswith("the command line needs the extra cli: pip ")


def test_the_version_needs_no_parser():
    assert without_parser("--version").stdout == f"mmcore {mmcore.__version__}\n"


def test_the_packages_of_a_missing_extra_are_those_of_the_metadata(monkeypatch):
    lines = ["numpy>=1", "a>=1,<2 ; extra == 'x'", 'b; extra == "x"', "c ; extra == 'xy'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: lines)
    told = str(mmcore.errors.MissingExtraError("a picture", "x"))
    assert told == "a picture needs the extra x: pip install 'a>=1,<2' b"
    monkeypatch.setattr("importlib.metadata.requires", lambda _: None)
    told = str(mmcore.errors.MissingExtraError("a picture", "x"))
    assert told == "a picture needs the extra x: pip install 'mmcore-linux[x]'"
